//! What an edit of a rule means for its state: nothing, other words, other decisions, or another rule.

use std::fmt;
use std::sync::Arc;

use crate::rule::{EditClass, Rule};

impl EditClass {
    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Text => "text",
            Self::Logic => "logic",
            Self::Identity => "identity",
        }
    }
}

impl fmt::Display for EditClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What it means for the state of `old` that `new` takes its place. Most rules of two generations are the very same.
pub(crate) fn edit_class(new: &Arc<Rule>, old: &Arc<Rule>) -> EditClass {
    if Arc::ptr_eq(new, old) { EditClass::Same } else { new.edit_class(old) }
}
