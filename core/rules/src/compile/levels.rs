//! Levels and their conditions: the short form, `levels`, and what an override puts over them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_yaml::Value as Yaml;
use sereno_model::Level;
use sereno_runtime::units::format_duration;
use sereno_runtime::yaml::Step;

use super::{Compiler, Kind, SPAN_MAX};
use crate::expression::{Comparison, Expression, Scope, read_number};
use crate::file::{LevelWritten, OverrideWritten};
use crate::rule::{LevelRule, Limit};
use crate::state::Worse;

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Spot<'a, T> {
    pub value: T,
    pub path: Vec<Step<'a>>,
}

/// What is asked of one level.
#[derive(Clone, Debug, Default)]
pub(super) struct AskedLevel<'a> {
    when: Option<Spot<'a, Yaml>>,
    clear: Option<Spot<'a, Yaml>>,
    pub hold: Option<Spot<'a, Duration>>,
}

/// What is asked of the levels of a variant: by the rule, and an override over it.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    limit: Option<Spot<'a, Yaml>>,
    below: Option<Spot<'a, Yaml>>,
    when: Option<Spot<'a, Yaml>>,
    clear: Option<Spot<'a, Yaml>>,
    level: Level,
    /// The long form.
    levels: Option<BTreeMap<Level, AskedLevel<'a>>>,
    pub hold: Option<Spot<'a, Duration>>,
    pub recover_for: Option<Spot<'a, Duration>>,
}

/// The levels of a variant, compiled.
pub(super) struct Levelled {
    pub levels: Vec<LevelRule>,
    pub hold: [Option<Duration>; 3],
    pub limit: Option<Limit>,
    pub worse: Worse,
}

/// A condition in one of its forms.
struct Condition {
    expression: Expression,
    bound: Option<(Comparison, f64)>,
}

fn spot<'a, T: Clone>(value: Option<&T>, prefix: &[Step<'a>], key: &'a str) -> Option<Spot<'a, T>> {
    Some(Spot { value: value?.clone(), path: [prefix, &[Step::Key(key)]].concat() })
}

impl<'a> Compiler<'a> {
    /// What the rule asks.
    pub(super) fn asked(&mut self) -> Option<Asked<'a>> {
        let written = &self.written.written;
        let level = match written.level.as_deref().map(str::parse::<Level>) {
            None => Level::Crit,
            Some(Ok(level)) => level,
            Some(Err(error)) => {
                self.error(&[Step::Key("level")], error.to_string(), "leave it out for `crit`");
                Level::Crit
            }
        };
        let before = self.found.len();
        let levels = written.levels.as_ref().map(|levels| self.asked_levels(levels, &[]));
        (self.found.len() == before).then_some(())?;
        Some(Asked {
            limit: spot(written.limit.as_ref(), &[], "limit"),
            below: spot(written.below.as_ref(), &[], "below"),
            when: spot(written.when.as_ref(), &[], "when"),
            clear: spot(written.clear.as_ref(), &[], "clear"),
            level,
            levels,
            hold: spot(written.r#for.as_ref(), &[], "for"),
            recover_for: spot(written.recover_for.as_ref(), &[], "recover_for"),
        })
    }

    /// What an override asks instead; what it leaves out stays.
    pub(super) fn overridden<'o>(
        &mut self,
        base: &Asked<'o>,
        over: &'o OverrideWritten,
        prefix: &[Step<'o>],
    ) -> Option<Asked<'o>> {
        let mut asked = base.clone();
        let before = self.found.len();
        for (key, value, known) in [
            ("limit", &over.limit, base.limit.is_some()),
            ("below", &over.below, base.below.is_some()),
            ("clear", &over.clear, base.levels.is_none()),
        ] {
            let Some(spot) = spot(value.as_ref(), prefix, key) else { continue };
            if !known {
                let hint = match base.levels.is_some() {
                    true => "override its `levels`".to_owned(),
                    false => {
                        format!("an override changes what the rule says itself; give the rule a `{key}`")
                    }
                };
                self.error(&spot.path, format!("the rule has no `{key}` to override"), hint);
                continue;
            }
            match key {
                "limit" => asked.limit = Some(spot),
                "below" => asked.below = Some(spot),
                _ => asked.clear = Some(spot),
            }
        }
        if let Some(written) = &over.levels {
            let path = [prefix, &[Step::Key("levels")]].concat();
            let over = self.asked_levels(written, prefix);
            match &mut asked.levels {
                Some(levels) => {
                    for (level, over) in over {
                        let level = levels.entry(level).or_default();
                        level.when = over.when.or(level.when.take());
                        level.clear = over.clear.or(level.clear.take());
                        level.hold = over.hold.or(level.hold.take());
                    }
                }
                None if self.written.written.script.is_some() => asked.levels = Some(over),
                None => self.error(&path, "the rule has no `levels` to override", "override its `limit`"),
            }
        }
        asked.hold = spot(over.r#for.as_ref(), prefix, "for").or(asked.hold);
        asked.recover_for = spot(over.recover_for.as_ref(), prefix, "recover_for").or(asked.recover_for);
        (self.found.len() == before).then_some(asked)
    }

