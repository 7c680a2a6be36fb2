//! The aggregations that come with the server: part of the binary, so that a mounted folder of scripts hides nothing.

use std::path::PathBuf;

use crate::library::Source;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$((
            concat!("aggregations/", $name, ".rhai"),
            include_str!(concat!("../../../scripts/aggregations/", $name, ".rhai")),
        )),*]
    };
}

const SHIPPED: [(&str, &str); 22] = shipped![
    "age",
    "apdex",
    "budget_burn",
    "count",
    "delta",
    "ewma",
    "first",
    "increase",
    "last",
    "mad",
    "max",
    "mean",
    "median",
    "min",
    "p90",
    "p95",
    "p99",
    "rate",
    "robust_zscore",
    "stddev",
    "sum",
    "trimmed_mean",
];

/// The shipped scripts.
pub(crate) fn sources() -> Vec<Source> {
    let source = |(path, text): (&str, &str)| Source {
        path: path.to_owned(),
        display: PathBuf::from(format!("<shipped>/{path}")),
        text: text.into(),
    };
    SHIPPED.map(source).into()
}
