//! sereno-plugins-builtin
