//! The server, its store, its rules and its alerts, for people.

use std::sync::Arc;
use std::time::Duration;

use sereno_model::{LabelMatcher, Level, Timestamp};
use sereno_protocol::v2::messages::response::Body;
use sereno_protocol::v2::messages::{
    Alert, Alerts, Error, Figure, FileStatus, GetInfo, GetStorage, Info, LabelCount, ListAlerts, ListRules,
    Missed, Pause, Reload, Reloaded, RuleStatus, Rules, Storage, StorageLevel,
};
use sereno_rules::Report;
use sereno_storage::{Activity, Share, Stats};

use super::selector::{Globs, label_matchers};
use super::{Answered, Reply, Services, errors};

/// The most names and labels that are told of.
const TOP_MAX: usize = 1_000;
/// The most ids of rules of one sort that a reload tells of.
const IDS_MAX: usize = 1_000;
/// A list is cut into parts of so many bytes, well below the longest frame.
pub(super) const PART_BYTES: usize = 256 << 10;

pub(super) async fn info(services: &Services, asked: GetInfo, reply: &Reply) -> Answered {
    let (stats, generation) = (services.store.stats(), services.rules.generation());
    let connections = services.metrics.gauge("connections_open", &[]).get();
    let figure = |(name, value)| Figure { name, value };
    let figures = match asked.figures {
        true => services.metrics.snapshot().into_iter().map(figure).collect(),
        false => Vec::new(),
    };
    let info = Info {
        server: concat!("serenod ", env!("CARGO_PKG_VERSION")).to_owned(),
        time: services.clock.now().nanos(),
        started: services.started.nanos(),
        recovering: stats.recovering,
        connections: u64::try_from(connections).unwrap_or(0),
        series: stats.series.into(),
        generation: generation.number,
        rules: generation.rules.len() as u64,
        alerts: services.rules.firing().values().sum::<usize>() as u64,
        figures,
        v1: services.serves_v1,
    };
    reply.last(Body::Info(info)).await
}

pub(super) async fn storage(services: &Services, asked: GetStorage, reply: &Reply) -> Answered {
    let top = services.store.cardinality((asked.top as usize).min(TOP_MAX));
    let count = |name: &str| services.metrics.counter(name, &[]).get();
    let storage = Storage {
        names: top.names.iter().map(share).collect(),
        labels: top.labels.iter().map(share).collect(),
        flushes: count("flushes_total"),
        flush_failures: count("flush_failures_total"),
        compactions: count("compactions_total"),
        ..of_stats(&services.store.stats())
    };
    reply.last(Body::Storage(storage)).await
}

fn of_stats(stats: &Stats) -> Storage {
    let level = |(level, stats): (u32, &sereno_storage::LevelStats)| StorageLevel {
        level,
        segments: stats.segments,
        samples: stats.samples,
        bytes: stats.bytes,
        series: stats.series,
    };
    let activity = match stats.activity {
        Activity::Idle => "idle",
        Activity::Flushing => "flushing",
        Activity::Compacting => "merging",
    };
    Storage {
        recovering: stats.recovering,
        series: stats.series.into(),
        head_samples: stats.head_samples,
        head_bytes: stats.head_bytes,
        wal_files: stats.wal_files as u64,
        wal_bytes: stats.wal_bytes,
        levels: (0..).zip(&stats.levels).map(level).collect(),
        activity: activity.to_owned(),
        oldest: stats.span.map(|(oldest, _)| oldest.nanos()),
        newest: stats.span.map(|(_, newest)| newest.nanos()),
        ..Storage::default()
    }
}

fn share(share: &Share) -> LabelCount {
    LabelCount { text: share.name.to_string(), series: share.series.into(), values: share.values as u64 }
}

pub(super) async fn rules(services: &Services, asked: &ListRules, reply: &Reply) -> Answered {
    told_rules(services, &asked.rules, reply).await
}

/// Tells of rules by id or glob; empty: all.
pub(super) async fn told_rules(services: &Services, globs: &[String], reply: &Reply) -> Answered {
    let wanted = wanted_rules(services, globs)?;
    let report = services.rules.diagnostics();
    let rules = services.rules.rules().into_iter().filter(|rule| wanted.matches(&rule.id)).map(rule_status);
    let (generation, diagnostics) = (report.generation.number, findings(&report));
    let pinned = report.pinned_to.unwrap_or(0);
    let mut parts =
        in_parts(rules, |rule| 100 + rule.selector.len() + rule.error.len()).into_iter().peekable();
    while let Some(rules) = parts.next() {
        // What is wrong comes with the last part.
        match parts.peek() {
            Some(_) => reply.part(Body::Rules(Rules { rules, generation, ..Rules::default() })).await?,
            None => {
                return reply.last(Body::Rules(Rules { rules, generation, diagnostics, pinned })).await;
            }
        }
    }
    Ok(())
}

