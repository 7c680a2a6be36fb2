//! sereno-bench
