//! Arguments that are written out: names of aggregations, durations, time zones, the keys of queries. What they mean is
//! known when the script is loaded, so that is when a mistake in them is found.

use rhai::{Expr, FnCallExpr, Position};
use sereno_query::Across;
use sereno_runtime::units::parse_duration;

use super::{Linter, Type, suggest};
use crate::calendar::Zone;
use crate::query;

/// What a text argument has to be.
#[derive(Clone, Copy)]
enum Meaning {
    Aggregation,
    Duration,
    Zone,
    Level,
    Across,
    Query { of_instance: bool },
}

/// What the arguments of a call mean, by their places.
fn meanings(receiver: Option<Type>, name: &str, arity: usize) -> &'static [(usize, Meaning)] {
    use Meaning::{Aggregation, Duration, Level, Query, Zone};
    match (receiver, name, arity) {
        (Some(Type::Instance | Type::Alert | Type::Input), "series", _) => &[(0, Duration), (1, Duration)],
        (Some(Type::Instance | Type::Alert | Type::Input), "agg", _) => &[(0, Aggregation), (1, Duration)],
        (Some(Type::Instance | Type::Alert), "query", 1) => &[(0, Query { of_instance: true })],
        (Some(Type::Instance | Type::Alert), "query", 3) => &[(1, Aggregation), (2, Duration)],
        (Some(Type::Rule), "query", 1) => &[(0, Query { of_instance: false })],
        (Some(Type::Rule), "query", 4) => &[(2, Aggregation), (3, Duration)],
        (Some(Type::Window), "forecast" | "ewma", 1) | (None, "dur", 1) => &[(0, Duration)],
        (None, "hour" | "weekday" | "date", 2) => &[(1, Zone)],
        (None, "alert", 1 | 2) => &[(0, Level)],
        _ => &[],
    }
}

impl Linter<'_> {
    /// Checks what is written out among the arguments.
    pub(super) fn check_literals(&mut self, receiver: Option<Type>, call: &FnCallExpr) {
        for (index, meaning) in meanings(receiver, &call.name, call.args.len()) {
            if let Some(argument) = call.args.get(*index) {
                self.check_literal(*meaning, argument);
            }
        }
    }

    fn check_literal(&mut self, meaning: Meaning, argument: &Expr) {
        match argument {
            Expr::StringConstant(text, position) => self.check_text(meaning, text, *position),
            Expr::Map(map, _) => {
                if let Meaning::Query { of_instance } = meaning {
                    let entries = map.0.iter().map(|(key, value)| (key.name.as_str(), key.pos, value));
                    self.check_query(of_instance, &entries.collect::<Vec<_>>());
                }
            }
            _ => {}
        }
    }

    fn check_query(&mut self, of_instance: bool, entries: &[(&str, Position, &Expr)]) {
        for (key, position, value) in entries {
            let known: Vec<&str> = query::keys(of_instance).collect();
            if !known.contains(key) {
                let message = query::unknown_key("query", key, known.iter().copied());
                self.report(*position, key.chars().count(), message, None);
            }
            match *key {
                "agg" => self.check_literal(Meaning::Aggregation, value),
                "window" | "offset" => self.check_literal(Meaning::Duration, value),
                "across" => self.check_literal(Meaning::Across, value),
                _ => {}
            }
        }
        for key in ["metric", "agg"] {
            if let (Some((_, position, _)), false) =
                (entries.first(), entries.iter().any(|(known, ..)| *known == key))
            {
                self.report(*position, 0, format!("a query needs `{key}`"), None);
            }
        }
    }

    fn check_text(&mut self, meaning: Meaning, text: &str, position: Position) {
        let wrong = match meaning {
            Meaning::Aggregation => self.unknown_aggregation(text),
            Meaning::Duration => {
                parse_duration(text).err().map(|why| (format!("`{text}` is no duration"), Some(why)))
            }
            Meaning::Zone => Zone::named(text).err().map(|error| (error.to_string(), None)),
            Meaning::Level => {
                text.parse::<sereno_model::Level>().err().map(|error| (error.to_string(), None))
            }
            Meaning::Across => text.parse::<Across>().err().map(|error| (error.to_string(), None)),
            Meaning::Query { .. } => None,
        };
        if let Some((message, hint)) = wrong {
            self.report(position, text.chars().count() + 2, message, hint);
        }
    }

    fn unknown_aggregation(&self, text: &str) -> Option<(String, Option<String>)> {
        let first = text.rsplit_once('.').map_or(text, |(first, _)| first);
        if self.aggregations.contains(text) || self.aggregations.contains(first) {
            return None;
        }
        let near = suggest(first, self.aggregations.iter().map(String::as_str));
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        Some((format!("there is no aggregation `{text}`"), hint))
    }
}
