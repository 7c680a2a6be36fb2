//! sereno-protocol
