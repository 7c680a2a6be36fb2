//! Messages: text with `${…}` in it, checked when the rule is loaded, so that nothing is left to fail when it fires.
//!
//! Inside the braces stand `v` (the value), `n` (how many samples it was taken from), `level`, `rule`, `limit`,
//! `labels.NAME`, `params.NAME`, or `fmt(X, digits)` with one of the numbers among them.

use std::fmt::Write as _;

/// A message to be filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Name(Name),
    Rounded(Name, usize),
}

/// What a message can speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The value that decided.
    Value,
    /// How many samples it was taken from.
    Count,
    /// The level.
    Level,
    /// The rule's id.
    Rule,
    /// The rule's `limit` or `below`.
    Limit,
    /// A label of the instance.
    Label(String),
    /// A parameter of the rule.
    Param(String),
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

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The character at which the mistake begins, from 0.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

const NAMES: &str = "`v`, `n`, `level`, `rule`, `limit`, `labels.NAME`, `params.NAME`, `fmt(v, 1)`";
const DIGITS_MAX: usize = 17;

impl Template {
    /// Reads a template. `known` tells whether the rule has such a name: a label of its instances, a parameter, a
    /// limit; if not, it says which there are.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(text: &str, known: impl Fn(&Name) -> Result<(), String>) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let fail = |message: String, hint: String| TemplateError {
                offset: text[..text.len() - rest.len() + start].chars().count(),
                message,
                hint,
            };
            let (before, body) = (&rest[..start], &rest[start + 2..]);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some((body, after)) = body.split_once('}') else {
                return Err(fail(
                    "`${` is not closed by `}`".into(),
                    "close it, or write the text without `${`".into(),
                ));
            };
            let unknown =
                || fail(format!("a message cannot speak of `${{{body}}}`"), format!("it can of {NAMES}"));
            let part = Part::parse(body.trim()).ok_or_else(unknown)?;
            known(part.name()).map_err(|hint| fail(format!("the rule has no `{body}`"), hint))?;
            parts.push(part);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Whether a name is used; some cost something to find out.
    #[must_use]
    pub fn mentions(&self, name: &Name) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::Name(used) | Part::Rounded(used, _) => used == name,
        })
    }

    /// The message; what there is none of shows as `?`, and line breaks as spaces.
    #[must_use]
    pub fn render(&self, fill: impl Fn(&Name) -> Filled) -> String {
        let mut text = String::new();
        for part in &self.parts {
            let (filled, digits) = match part {
                Part::Text(plain) => (Filled::Text(plain.clone()), None),
                Part::Name(name) => (fill(name), None),
                Part::Rounded(name, digits) => (fill(name), Some(*digits)),
            };
            match (filled, digits) {
                (Filled::Number(number), Some(digits)) => {
                    // Writing to a string cannot fail.
                    let _infallible = write!(text, "{number:.digits$}");
                }
                (Filled::Number(number), None) => text.push_str(&number_text(number)),
                (Filled::Text(plain), _) => text.push_str(&plain),
                (Filled::None, _) => text.push('?'),
            }
        }
        text.replace(char::is_control, " ")
    }
}

impl Part {
    fn parse(body: &str) -> Option<Self> {
        let Some(call) = body.strip_prefix("fmt(") else {
            return Name::parse(body).map(Self::Name);
        };
        let (name, digits) = call.strip_suffix(')')?.rsplit_once(',')?;
        let digits = digits.trim().parse().ok().filter(|digits| *digits <= DIGITS_MAX)?;
        let name = Name::parse(name.trim())?;
        let number = !matches!(name, Name::Level | Name::Rule | Name::Label(_));
        number.then_some(Self::Rounded(name, digits))
    }

    fn name(&self) -> &Name {
        match self {
            Self::Name(name) | Self::Rounded(name, _) => name,
            Self::Text(_) => &Name::Rule,
        }
    }
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "v" => Self::Value,
            "n" => Self::Count,
            "level" => Self::Level,
            "rule" => Self::Rule,
            "limit" => Self::Limit,
            _ => match text.split_once('.')? {
                ("labels", label) if !label.is_empty() => Self::Label(label.to_owned()),
                ("params", param) if !param.is_empty() => Self::Param(param.to_owned()),
                _ => return None,
            },
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn any(_: &Name) -> Result<(), String> {
        Ok(())
    }

    fn fill(name: &Name) -> Filled {
        match name {
            Name::Value => Filled::Number(81.26),
            Name::Label(label) if label == "host" => Filled::Text("a\nb".into()),
            Name::Level => Filled::Text("crit".into()),
            _ => Filled::None,
        }
    }

    #[test]
    fn names_are_filled_in() {
        let render = |text: &str| Template::parse(text, any).unwrap().render(fill);
        assert_eq!(render("${labels.host}: load ${fmt(v, 1)} (${level})"), "a b: load 81.3 (crit)");
        assert_eq!(render("$5 for ${ v } ${labels.rack}"), "$5 for 81.26 ?");
        assert!(Template::parse("${fmt(n, 0)}", any).unwrap().mentions(&Name::Count));
    }

    #[test]
    fn mistakes_are_found_when_the_rule_is_loaded() {
        let fail = |text: &str| Template::parse(text, any).unwrap_err();
        assert_eq!(fail("ä ${valu}").offset, 2);
        assert_eq!(fail("ä ${valu}").message, "a message cannot speak of `${valu}`");
        assert_eq!(fail("${v").message, "`${` is not closed by `}`");
        assert!(Template::parse("${fmt(level, 1)}", any).is_err(), "only numbers have digits");
        let no_limit = |name: &Name| if *name == Name::Limit { Err("it has none".into()) } else { Ok(()) };
        assert_eq!(Template::parse("${limit}", no_limit).unwrap_err().message, "the rule has no `limit`");
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [12.0, -0.5, 81.259_999, 1_234_567.891, 1e20, 1e-9, f64::NAN, f64::INFINITY, 0.1 + 0.2];
        let shown: Vec<String> = numbers.into_iter().map(number_text).collect();
        assert_eq!(shown.join(" "), "12 -0.5 81.26 1234568 1.00000e20 1.00000e-9 NaN inf 0.3");
    }
}
