//! What is wrong in a file, and where.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sereno_runtime::diagnostic::{Diagnostic, Severity};

/// What is wrong in a file, and where: a [`Diagnostic`] that can be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: String,
    /// The file.
    pub path: String,
    /// The line, from 1; 0 when it is about the whole file.
    pub line: u32,
    /// The column in characters, from 1; 0 when unknown.
    pub column: u32,
    /// How many characters are meant; 0 when unknown.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line itself.
    pub source_line: Option<String>,
}

impl Finding {
    /// Whether it keeps the file, or the part that is meant, from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity != "warning"
    }
}

impl From<&Diagnostic> for Finding {
    fn from(found: &Diagnostic) -> Self {
        Self {
            severity: found.severity.to_string(),
            path: found.path.display().to_string(),
            line: found.line,
            column: found.column,
            length: found.length,
            message: found.message.clone(),
            hint: found.hint.clone(),
            source_line: found.source_line.clone(),
        }
    }
}

impl From<&Finding> for Diagnostic {
    fn from(found: &Finding) -> Self {
        Self {
            severity: if found.is_error() { Severity::Error } else { Severity::Warning },
            path: PathBuf::from(&found.path),
            line: found.line,
            column: found.column,
            length: found.length,
            message: found.message.clone(),
            hint: found.hint.clone(),
            source_line: found.source_line.clone(),
        }
    }
}

impl fmt::Display for Finding {
    /// As a diagnostic is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Diagnostic::from(self).fmt(f)
    }
}