fn rule_status(rule: sereno_rules::RuleStatus) -> RuleStatus {
    RuleStatus {
        id: rule.id.to_string(),
        place: format!("{}:{}", rule.path.display(), rule.line),
        selector: rule.selector,
        aggregation: rule.script.or(rule.agg).unwrap_or_default(),
        window: nanos(rule.window),
        every: nanos(rule.every),
        health: rule.health.as_str().to_owned(),
        error: rule.error.unwrap_or_default(),
        instances: rule.instances as u64,
        firing: rule.firing as u64,
        evaluations: rule.evaluations,
        last_tick: rule.last_tick.map(|tick| tick.nanos()),
        last_duration: rule.last_duration.map_or(0, nanos),
        longest_duration: rule.longest_duration.map_or(0, nanos),
        limit: rule.limit.unwrap_or_default(),
        missed: missed(rule.missed_ticks),
        pause: rule.paused.map(pause),
        ..RuleStatus::default()
    }
}

/// What is wrong in a file is among the findings; here is whether it is in effect.
fn file_status(file: &sereno_rules::FileStatus) -> FileStatus {
    let status = match file.state {
        _ if file.errors > 0 => "kept",
        sereno_rules::FileState::Removed => "removed",
        _ => "applied",
    };
    FileStatus { path: file.path.display().to_string(), status: status.to_owned() }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn pause(pause: sereno_rules::Pause) -> Pause {
    Pause { until: pause.until.nanos(), comment: pause.why, who: String::new() }
}

fn missed(ticks: u64) -> Vec<Missed> {
    let missed = (ticks > 0).then(|| Missed { reason: "behind".to_owned(), ticks });
    missed.into_iter().collect()
}

pub(super) async fn alerts(services: &Services, asked: &ListAlerts, reply: &Reply) -> Answered {
    let wanted = wanted_rules(services, &asked.rules)?;
    let level = level(&asked.level)?;
    let alerts = services.rules.standing().into_iter();
    let states = states(&asked.states)?;
    let matchers = label_matchers(&asked.matchers)?;
    let alerts = alerts.filter(|alert| {
        wanted.matches(&alert.rule)
            && Some(alert.level) >= level
            && states.contains(&alert.state)
            && is_of(&alert.instance, &matchers)
    });
    told_alerts(alerts.map(standing), reply).await
}

/// Which states are wanted.
fn states(wanted: &[String]) -> Result<Vec<&'static str>, Error> {
    if wanted.is_empty() {
        return Ok(vec!["firing", "recovering"]);
    }
    let known = ["pending", "firing", "recovering"];
    let state = |text: &String| {
        let found = known.into_iter().find(|state| state == text);
        found.ok_or_else(|| errors::not_found("state", text, known))
    };
    wanted.iter().map(state).collect()
}

/// Whether labels match all of these.
pub(super) fn is_of(instance: &[(String, String)], matchers: &[(String, LabelMatcher)]) -> bool {
    let value = |wanted: &str| {
        let found = instance.iter().find(|(label, _)| label == wanted);
        found.map_or("", |(_, value)| value.as_str())
    };
    matchers.iter().all(|(label, matcher)| matcher.matches(value(label)))
}

/// Tells of alerts.
pub(super) async fn told_alerts(alerts: impl Iterator<Item = Alert>, reply: &Reply) -> Answered {
    let mut parts = in_parts(alerts, bytes_of_alert).into_iter().peekable();
    while let Some(alerts) = parts.next() {
        let body = Body::Alerts(Alerts { alerts });
        match parts.peek() {
            Some(_) => reply.part(body).await?,
            None => return reply.last(body).await,
        }
    }
    Ok(())
}

/// An alert, as it is told.
pub(super) fn alert(alert: sereno_rules::Alert) -> Alert {
    Alert {
        rule: alert.rule.to_string(),
        instance: alert.instance.into_iter().flat_map(|(label, value)| [label, value]).collect(),
        level: alert.level.as_str().to_owned(),
        state: "firing".to_owned(),
        since: alert.since.nanos(),
        value: alert.value,
        message: alert.message.unwrap_or_default(),
        ..Alert::default()
    }
}

