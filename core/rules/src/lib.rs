//! sereno-rules
