//! sereno-delivery