/// An instance that fires or is about to, as it is told.
fn standing(standing: sereno_rules::Standing) -> Alert {
    let flat = |labels: Vec<(String, String)>| {
        labels.into_iter().flat_map(|(label, value)| [label, value]).collect()
    };
    Alert {
        rule: standing.rule.to_string(),
        instance: flat(standing.instance),
        level: standing.level.as_str().to_owned(),
        state: standing.state.to_owned(),
        since: standing.since.nanos(),
        value: standing.value,
        message: standing.message.unwrap_or_default(),
        stale: standing.is_stale,
        flapping: standing.is_flapping,
        suppressed_by: standing.muted_by.map(|rule| rule.to_string()).unwrap_or_default(),
        episode: standing.episode,
        labels: flat(standing.labels),
        runbook: standing.runbook.unwrap_or_default(),
        peak: standing.peak.map(|(value, _)| value),
        peak_at: standing.peak.map(|(_, tick)| tick.nanos()),
        shadow: standing.is_shadow,
        due: standing.due.map(Timestamp::nanos),
        ..Alert::default()
    }
}

pub(super) fn bytes_of_alert(alert: &Alert) -> usize {
    let instance: usize = alert.instance.iter().map(|text| text.len() + 2).sum();
    64 + alert.rule.len() + instance + alert.message.len()
}

/// A list in parts of [`PART_BYTES`]; one that is empty is one part.
pub(super) fn in_parts<T>(items: impl Iterator<Item = T>, bytes_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for item in items {
        let more = bytes_of(&item);
        if bytes > 0 && bytes + more > PART_BYTES {
            bytes = 0;
            parts.push(std::mem::take(&mut part));
        }
        bytes += more;
        part.push(item);
    }
    parts.push(part);
    parts
}

/// Rules by id or glob. An id that no rule has is a mistake; a glob that matches none is not.
fn wanted_rules(services: &Services, globs: &[String]) -> Result<Globs, Error> {
    let (wanted, generation) = (Globs::new(globs), services.rules.generation());
    if let Some(id) = wanted.exact().find(|id| !generation.rules.contains_key(*id)) {
        return Err(errors::not_found("rule", id, generation.rules.keys().map(|id| &**id)));
    }
    Ok(wanted)
}

/// The ids of these rules. There is at least one.
pub(super) fn rule_ids(services: &Services, globs: &[String]) -> Result<Vec<Arc<str>>, Error> {
    let (wanted, generation) = (wanted_rules(services, globs)?, services.rules.generation());
    let ids: Vec<_> = generation.rules.keys().filter(|id| wanted.matches(id)).cloned().collect();
    if ids.is_empty() {
        return Err(errors::not_found("rule", &globs.join(" "), generation.rules.keys().map(|id| &**id)));
    }
    Ok(ids)
}

/// A level by its name; `None` if none is named, which is below all.
pub(super) fn level(text: &str) -> Result<Option<Level>, Error> {
    let known = |mistake: sereno_model::LevelError| errors::invalid(mistake.to_string(), "");
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(known) }
}

pub(super) async fn reload(services: &Services, asked: Reload, reply: &Reply) -> Answered {
    let rules = services.rules.clone();
    // It reads and compiles all files, and may look a second time after a second.
    let reloaded = tokio::task::spawn_blocking(move || rules.reload(asked.allow_removal)).await;
    let report = match reloaded {
        Ok(Some(report)) => report,
        Ok(None) => return Err(errors::closing().into()),
        Err(_) => return Err(errors::internal().into()),
    };
    reply.last(Body::Reloaded(self::reloaded(report))).await
}

/// What became of a reload, as it is told.
pub(super) fn reloaded(report: Report) -> Reloaded {
    let ids = |ids: &[Arc<str>]| ids.iter().take(IDS_MAX).map(|id| id.to_string()).collect();
    Reloaded {
        outcome: report.outcome.as_str().to_owned(),
        generation: report.generation.number,
        rules: report.generation.rules.len() as u64,
        trigger: report.cause.trigger.as_str().to_owned(),
        duration: nanos(report.duration),
        pinned: report.pinned_to.unwrap_or(0),
        files: report.files.iter().take(IDS_MAX).map(file_status).collect(),
        diagnostics: findings(&report),
        added: ids(&report.changes.added),
        removed: ids(&report.changes.removed),
        changed: ids(&report.changes.changed),
        refusal: report.refusal.unwrap_or_default(),
    }
}

fn findings(report: &Report) -> Vec<sereno_protocol::v2::messages::Diagnostic> {
    report.diagnostics.iter().map(errors::finding).collect()
}
