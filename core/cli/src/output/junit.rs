//! Findings as JUnit writes them, which every build server draws: suites of cases, each with what is wrong about it.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

/// What is written as one `testsuite`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suite {
    /// A file, as a rule.
    pub(crate) name: String,
    pub(crate) cases: Vec<Case>,
}

/// One `testcase`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The file and the line, where there is one.
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) took: Duration,
    /// What was expected and is not so: a headline and the whole story.
    pub(crate) failures: Vec<(String, String)>,
    /// What kept it from being looked at.
    pub(crate) errors: Vec<(String, String)>,
}

/// Writes all suites as one document.
pub(crate) fn write(out: &mut dyn Write, name: &str, suites: &[Suite]) -> io::Result<()> {
    let cases: Vec<&Case> = suites.iter().flat_map(|suite| &suite.cases).collect();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"{}\"{}>", escaped(name), counts(&cases))?;
    for suite in suites {
        let cases: Vec<&Case> = suite.cases.iter().collect();
        writeln!(out, "  <testsuite name=\"{}\"{}>", escaped(&suite.name), counts(&cases))?;
        cases.iter().try_for_each(|case| write_case(out, &suite.name, case))?;
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

fn counts(cases: &[&Case]) -> String {
    let failures = cases.iter().filter(|case| !case.failures.is_empty()).count();
    let errors = cases.iter().filter(|case| !case.errors.is_empty()).count();
    let took: Duration = cases.iter().map(|case| case.took).sum();
    let tests = cases.len();
    let time = took.as_secs_f64();
    format!(" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{time:.3}\"")
}

fn write_case(out: &mut dyn Write, suite: &str, case: &Case) -> io::Result<()> {
    let (name, class) = (escaped(&case.name), escaped(suite));
    write!(out, "    <testcase name=\"{name}\" classname=\"{class}\"")?;
    if !case.file.is_empty() {
        write!(out, " file=\"{}\"", escaped(&case.file))?;
    }
    if case.line > 0 {
        write!(out, " line=\"{}\"", case.line)?;
    }
    write!(out, " time=\"{:.3}\"", case.took.as_secs_f64())?;
    if case.failures.is_empty() && case.errors.is_empty() {
        return writeln!(out, "/>");
    }
    writeln!(out, ">")?;
    let kinds = [("failure", &case.failures), ("error", &case.errors)];
    for (kind, (message, text)) in kinds.iter().flat_map(|(kind, all)| all.iter().map(move |one| (kind, one)))
    {
        let (message, text) = (escaped(message), escaped(text));
        writeln!(out, "      <{kind} message=\"{message}\">{text}</{kind}>")?;
    }
    writeln!(out, "    </testcase>")
}

/// A text for XML, which has no word at all for most control characters.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| matches!(c, '&' | '<' | '>' | '"') || is_no_character(c);
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c if is_no_character(c) => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

fn is_no_character(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{FFFE}' | '\u{FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::{console, written};

    #[test]
    fn suites_are_written_with_what_is_wrong() {
        let failed = Case {
            name: "fires & \"recovers\"\x1b".into(),
            file: "rules/cpu_test.yaml".into(),
            line: 7,
            took: Duration::from_millis(2),
            failures: vec![("1 event is missing".into(), "expected <firing>\n  got nothing".into())],
            errors: vec![],
        };
        let good = Case { name: "sleeps".into(), ..Case::default() };
        let suites = [Suite { name: "rules/cpu_test.yaml".into(), cases: vec![failed, good] }];
        insta::assert_snapshot!(written(|console| write(&mut console.out, "rules test", &suites), console(80)), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="rules test" tests="2" failures="1" errors="0" time="0.002">
          <testsuite name="rules/cpu_test.yaml" tests="2" failures="1" errors="0" time="0.002">
            <testcase name="fires &amp; &quot;recovers&quot;\u{1b}" classname="rules/cpu_test.yaml" file="rules/cpu_test.yaml" line="7" time="0.002">
              <failure message="1 event is missing">expected &lt;firing&gt;
          got nothing</failure>
            </testcase>
            <testcase name="sleeps" classname="rules/cpu_test.yaml" time="0.000"/>
          </testsuite>
        </testsuites>
        "#);
    }
}
