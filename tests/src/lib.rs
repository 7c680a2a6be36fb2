//! sereno-tests
