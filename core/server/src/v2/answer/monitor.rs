//! Notifications as they happen, to whoever watches.
//!
//! The watch begins before the snapshot is taken, and rules take note of an alert before they tell of it. So nothing
//! falls between the two: what is not in the snapshot comes as an event. Some may come twice.
//!
//! A watch has no queue of its own. Whoever reads slowly holds up nobody, and is told what it missed.

use std::time::Duration;

use sereno_delivery::{Sequenced, Since, Step, Watch};
use sereno_model::{EventKind, LabelMatcher, Level, Notification, Timestamp};
use sereno_protocol::v2::messages::monitor_part::Part;
use sereno_protocol::v2::messages::response::Body;
use sereno_protocol::v2::messages::{
    Error, Event, Gap, Heartbeat, Monitor, MonitorPart, Position, Snapshot, Stopping,
};
use sereno_runtime::diagnostic::suggest;
use tokio::time::Instant;

use super::selector::{Globs, label_matchers};
use super::{Answered, Reply, Services, admin, errors};

/// How often there is a word when nobody says.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// More often is of no use to anybody.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
/// How many notifications are looked at before others are served.
const STEPS_AT_ONCE: u32 = 64;

pub(super) async fn answer(services: &Services, asked: &Monitor, reply: &Reply) -> Answered {
    let filter = Filter::new(asked)?;
    let every = match asked.heartbeat_ms {
        0 => HEARTBEAT,
        millis => Duration::from_millis(millis).max(HEARTBEAT_MIN),
    };
    let Some(watch) = services.monitors.watch(since(asked)?) else {
        let full = || errors::overloaded("as many monitors are connected as there may be");
        return Err(if services.stop.is_stopping() { errors::closing() } else { full() }.into());
    };
    if asked.snapshot {
        let is_now = asked.since.is_none() && asked.since_time.is_none();
        snapshot(services, &filter, &watch, is_now, reply).await?;
    }
    Stream { services, filter, watch, reply, every, reached: None }.run().await
}

fn since(asked: &Monitor) -> Result<Since, Error> {
    match (&asked.since, asked.since_time) {
        (None, None) => Ok(Since::Now),
        (Some(Position { epoch, sequence }), None) => {
            Ok(Since::Position(sereno_model::Position { epoch: *epoch, sequence: *sequence }))
        }
        (None, Some(time)) => Ok(Since::Time(Timestamp::from_nanos(time))),
        (Some(_), Some(_)) => {
            Err(errors::invalid("the monitor begins at a position and at a time", "give one of them"))
        }
    }
}

/// What a client wants to hear of; everything, where it says nothing.
struct Filter {
    level: Option<Level>,
    rules: Globs,
    /// On the labels of instances; all must hold.
    matchers: Vec<(String, LabelMatcher)>,
    kinds: Vec<EventKind>,
    /// Whether rules that only run along are heard without being named.
    shadow: bool,
}

impl Filter {
    fn new(asked: &Monitor) -> Result<Self, Error> {
        let kinds = asked.kinds.iter().map(|kind| {
            let known = EventKind::ALL.map(EventKind::as_str);
            let hint = || suggest(kind, "kinds", known.iter().copied());
            kind.parse()
                .map_err(|mistake: sereno_model::EventKindError| errors::invalid(mistake.to_string(), hint()))
        });
        Ok(Self {
            level: admin::level(&asked.level)?,
            rules: Globs::new(&asked.rules),
            matchers: label_matchers(&asked.matchers)?,
            kinds: kinds.collect::<Result<_, _>>()?,
            shadow: asked.shadow,
        })
    }

    fn passes(&self, notification: &Notification) -> bool {
        let Notification { kind, rule, level, instance, marks, .. } = notification;
        (self.kinds.is_empty() || self.kinds.contains(kind))
            && (!marks.shadow || self.hears_shadow(rule))
            && self.wants(rule, *level, instance)
    }

    fn hears_shadow(&self, rule: &str) -> bool {
        self.shadow || self.rules.exact().any(|id| id == rule)
    }

    fn wants(&self, rule: &str, level: Level, instance: &[(String, String)]) -> bool {
        Some(level) >= self.level && self.rules.matches(rule) && admin::is_of(instance, &self.matchers)
    }
}

