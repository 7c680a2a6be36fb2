//! sereno-plugin-host
