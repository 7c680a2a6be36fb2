//! Labels as columns of CSV, in the layout that `sereno send` reads.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::console::printable;

/// What stands in columns of its own; a label of that name has `label_` before it.
const RESERVED: [&str; 6] = ["name", "metric", "time", "timestamp", "value", "column"];

/// The labels that any of them has, in the order of their names: a column each.
pub(crate) struct LabelColumns<'a>(BTreeSet<&'a str>);

impl<'a> LabelColumns<'a> {
    pub(crate) fn of(all: impl Iterator<Item = &'a [(String, String)]>) -> Self {
        Self(all.flatten().map(|(name, _)| name.as_str()).collect())
    }

    pub(crate) fn header(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|label| match RESERVED.contains(label) {
            true => format!("label_{label}"),
            false => printable(label).into_owned(),
        })
    }

    /// The values of one series; empty where it does not have the label.
    pub(crate) fn row<'b>(&self, labels: &'b [(String, String)]) -> impl Iterator<Item = Cow<'b, str>> {
        let value =
            |label: &str| labels.iter().find(|(name, _)| name == label).map_or("", |(_, value)| value);
        self.0.iter().map(move |label| printable(value(label)))
    }
}