/// Sends the alerts that fire, as of the start of the watch. Where a watch begins in the past, its place is told by the
/// events that come after this: whoever took the present one for it would miss them after a loss.
async fn snapshot(
    services: &Services,
    filter: &Filter,
    watch: &Watch,
    is_now: bool,
    reply: &Reply,
) -> Answered {
    let alerts = services.rules.alerts().into_iter();
    let wanted = alerts.filter(|alert| filter.wants(&alert.rule, alert.level, &alert.instance));
    for alerts in admin::in_parts(wanted.map(admin::alert), admin::bytes_of_alert) {
        let snapshot = Snapshot { position: is_now.then(|| position(watch.start())), alerts };
        send(reply, Part::Snapshot(snapshot), true).await?;
    }
    Ok(())
}

/// A monitor under way.
struct Stream<'a> {
    services: &'a Services,
    filter: Filter,
    watch: Watch,
    reply: &'a Reply,
    every: Duration,
    /// Everything up to here has been sent, or was filtered out; `None` while that is not known.
    reached: Option<sereno_model::Position>,
}

impl Stream<'_> {
    async fn run(mut self) -> Answered {
        let mut due = Instant::now() + self.every;
        let mut steps = 0u32;
        loop {
            match self.next(due).await {
                Some(Step::Event(event)) => {
                    self.reached = Some(event.position);
                    if self.filter.passes(&event.notification) {
                        send(self.reply, Part::Event(told(&event)), true).await?;
                        due = Instant::now() + self.every;
                    }
                }
                Some(Step::Gap { missed }) => send(self.reply, Part::Gap(Gap { missed }), true).await?,
                Some(Step::Stopping) => break,
                None => {
                    self.heartbeat().await?;
                    due = Instant::now() + self.every;
                }
            }
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(STEPS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
        send(self.reply, Part::Stopping(Stopping {}), false).await
    }

    /// The next step; `None` when a heartbeat is due.
    async fn next(&mut self, due: Instant) -> Option<Step> {
        // Also while there is much to read, of which nothing is wanted.
        if Instant::now() >= due {
            return None;
        }
        if let Some(step) = self.watch.try_next() {
            return Some(step);
        }
        // Nothing is left that had happened when the watch began.
        self.reached.get_or_insert(self.watch.start());
        tokio::select! {
            biased;
            step = self.watch.next() => Some(step),
            () = self.services.stop.stopping() => Some(Step::Stopping),
            () = tokio::time::sleep_until(due) => None,
        }
    }

    async fn heartbeat(&self) -> Answered {
        let time = self.services.clock.now().nanos();
        let heartbeat = Heartbeat { time, position: self.reached.map(position) };
        send(self.reply, Part::Heartbeat(heartbeat), true).await
    }
}

async fn send(reply: &Reply, part: Part, more: bool) -> Answered {
    let body = Body::Monitor(MonitorPart { part: Some(part) });
    if more { reply.part(body).await } else { reply.last(body).await }
}

fn position(position: sereno_model::Position) -> Position {
    Position { epoch: position.epoch, sequence: position.sequence }
}

/// A notification, as it is told.
fn told(event: &Sequenced) -> Event {
    let notification = &*event.notification;
    let marks = notification.marks;
    Event {
        position: Some(position(event.position)),
        at: event.at.nanos(),
        event_id: notification.event_id.clone(),
        kind: notification.kind.as_str().to_owned(),
        rule: notification.rule.clone(),
        instance: flat(&notification.instance),
        level: notification.level.as_str().to_owned(),
        value: notification.value,
        extreme: notification.extreme,
        tick: notification.tick.nanos(),
        fired_at: notification.fired_at.nanos(),
        message: notification.message.clone(),
        reason: notification.reason.clone().unwrap_or_default(),
        generation: notification.generation,
        previous: notification.previous.map(|level| level.as_str().to_owned()).unwrap_or_default(),
        episode: notification.episode,
        peak: notification.peak.map(|(value, _)| value),
        peak_at: notification.peak.map(|(_, tick)| tick.nanos()),
        samples: notification.samples,
        labels: flat(&notification.labels),
        runbook: notification.runbook.clone().unwrap_or_default(),
        suppressed_by: notification.suppressed_by.clone().unwrap_or_default(),
        stale: marks.stale,
        flapping: marks.flapping,
        shadow: marks.shadow,
        late: marks.late,
        undurable: marks.undurable,
    }
}

/// Name, value, name, value …
fn flat(labels: &[(String, String)]) -> Vec<String> {
    labels.iter().flat_map(|(label, value)| [label.clone(), value.clone()]).collect()
}
