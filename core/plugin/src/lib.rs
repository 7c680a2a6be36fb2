//! sereno-plugin
