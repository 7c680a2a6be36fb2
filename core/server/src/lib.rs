//! sereno-server
