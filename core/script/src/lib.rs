//! sereno-script