    fn asked_levels<'o>(
        &mut self,
        written: &'o serde_yaml::Mapping,
        prefix: &[Step<'o>],
    ) -> BTreeMap<Level, AskedLevel<'o>> {
        let mut levels = BTreeMap::new();
        if written.is_empty() {
            let path = [prefix, &[Step::Key("levels")]].concat();
            self.error(
                &path,
                "`levels` names no level",
                "like `levels: { warn: \"v >= 80\", crit: \"v >= 95\" }`",
            );
        }
        for (key, value) in written {
            let key = key.as_str().unwrap_or_default();
            let path = [prefix, &[Step::Key("levels"), Step::Key(key)]].concat();
            let Ok(level) = key.parse::<Level>() else {
                let error = self.written.key_error(&path, format!("`{key}` is not a level"));
                self.found.push(error.hint("levels are `info`, `warn` and `crit`"));
                continue;
            };
            let asked = match value {
                Yaml::Mapping(_) => match self.read::<LevelWritten>(&path) {
                    Some(long) => AskedLevel {
                        when: spot(long.when.as_ref(), &path, "when"),
                        clear: spot(long.clear.as_ref(), &path, "clear"),
                        hold: spot(long.r#for.as_ref(), &path, "for"),
                    },
                    None => continue,
                },
                // A script decides about this one, without a clock of its own.
                Yaml::Bool(true) | Yaml::Null if self.written.written.script.is_some() => {
                    AskedLevel::default()
                }
                short => AskedLevel {
                    when: Some(Spot { value: short.clone(), path: path.clone() }),
                    ..AskedLevel::default()
                },
            };
            if levels.insert(level, asked).is_some() {
                let error = self.written.key_error(&path, format!("the level `{level}` is given twice"));
                self.found.push(error.hint("`warning` is `warn`, `critical` is `crit`; remove one of them"));
            }
        }
        levels
    }

    /// Compiles what is asked. `scope` is missing where the inputs are broken.
    pub(super) fn levelled(
        &mut self,
        asked: &Asked<'_>,
        kind: Kind,
        scope: Option<&Scope>,
    ) -> Option<Levelled> {
        let before = self.found.len();
        self.spans_of(asked);
        let levelled = match (&asked.levels, kind) {
            (_, Kind::Record | Kind::Heartbeat) => Some(nothing()),
            (Some(levels), _) => self.long(levels, asked, kind, scope),
            (None, Kind::Check | Kind::Decide | Kind::Lost) => Some(Levelled {
                hold: [Some(asked.hold.as_ref().map_or(Duration::ZERO, |spot| spot.value)); 3],
                ..nothing()
            }),
            (None, Kind::Conditions) => self.short(asked, scope),
        };
        levelled.filter(|_| self.found.len() == before)
    }

    fn spans_of(&mut self, asked: &Asked<'_>) {
        let of_levels =
            asked.levels.iter().flat_map(BTreeMap::values).filter_map(|level| level.hold.as_ref());
        for spot in of_levels.chain(&asked.hold).chain(&asked.recover_for) {
            if spot.value > SPAN_MAX {
                let message = format!("{} is too long", format_duration(spot.value));
                self.error(&spot.path, message, "give at most a year");
            }
        }
    }

