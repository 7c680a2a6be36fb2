//! What the running rules can be asked beyond listings: to be shown, tried, replayed and explained.
//!
//! All of it runs on the thread of whoever asks, which needs the stack that scripts need, and changes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{NamePattern, TimeRange, Timestamp};
use sereno_runtime::diagnostic::{Diagnostic, suggest};
use tracing::warn;

use super::Rules;
use crate::durable::{History, Journal};
use crate::explain::{self, Kept, evaluate_once};
use crate::files::{Files, Script};
use crate::generation::{Generation, load_as};
use crate::instance::RuleState;
use crate::replay::{self, Recorded, replay};
use crate::report::{
    Evaluated, Event, Explanation, Note, ReplayReport, RuleChange, RuleDetail, SCHEMA_VERSION, Time, detail,
};
use crate::rule::{Labels, Rule};
use crate::status::RuleStatus;

/// How far back the last events of an instance are looked for, and how many are told.
const EVENTS_BACK: Duration = Duration::from_secs(7 * 86_400);
const EVENTS_MAX: usize = 20;

/// Which rules a question is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Their ids, or globs that match them. Empty: all of the files.
    pub rules: Vec<String>,
    /// Rule files, and scripts by their places below a folder `scripts`; empty for the rules that run. Without scripts,
    /// those of the server are used.
    pub files: Vec<(PathBuf, String)>,
}

/// What to replay.
#[derive(Clone, Debug)]
pub struct ReplayRequest {
    /// The rules.
    pub subject: Subject,
    /// The ticks: at or after the start, before the end.
    pub range: TimeRange,
    /// Only instances with these labels.
    pub instance: Labels,
    /// Whether to compare with what was recorded of the rules that run.
    pub against_live: bool,
}

/// What to explain.
#[derive(Clone, Debug, Default)]
pub struct ExplainRequest {
    /// The rule's id.
    pub rule: String,
    /// Labels that the instance must have; of several the worst is explained.
    pub instance: Labels,
    /// At or before which time; the last tick if nobody says.
    pub tick: Option<Timestamp>,
    /// Whether to evaluate again, whatever was recorded.
    pub rerun: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ToolError {
    /// No rule is called so.
    #[error("there is no rule `{rule}`")]
    UnknownRule {
        /// The id or glob.
        rule: String,
        /// What may have been meant.
        hint: String,
    },
    /// The files have mistakes.
    #[error("the files have mistakes")]
    Mistakes {
        /// All that is wrong in them.
        found: Vec<Diagnostic>,
    },
    /// The store is still reading its log back.
    #[error("the store is still reading its log back")]
    Recovering,
    /// Nobody waits for the answer any more.
    #[error("it was ended before it was done")]
    Ended,
}

/// The rules that a question is about, compiled.
struct Resolved {
    generation: Arc<Generation>,
    ids: BTreeSet<Arc<str>>,
    /// Whether they are those that run.
    is_live: bool,
}

impl Rules {
    /// A rule as it was understood, and how it fares.
    ///
    /// # Errors
    /// [`ToolError::UnknownRule`]
    pub fn show(&self, id: &str) -> Result<RuleDetail, ToolError> {
        let generation = self.generation();
        let rule = find(&generation, id)?;
        let status = self.status(&rule, &generation);
        let text = generation.files.rules.get(&rule.path).and_then(|content| content.as_deref().ok());
        let source = text.and_then(|text| source_of(text, rule.line));
        Ok(detail(&rule, &status, generation.number, source))
    }

