//! A run of tests as JUnit XML, as build servers read it: a suite for each file, a case for each test.

use std::fmt::{self, Write as _};

use super::trial::{Failure, Row, RowKind, TestFile, TestOutcome, TestReport, TestResult};

impl TestReport {
    /// As JUnit XML.
    #[must_use]
    pub fn to_junit(&self) -> String {
        let (_, failed, broken) = self.totals();
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let (count, seconds) = (self.tests().count(), self.seconds.0.as_secs_f64());
        push(
            &mut xml,
            format_args!(
                "<testsuites name=\"sereno rules test\" tests=\"{count}\" failures=\"{failed}\" errors=\"{}\" time=\"{seconds:.3}\">\n",
                broken + self.findings.iter().filter(|found| found.is_error()).count(),
            ),
        );
        for file in &self.files {
            suite(&mut xml, file);
        }
        if self.findings.iter().any(super::Finding::is_error) {
            let file =
                TestFile { path: "files".into(), findings: self.findings.clone(), ..TestFile::default() };
            suite(&mut xml, &file);
        }
        xml.push_str("</testsuites>\n");
        xml
    }
}

fn suite(xml: &mut String, file: &TestFile) {
    let count = |outcome| file.tests.iter().filter(|test| test.outcome == outcome).count();
    let errors: Vec<_> = file.findings.iter().filter(|found| found.is_error()).collect();
    let name = Escaped(&file.path);
    push(
        xml,
        format_args!(
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">\n",
            file.tests.len() + usize::from(!errors.is_empty()),
            count(TestOutcome::Failed),
            count(TestOutcome::Broken) + usize::from(!errors.is_empty()),
            file.seconds.0.as_secs_f64()
        ),
    );
    if !errors.is_empty() {
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let text = text.join("\n\n");
        push(
            xml,
            format_args!(
                "    <testcase classname=\"{name}\" name=\"the file can be read\">\n      <error message=\"the file has mistakes\">{}</error>\n    </testcase>\n",
                Escaped(&text)
            ),
        );
    }
    for test in &file.tests {
        case(xml, file, test);
    }
    xml.push_str("  </testsuite>\n");
}

fn case(xml: &mut String, file: &TestFile, test: &TestResult) {
    let (class, name) = (Escaped(&file.path), Escaped(&test.name));
    let seconds = test.seconds.0.as_secs_f64();
    push(
        xml,
        format_args!(
            "    <testcase classname=\"{class}\" name=\"{name}\" file=\"{class}\" line=\"{}\" time=\"{seconds:.3}\"",
            test.line
        ),
    );
    let element = match test.outcome {
        TestOutcome::Passed => return xml.push_str("/>\n"),
        TestOutcome::Failed => "failure",
        TestOutcome::Broken => "error",
    };
    let message = test.failures.first().map_or("", |failure| failure.text.as_str());
    let failures = test.failures.iter().map(ToString::to_string);
    let found = test.findings.iter().map(ToString::to_string);
    let text: Vec<String> = failures.chain(found).chain(test.errors.iter().cloned()).collect();
    let text = text.join("\n\n");
    push(
        xml,
        format_args!(
            ">\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>\n",
            Escaped(message),
            Escaped(&text)
        ),
    );
}

impl fmt::Display for Failure {
    /// What is wrong, and the rows, each on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.rows.iter().try_for_each(|row| write!(f, "\n{row}"))
    }
}

impl fmt::Display for Row {
    /// Two lines where both sides are there and differ: `- ` is expected, `+ ` was told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = sereno_runtime::units::format_duration(self.at.0);
        let got = self.got.as_deref().unwrap_or_default();
        let expected = self.expected.as_deref().unwrap_or_default();
        match self.kind {
            RowKind::Matched => write!(f, "  {at} {got}"),
            RowKind::Missing => write!(f, "- {expected}  (line {})", self.line),
            RowKind::Unexpected => write!(f, "+ {at} {got}"),
            RowKind::Differs => {
                write!(f, "- {expected}  (line {})\n+ {at} {got}", self.line)?;
                self.differs.iter().try_for_each(|differs| write!(f, "\n    {differs}"))
            }
        }
    }
}

/// A text as it may stand in XML, in an attribute too.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\n' | '\t' => f.write_char(c)?,
                // Such characters cannot stand in XML 1.0 at all, not even escaped.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn push(xml: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _infallible = xml.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::super::Seconds;
    use super::*;

    #[test]
    fn build_servers_see_what_failed() {
        let row = Row {
            kind: RowKind::Differs,
            at: Seconds(std::time::Duration::from_secs(70)),
            expected: Some("1m firing".into()),
            line: 7,
            got: Some("resolved crit a{b=\"<c>\"}".into()),
            differs: vec!["kind: expected firing, got resolved".into()],
        };
        let failure = Failure { text: "a & b".into(), rows: vec![row], ..Failure::default() };
        let failed = TestResult {
            name: "bad \u{1}".into(),
            line: 3,
            outcome: TestOutcome::Failed,
            failures: vec![failure],
            ..TestResult::default()
        };
        let passed = TestResult { name: "good".into(), ..TestResult::default() };
        let file =
            TestFile { path: "a_test.yaml".into(), tests: vec![passed, failed], ..TestFile::default() };
        let report = TestReport { files: vec![file], ..TestReport::default() };
        insta::assert_snapshot!(report.to_junit(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="sereno rules test" tests="2" failures="1" errors="0" time="0.000">
          <testsuite name="a_test.yaml" tests="2" failures="1" errors="0" time="0.000">
            <testcase classname="a_test.yaml" name="good" file="a_test.yaml" line="0" time="0.000"/>
            <testcase classname="a_test.yaml" name="bad �" file="a_test.yaml" line="3" time="0.000">
              <failure message="a &amp; b">a &amp; b
        - 1m firing  (line 7)
        + 1m10s resolved crit a{b=&quot;&lt;c&gt;&quot;}
            kind: expected firing, got resolved</failure>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