    fn short(&mut self, asked: &Asked<'_>, scope: Option<&Scope>) -> Option<Levelled> {
        let (when, limit) = match (&asked.limit, &asked.below, &asked.when) {
            (Some(limit), None, None) => self.limit(limit, "limit", Comparison::AtLeast, scope)?,
            (None, Some(below), None) => self.limit(below, "below", Comparison::Less, scope)?,
            (None, None, Some(when)) => {
                let condition = self.condition(when, None, scope?)?;
                let limit = condition.bound.and_then(limit_of);
                (condition, limit)
            }
            // That nothing is asked has been told.
            (None, None, None) => return None,
            (Some(_), Some(below), _) => {
                let hint = "write two rules, one for each side";
                self.error(&below.path, "a rule has either `limit` or `below`", hint);
                return None;
            }
            (limit, below, Some(_)) => {
                let other = limit.as_ref().or(below.as_ref())?;
                let hint = "say all of it in `when`: `v >= 80 && n >= 5`";
                self.error(&other.path, "a rule has either a limit or `when`", hint);
                return None;
            }
        };
        let clear = match &asked.clear {
            Some(clear) => Some(self.clear(clear, when.bound, scope?)?),
            None => None,
        };
        let mut hold = [None; 3];
        hold[asked.level as usize] = Some(asked.hold.as_ref().map_or(Duration::ZERO, |spot| spot.value));
        let worse = limit.map_or(Worse::Higher, |limit| limit.worse);
        let levels = vec![LevelRule { level: asked.level, when: Some(when.expression), clear }];
        Some(Levelled { levels, hold, limit, worse })
    }

    fn long(
        &mut self,
        levels: &BTreeMap<Level, AskedLevel<'_>>,
        asked: &Asked<'_>,
        kind: Kind,
        scope: Option<&Scope>,
    ) -> Option<Levelled> {
        if let Some(other) = asked.limit.as_ref().or(asked.below.as_ref()).or(asked.when.as_ref()) {
            self.error(&other.path, "a rule has either this or `levels`", "move it into `levels`");
            return None;
        }
        let default = asked.hold.as_ref().map_or(Duration::ZERO, |spot| spot.value);
        let mut hold = if kind.is_script() { [Some(default); 3] } else { [None; 3] };
        let mut compiled = Vec::new();
        let mut lower = 0;
        for (level, asked) in levels {
            hold[*level as usize] = Some(asked.hold.as_ref().map_or(default, |spot| spot.value));
            if kind.is_script() {
                self.refuse_conditions(asked);
                compiled.push(LevelRule { level: *level, when: None, clear: None });
                continue;
            }
            let Some(when) = &asked.when else {
                let path = [Step::Key("levels"), Step::Key(self.level_key(*level))];
                self.error(&path, format!("the level `{level}` has no `when`"), "like `when: \"v >= 80\"`");
                continue;
            };
            let Some(when) = self.condition(when, None, scope?) else { continue };
            let clear = match &asked.clear {
                Some(clear) => self.clear(clear, when.bound, scope?),
                None => None,
            };
            lower += usize::from(matches!(when.bound, Some((Comparison::Less | Comparison::AtMost, _))));
            compiled.push(LevelRule { level: *level, when: Some(when.expression), clear });
        }
        let worse = if lower == compiled.len() && lower > 0 { Worse::Lower } else { Worse::Higher };
        Some(Levelled { levels: compiled, hold, limit: None, worse })
    }

