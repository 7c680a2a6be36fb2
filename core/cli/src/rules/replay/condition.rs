//! `--fail-if`: a name of something that a replay counts, a comparison, and a number.

use sereno_rules::report::{ReplayReport, Totals};
use sereno_runtime::{diagnostic, units};

use crate::output::number::Unit;

/// What only a comparison counts.
const DIFFERENCES: [&str; 4] = ["only_here", "only_there", "both", "lead_seconds"];
/// The longer ones first: `>` begins `>=`.
const SIGNS: [&str; 7] = [">=", "<=", "==", "!=", ">", "<", "="];

/// `fires > 5`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    name: String,
    sign: &'static str,
    number: f64,
}

impl Condition {
    /// For clap.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let found = SIGNS.iter().find_map(|sign| Some((*sign, text.split_once(sign)?)));
        let Some((sign, (name, number))) = found else {
            return Err("it is a name, a comparison and a number, like `fires > 5`".into());
        };
        let (name, number) = (name.trim(), number.trim());
        let known = || Totals::NAMES.into_iter().chain(DIFFERENCES);
        if Totals::default().get(name).is_none() && !DIFFERENCES.contains(&name) {
            let hint = diagnostic::suggest(name, "names", known());
            return Err(format!("a replay counts no `{name}`; {hint}"));
        }
        let seconds = || units::parse_duration(number).ok().map(|span| span.as_secs_f64());
        let number = number.parse().ok().or_else(|| seconds().filter(|_| name.ends_with("_seconds")));
        let Some(number) = number.filter(|number: &f64| !number.is_nan()) else {
            return Err("after the comparison comes a number, or for seconds a time like `1h`".into());
        };
        Ok(Self { name: name.to_owned(), sign, number })
    }

    /// Whether it is about the difference to another run.
    pub(super) fn compares(&self) -> bool {
        DIFFERENCES.contains(&self.name.as_str())
    }

    /// What is so, if it is: `fires is 7 (> 5)`.
    pub(super) fn met(&self, report: &ReplayReport) -> Option<String> {
        let (value, number) = (self.value(report)?, self.number);
        let is = match self.sign {
            ">=" => value >= number,
            "<=" => value <= number,
            "!=" => value != number,
            ">" => value > number,
            "<" => value < number,
            _ => value == number,
        };
        let short = |number| Unit::Plain.short(number);
        is.then(|| format!("{} is {} ({} {})", self.name, short(value), self.sign, short(number)))
    }

    /// There is no lead where nothing is in both.
    fn value(&self, report: &ReplayReport) -> Option<f64> {
        if let Some(total) = report.totals.get(&self.name) {
            return Some(total);
        }
        let against = report.against.as_ref()?;
        match self.name.as_str() {
            "only_here" => Some(against.only_here.len() as f64),
            "only_there" => Some(against.only_there.len() as f64),
            "both" => Some(against.both as f64),
            _ => against.median_lead_seconds.map(|lead| lead.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_held_against_totals() {
        let mut report = ReplayReport::default();
        report.totals.kinds.insert("firing".into(), 7);
        let met = |text: &str| Condition::parse(text).expect("it is good").met(&report);
        assert_eq!(met("fires > 5").as_deref(), Some("fires is 7 (> 5)"));
        assert_eq!(met("fires>=8"), None);
        assert_eq!(met("fires = 7").as_deref(), Some("fires is 7 (= 7)"));
        assert_eq!(met("longest_seconds < 1h").as_deref(), Some("longest_seconds is 0 (< 3600)"));
        assert_eq!(met("lead_seconds < 0"), None, "nothing was compared");
        let wrong = ["fires", "fires > x", "fires > 1h", "fres > 1", "> 1", "fires > NaN"];
        let told: Vec<_> = wrong.iter().map(|text| Condition::parse(text).unwrap_err()).collect();
        insta::assert_snapshot!(told.join("\n"), @"
        it is a name, a comparison and a number, like `fires > 5`
        after the comparison comes a number, or for seconds a time like `1h`
        after the comparison comes a number, or for seconds a time like `1h`
        a replay counts no `fres`; did you mean `fires`?
        a replay counts no ``; names: `events`, `fires`, `resolves`, `closes`, `escalations`, `deescalations`, `reminders`, `stales`, `flappings`, `info`, `warn`, `crit`, `episodes`, `open`, `flaps`, `firing_seconds`, `longest_seconds`, `median_pending_seconds`, `only_here`, `only_there`, `both`, `lead_seconds`
        after the comparison comes a number, or for seconds a time like `1h`
        ");
    }
}
