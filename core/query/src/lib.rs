//! sereno-query
