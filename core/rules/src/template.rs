//! Messages: text with `${…}` in it, checked when the rule is loaded, so that nothing is left to fail when it fires.
//!
//! Inside the braces stands an expression, in which there is more to speak of than in conditions ([`Name`]).

use std::borrow::Cow;
use std::time::Duration;

use crate::expression::{ExpressionError, Node, Scope, Source};

pub use crate::expression::Name;

/// A message to be filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Shown(Node),
}

/// What a name stands for at the moment of rendering.
#[derive(Clone, Debug, PartialEq)]
pub enum Filled {
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// There is none.
    None,
}

/// Where names come from while a message is filled in.
struct Filling<F>(F);

impl<F: Fn(&Name) -> Filled> Source for Filling<F> {
    fn number(&self, name: &Name) -> Option<f64> {
        match (self.0)(name) {
            Filled::Number(number) => Some(number),
            Filled::Text(_) | Filled::None => None,
        }
    }

    fn truth(&self, name: &Name) -> Option<bool> {
        match (self.0)(name) {
            Filled::Text(text) => text.parse().ok(),
            Filled::Number(_) | Filled::None => None,
        }
    }

    fn text(&self, name: &Name) -> Option<Cow<'_, str>> {
        match (self.0)(name) {
            Filled::Text(text) => Some(text.into()),
            Filled::Number(_) | Filled::None => None,
        }
    }
}

impl Template {
    /// Reads a template. `scope` knows which names the rule has.
    pub(crate) fn parse(text: &str, scope: &Scope) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, body) = (&rest[..start], &rest[start + 2..]);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let begins = text[..text.len() - rest.len() + start].chars().count();
            let Some(end) = end_of(body) else {
                return Err(ExpressionError {
                    offset: begins,
                    length: 2,
                    message: "`${` is not closed by `}`".into(),
                    hint: "close it, or write the text without `${`".into(),
                });
            };
            let inner = &body[..end];
            let node = Node::compile(inner, scope)
                .map_err(|error| ExpressionError { offset: error.offset + begins + 2, ..error })?;
            parts.push(Part::Shown(node));
            rest = &body[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Whether a name is used; some cost something to find out.
    #[must_use]
    pub fn mentions(&self, name: &Name) -> bool {
        self.uses(&|used| used == name)
    }

    /// Whether any name is used that is `wanted`.
    #[must_use]
    pub fn uses(&self, wanted: &dyn Fn(&Name) -> bool) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::Shown(node) => node.uses(wanted),
        })
    }

    /// The message; what there is none of shows as `?`, and line breaks as spaces.
    #[must_use]
    pub fn render(&self, fill: impl Fn(&Name) -> Filled) -> String {
        let source = Filling(fill);
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Shown(node) => text.push_str(node.show(&source).as_deref().unwrap_or("?")),
            }
        }
        text.replace(char::is_control, " ")
    }
}

/// Where the `}` stands that ends an expression: not one in quotes.
fn end_of(body: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '}') => return Some(at),
            (None, _) => {}
        }
    }
    None
}

/// A number for people: whole ones whole, others with six significant digits at most.
#[must_use]
pub fn number_text(number: f64) -> String {
    let whole = number.fract() == 0.0 && number.abs() < 1e15;
    if whole || !number.is_finite() {
        return format!("{number}");
    }
    let magnitude = number.abs().log10().floor();
    if !(-5.0..15.0).contains(&magnitude) {
        return format!("{number:.5e}");
    }
    let decimals = (5.0 - magnitude).max(0.0) as usize;
    let text = format!("{number:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A size for people: `1.5 GiB`.
pub(crate) fn bytes_text(bytes: f64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes, 0);
    while value.abs() >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// Seconds for people, at most two units: `3d 4h` reads better than `3d 4h 12m 9s`.
pub(crate) fn duration_text(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let Ok(duration) = Duration::try_from_secs_f64(seconds.abs()) else {
        return format!("{} s", number_text(seconds));
    };
    if duration < Duration::from_secs(1) && !duration.is_zero() {
        return format!("{sign}{}ms", duration.as_millis());
    }
    let mut rest = duration.as_secs_f64().round() as u64;
    let mut parts = Vec::new();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0s".to_owned() } else { format!("{sign}{}", parts.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{InMessage, V};

    fn scope() -> Scope {
        Scope {
            v: V::Value,
            inputs: vec!["err".into(), "all".into()],
            labels: None,
            params: [("who".to_owned(), sereno_script::ParamValue::Text("ops".into()))].into(),
            message: Some(InMessage { has_limit: true, has_runbook: false, has_script: true }),
        }
    }

    fn fill(name: &Name) -> Filled {
        match name {
            Name::Value => Filled::Number(81.26),
            Name::Reading(0) => Filled::Number(5.0),
            Name::Reading(1) => Filled::Number(200.0),
            Name::Duration => Filled::Number(3_725.0),
            Name::Label(label) if label == "host" => Filled::Text("a\nb".into()),
            Name::Level => Filled::Text("crit".into()),
            Name::Trace(trace) if trace == "z" => Filled::Number(4.5),
            Name::Param(_) => Filled::Text("ops".into()),
            _ => Filled::None,
        }
    }

    #[test]
    fn what_stands_in_braces_is_filled_in() {
        let render = |text: &str| Template::parse(text, &scope()).unwrap().render(fill);
        assert_eq!(render("${labels.host}: load ${fmt(v, 1)} (${level})"), "a b: load 81.3 (crit)");
        assert_eq!(render("$5 for ${ v } ${labels.rack}"), "$5 for 81.26 ?");
        assert_eq!(render("${fmt(ratio(err, all) * 100, 1)} % = ${pct(err / all, 1)}"), "2.5 % = 2.5 %");
        assert_eq!(render("${duration} ${dur(90)} ${bytes(1536)} ${v > 80}"), "1h 2m 1m 30s 1.5 KiB true");
        assert_eq!(
            render("${traces.z} ${fmt(traces.z, 2)} ${params.who} ${'}'} ${traces.none}"),
            "4.5 4.50 ops } ?"
        );
        assert!(Template::parse("${fmt(n, 0)}", &scope()).unwrap().mentions(&Name::Count));
    }

    #[test]
    fn mistakes_are_found_when_the_rule_is_loaded() {
        let fail = |text: &str| Template::parse(text, &scope()).unwrap_err();
        assert_eq!(fail("ä ${valu}").offset, 4);
        assert_eq!(fail("ä ${valu}").message, "there is nothing called `valu`");
        assert_eq!(fail("${v").message, "`${` is not closed by `}`");
        assert_eq!(fail("${fmt(level, 1)}").message, "this is a text, and a number is needed");
        assert_eq!(fail("${runbook}").message, "the rule has no `runbook`");
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [12.0, -0.5, 81.259_999, 1_234_567.891, 1e20, 1e-9, f64::NAN, f64::INFINITY, 0.1 + 0.2];
        let shown: Vec<String> = numbers.into_iter().map(number_text).collect();
        assert_eq!(shown.join(" "), "12 -0.5 81.26 1234568 1.00000e20 1.00000e-9 NaN inf 0.3");
        let durations = [0.0, 0.25, 59.6, 3_600.0, 90_061.0, -60.0];
        let shown: Vec<String> = durations.into_iter().map(duration_text).collect();
        assert_eq!(shown.join(", "), "0s, 250ms, 1m, 1h, 1d 1h, -1m");
    }
}