    /// What rules say at their last ticks at or before `at`, now if nobody says. `go_on` is asked between rules.
    ///
    /// # Errors
    /// [`ToolError`]
    pub fn evaluate(
        &self,
        subject: &Subject,
        at: Option<Timestamp>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Evaluated, ToolError> {
        let Resolved { generation, ids, .. } = self.resolve(subject)?;
        let shared = &self.0.shared;
        let snapshot = shared.outbox.store.snapshot();
        let at = at.unwrap_or_else(|| snapshot.time());
        let mut evaluated = Evaluated {
            schema_version: SCHEMA_VERSION,
            tick: Time(at),
            findings: generation
                .diagnostics
                .iter()
                .filter(|_| !subject.files.is_empty())
                .map(Into::into)
                .collect(),
            rules: Vec::new(),
        };
        for rule in ids.iter().filter_map(|id| generation.rules.get(id)) {
            if !go_on() {
                return Err(ToolError::Ended);
            }
            evaluated.rules.push(evaluate_once(&shared.host, &snapshot, &generation, rule, at));
        }
        Ok(evaluated)
    }

    /// What rules would have told over stored history. `go_on` is asked now and then; once it says no, the report covers
    /// what was done by then and says so.
    ///
    /// # Errors
    /// [`ToolError`]
    pub fn replay(&self, asked: &ReplayRequest, go_on: &dyn Fn() -> bool) -> Result<ReplayReport, ToolError> {
        let resolved = self.resolve(&asked.subject)?;
        let shared = &self.0.shared;
        let snapshot = shared.outbox.store.snapshot();
        if snapshot.recovering() {
            return Err(ToolError::Recovering);
        }
        // A tick that is still to come sees nothing.
        let end = asked.range.end.min(snapshot.time() + Duration::from_nanos(1));
        let range = TimeRange::new(asked.range.start, end.max(asked.range.start));
        let warm_up = replay::warm_up(&resolved.generation, &resolved.ids);
        let known = TimeRange::new(range.start - warm_up, range.end);
        let recorded = self.recorded(&resolved.generation, &resolved.ids, known);
        let is_recorded = recorded.since.is_some();
        let request = |generation: &Arc<Generation>| replay::Request {
            host: &shared.host,
            snapshot: &snapshot,
            generation: generation.clone(),
            rules: resolved.ids.clone(),
            instance: asked.instance.clone(),
            range,
            warm_up: true,
            recorded: &recorded,
            compare: asked.against_live && is_recorded,
            go_on,
        };
        let mut report = replay(&request(&resolved.generation));
        if !resolved.is_live {
            report.findings = resolved.generation.diagnostics.iter().map(Into::into).collect();
        }
        if asked.against_live && !is_recorded {
            match resolved.is_live {
                true => {
                    let text =
                        "nothing is recorded of that time, so there is nothing to compare with".to_owned();
                    report.notes.push(Note { at: None, text });
                }
                false => {
                    let there = replay(&request(&self.generation()));
                    report.against = Some(replay::with_replay(&report, &there));
                }
            }
        }
        Ok(report)
    }

    /// Why an instance of a rule is as it is.
    ///
    /// # Errors
    /// [`ToolError`]
    pub fn explain(&self, asked: &ExplainRequest) -> Result<Explanation, ToolError> {
        let shared = &self.0.shared;
        let generation = self.generation();
        let rule = find(&generation, &asked.rule)?;
        let snapshot = shared.outbox.store.snapshot();
        if snapshot.recovering() {
            return Err(ToolError::Recovering);
        }
        let health = self.status(&rule, &generation).health;
        Ok(explain::explain(&explain::Request {
            host: &shared.host,
            snapshot: &snapshot,
            live: self.live_state(&rule.id),
            generation,
            rule,
            instance: asked.instance.clone(),
            tick: asked.tick,
            rerun: asked.rerun,
            recorded: &|labels, tick| self.recorded_at(&asked.rule, labels, tick),
            history: &|labels| self.last_events(&asked.rule, labels, snapshot.time()),
            health: health.as_str().to_owned(),
        }))
    }

    /// Where a rule stands, as a copy. Waits for one evaluation at most.
    pub(crate) fn live_state(&self, id: &str) -> Option<RuleState> {
        let slot = self.0.shared.slots.load().get(id).cloned()?;
        let kept = slot.kept();
        Some(kept.state.trial_copy())
    }

    fn status(&self, rule: &Arc<Rule>, generation: &Generation) -> RuleStatus {
        let shared = &self.0.shared;
        let record = shared.board.get(&rule.id).unwrap_or_default();
        let clock = &shared.host.clock;
        RuleStatus::new(
            rule,
            generation,
            &record,
            clock.monotonic(),
            shared.pauses.get(&rule.id, clock.now()),
        )
    }

    /// What is known of the live rules over a time: nothing, where nothing is kept or can be read.
    fn recorded(&self, generation: &Generation, ids: &BTreeSet<Arc<str>>, range: TimeRange) -> Recorded {
        let Some(history) = self.past_ticks() else { return Recorded::default() };
        let evaluated = replay::with_parents(ids, generation);
        let rules: Vec<Arc<Rule>> =
            evaluated.iter().filter_map(|id| generation.rules.get(id)).cloned().collect();
        let mut recorded = Recorded::read(history, &rules, range).unwrap_or_else(|error| {
            warn!(%error, "The history of the rules cannot be read; a replay does without.");
            Recorded::default()
        });
        let decides = |change: &RuleChange| {
            matches!(change.class.as_str(), "added" | "logic" | "identity" | "renamed")
                && ids.contains(change.rule.as_str())
        };
        let changed = self.history().into_iter().filter(|taken| taken.changes.iter().any(decides));
        recorded.changed = changed.map(|taken| taken.at.0).collect();
        recorded
    }

    /// The history of ticks, where one is kept.
    fn past_ticks(&self) -> Option<&History> {
        self.0.shared.outbox.journal().map(Journal::history)
    }

    /// What was recorded of a tick of an instance.
    fn recorded_at(&self, rule: &str, labels: &Labels, tick: Timestamp) -> Option<Kept> {
        let transitions = self.past_ticks()?.transitions(rule, Some(labels), tick, tick).ok()?;
        let evidence = transitions.iter().find_map(|transition| transition.evidence.clone())?;
        let events = transitions.iter().map(|transition| Event::from(&transition.notification)).collect();
        Some(Kept { evidence, events })
    }

    /// The last events of an instance.
    fn last_events(&self, rule: &str, labels: &Labels, now: Timestamp) -> Vec<Event> {
        let Some(history) = self.past_ticks() else { return Vec::new() };
        let transitions = history.transitions(rule, Some(labels), now - EVENTS_BACK, now).unwrap_or_default();
        let skipped = transitions.len().saturating_sub(EVENTS_MAX);
        transitions[skipped..].iter().map(|transition| Event::from(&transition.notification)).collect()
    }

    fn resolve(&self, subject: &Subject) -> Result<Resolved, ToolError> {
        let active = self.generation();
        let is_live = subject.files.is_empty();
        let generation = match is_live {
            true => active,
            false => {
                let files = files_of(&subject.files, &active.files);
                let generation = load_as(0, Arc::new(files), &self.0.shared.host, None);
                if generation.has_errors() {
                    return Err(ToolError::Mistakes { found: generation.diagnostics });
                }
                Arc::new(generation)
            }
        };
        let mut ids = BTreeSet::new();
        for name in &subject.rules {
            let pattern = NamePattern::parse(name);
            let before = ids.len();
            ids.extend(generation.rules.keys().filter(|id| pattern.matches(id)).cloned());
            if ids.len() == before && !ids.iter().any(|id| pattern.matches(id)) {
                return Err(unknown(&generation, name));
            }
        }
        if subject.rules.is_empty() {
            ids.extend(generation.rules.keys().cloned());
        }
        Ok(Resolved { generation, ids, is_live })
    }
}

fn find(generation: &Generation, id: &str) -> Result<Arc<Rule>, ToolError> {
    generation.rules.get(id).cloned().ok_or_else(|| unknown(generation, id))
}

fn unknown(generation: &Generation, rule: &str) -> ToolError {
    let ids = generation.rules.keys().map(|id| &**id);
    let hint = match ids.clone().count() {
        0 => "there are no rules at all".to_owned(),
        1..=20 => suggest(rule, "rules", ids),
        count => sereno_runtime::diagnostic::nearest(rule, ids)
            .map_or_else(|| format!("there are {count} rules"), |near| format!("did you mean `{near}`?")),
    };
    ToolError::UnknownRule { rule: rule.to_owned(), hint }
}

/// Files that somebody has sent, with the scripts of `active` where there are none among them.
fn files_of(sent: &[(PathBuf, String)], active: &Files) -> Files {
    let mut files = Files::default();
    for (path, text) in sent {
        match place_of(path) {
            Some(place) => {
                let script = Script { display: path.clone(), content: Ok(text.as_str().into()) };
                files.scripts.insert(place, script);
            }
            None => drop(files.rules.insert(path.clone(), Ok(text.as_str().into()))),
        }
    }
    if files.scripts.is_empty() {
        files.scripts = active.scripts.clone();
    }
    files
}

/// The place of a script below the folder of scripts; `None` for a rule file.
fn place_of(path: &Path) -> Option<String> {
    path.extension().filter(|extension| *extension == "rhai")?;
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let below = parts.iter().rposition(|part| *part == "scripts").map_or(0, |index| index + 1);
    Some(parts[below..].join("/"))
}

/// The text of a rule in its file: from its line up to the next item of the list.
fn source_of(text: &str, line: u32) -> Option<String> {
    let mut lines = text.lines().skip((line as usize).checked_sub(1)?);
    let first = lines.next()?;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let depth = indent(first);
    let inside = |line: &&str| line.trim().is_empty() || indent(line) > depth;
    let rest: Vec<&str> = lines.take_while(inside).collect();
    let all: Vec<&str> =
        std::iter::once(first).chain(rest).map(|line| line.get(depth..).unwrap_or("")).collect();
    Some(all.join("\n").trim_end().to_owned())
}
