//! sereno-client