    /// The level, as the rule calls it.
    fn level_key(&self, level: Level) -> &'a str {
        let keys = self.written.written.levels.iter().flat_map(|levels| levels.keys());
        let mut keys = keys.filter_map(Yaml::as_str);
        keys.find(|key| key.parse::<Level>() == Ok(level)).unwrap_or(level.as_str())
    }

    fn refuse_conditions(&mut self, asked: &AskedLevel<'_>) {
        for spot in [&asked.when, &asked.clear].into_iter().flatten() {
            let hint = "give `for`, or pass numbers in `params`";
            self.error(&spot.path, "the script says when it fires, and when it is clear", hint);
        }
    }

    /// The limit of the short form: a number, or `< 14d`.
    fn limit(
        &mut self,
        spot: &Spot<'_, Yaml>,
        key: &str,
        usual: Comparison,
        scope: Option<&Scope>,
    ) -> Option<(Condition, Option<Limit>)> {
        let text = self.written.text(&spot.path).unwrap_or_default().trim().to_owned();
        let (comparison, number) = match sides(&text) {
            Some((comparison, rest)) if key == "limit" => (comparison, rest),
            _ => (usual, text.as_str()),
        };
        match read_number(number) {
            Ok(number) => {
                self.has_v(&spot.path, scope?)?;
                let bound = Some((comparison, number));
                let expression = Expression::bound(comparison, number);
                Some((Condition { expression, bound }, bound.and_then(limit_of)))
            }
            Err(_) if text.starts_with('v') || text.contains("&&") => {
                let message = format!("`{key}` must be a number, a duration or a size");
                self.error(&spot.path, message, format!("write the condition as `when: \"{text}\"`"));
                None
            }
            Err(hint) => {
                let message = format!("`{key}` must be a number, a duration or a size");
                self.error(&spot.path, message, hint);
                None
            }
        }
    }

    /// Whether there is a `v` to be compared.
    fn has_v(&mut self, path: &[Step<'_>], scope: &Scope) -> Option<()> {
        match Expression::amount("v", scope) {
            Ok(_) => Some(()),
            Err(error) => {
                self.error(path, error.message, error.hint);
                None
            }
        }
    }

    /// `80` (compared as `usual` says), `< 14d`, or an expression.
    fn condition(
        &mut self,
        spot: &Spot<'_, Yaml>,
        usual: Option<Comparison>,
        scope: &Scope,
    ) -> Option<Condition> {
        let Some(text) = self.written.text(&spot.path).map(str::to_owned) else {
            let hint = "write a number, `\"< 14d\"`, or `\"v >= 80 && n >= 5\"`";
            self.error(&spot.path, "a condition must be an expression", hint);
            return None;
        };
        let (comparison, number) = match sides(text.trim()) {
            Some((comparison, rest)) => (Some(comparison), rest),
            None => (Some(usual.unwrap_or(Comparison::AtLeast)), text.trim()),
        };
        if let (Some(comparison), Ok(number)) = (comparison, read_number(number)) {
            self.has_v(&spot.path, scope)?;
            let expression = Expression::bound(comparison, number);
            return Some(Condition { expression, bound: Some((comparison, number)) });
        }
        match Expression::condition(&text, scope) {
            Ok(expression) if !expression.uses(&|_| true) => {
                let hint = "compare `v`, or an input: `v >= 80`";
                self.error(&spot.path, "the condition is always the same", hint);
                None
            }
            Ok(expression) => {
                let bound = expression.as_bound();
                Some(Condition { expression, bound })
            }
            Err(_) if sides(text.trim()).is_some() => {
                let hint = format!("begin with what is compared: `v {}`", text.trim());
                self.error(&spot.path, "a condition does not begin with a comparison", hint);
                None
            }
            Err(error) => {
                self.point(&spot.path, &text, &error);
                None
            }
        }
    }

    /// The end of a condition; a bare number is the other side of it.
    fn clear(
        &mut self,
        spot: &Spot<'_, Yaml>,
        when: Option<(Comparison, f64)>,
        scope: &Scope,
    ) -> Option<Expression> {
        let text = self.written.text(&spot.path).unwrap_or_default().trim().to_owned();
        let usual = match when {
            Some((Comparison::AtLeast | Comparison::More, _)) => Some(Comparison::Less),
            Some((Comparison::Less | Comparison::AtMost, _)) => Some(Comparison::AtLeast),
            _ if read_number(&text).is_ok() => {
                let hint = format!("say which side is clear: `clear: \"v < {text}\"`");
                self.error(&spot.path, "a number alone does not tell when it is clear", hint);
                return None;
            }
            _ => None,
        };
        self.condition(spot, usual, scope).map(|condition| condition.expression)
    }
}

fn nothing() -> Levelled {
    Levelled { levels: Vec::new(), hold: [None; 3], limit: None, worse: Worse::Higher }
}

fn limit_of((comparison, number): (Comparison, f64)) -> Option<Limit> {
    let worse = match comparison {
        Comparison::AtLeast | Comparison::More => Worse::Higher,
        Comparison::Less | Comparison::AtMost => Worse::Lower,
        Comparison::Equal | Comparison::Unequal => return None,
    };
    Some(Limit { number, worse })
}

/// `< 14d` in its two parts.
fn sides(text: &str) -> Option<(Comparison, &str)> {
    let signs = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        (">", Comparison::More),
        ("<", Comparison::Less),
        ("==", Comparison::Equal),
        ("!=", Comparison::Unequal),
    ];
    signs.into_iter().find_map(|(sign, comparison)| Some((comparison, text.strip_prefix(sign)?.trim_start())))
}
