//! What is wrong in a file that a person wrote, and where: the same words in the log, the command line and the API.
//!
//! ```text
//! error: unknown key `lmit`
//!  --> config/rules/host.yaml:7:5
//!   |
//! 7 |     lmit: 90
//!   |     ^^^^
//!   = hint: did you mean `limit`?
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a look; the file is used all the same.
    Warning,
    /// The file, or the part of it that is meant, cannot be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One finding about one place of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 when the finding is about the whole file.
    pub line: u32,
    /// The column in characters, from 1; 0 when unknown.
    pub column: u32,
    /// How many characters are meant; 0 when unknown.
    pub length: u32,
    /// What is wrong: a fragment without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line itself.
    pub source_line: Option<String>,
}

impl Diagnostic {
    /// An error about a file as a whole.
    #[must_use]
    pub fn error(path: &Path, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: path.to_owned(),
            line: 0,
            column: 0,
            length: 0,
            message: message.into(),
            hint: None,
            source_line: None,
        }
    }

    /// A warning about a file as a whole.
    #[must_use]
    pub fn warning(path: &Path, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message) }
    }

    /// The same finding at a place; the line is taken from the file's `text`.
    #[must_use]
    pub fn at(self, text: &str, line: u32, column: u32, length: u32) -> Self {
        let source_line =
            line.checked_sub(1).and_then(|index| text.lines().nth(index as usize)).map(str::to_owned);
        Self { line, column, length, source_line, ..self }
    }

    /// The same finding with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Whether it keeps the file, or the part that is meant, from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `path:line:column`, with the parts that are known.
    #[must_use]
    pub fn place(&self) -> String {
        let path = self.path.display();
        match (self.line, self.column) {
            (0, _) => path.to_string(),
            (line, 0) => format!("{path}:{line}"),
            (line, column) => format!("{path}:{line}:{column}"),
        }
    }

    /// The source line and the caret under what is meant.
    fn write_source(&self, f: &mut fmt::Formatter<'_>, source: &str) -> fmt::Result {
        let margin = " ".repeat(self.line.to_string().len());
        // A tab has no fixed width; one space for each keeps the caret under its character.
        let shown: String = source.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let shown = shown.trim_end();
        write!(f, "\n{margin} |\n{} | {shown}", self.line)?;
        if self.column == 0 {
            return Ok(());
        }
        let before = self.column as usize - 1;
        let room = shown.chars().count().saturating_sub(before).max(1);
        let carets = "^".repeat((self.length as usize).clamp(1, room));
        write!(f, "\n{margin} | {}{carets}", " ".repeat(before))
    }
}

impl fmt::Display for Diagnostic {
    /// Several lines, without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.message)?;
        let margin = " ".repeat(self.line.to_string().len());
        write!(f, "\n{margin}--> {}", self.place())?;
        if let Some(source) = &self.source_line {
            self.write_source(f, source)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n{margin} = hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The candidate that `word` most likely meant: at most a third of its letters differ.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` where something is near, else the list of all candidates under the name `what`.
#[must_use]
pub fn suggest<'a>(word: &str, what: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, candidates.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let all: Vec<String> = candidates.into_iter().map(|candidate| format!("`{candidate}`")).collect();
            format!("{what}: {}", all.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_points_at_what_is_meant() {
        let text = "rules:\n  - id: ä\n    lmit: 90\n";
        let diagnostic = Diagnostic::error(Path::new("rules/a.yaml"), "unknown key `lmit`")
            .at(text, 3, 5, 4)
            .hint(suggest("lmit", "known keys", ["id", "limit"]));
        insta::assert_snapshot!(diagnostic, @r"
        error: unknown key `lmit`
         --> rules/a.yaml:3:5
          |
        3 |     lmit: 90
          |     ^^^^
          = hint: did you mean `limit`?
        ");
    }

    #[test]
    fn a_finding_may_be_about_the_whole_file() {
        let diagnostic = Diagnostic::warning(Path::new("rules"), "the directory does not exist");
        insta::assert_snapshot!(diagnostic, @r"
        warning: the directory does not exist
         --> rules
        ");
    }
}
