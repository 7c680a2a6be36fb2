//! What goes on behind writers and readers: flushing the head to segments, merging segments, retention, giving up the
//! ids of series that went quiet. One thread does it, or whoever asks for it by name.
//!
//! * [`flush`]: freezes a generation and writes it to segments;
//! * [`compact`]: merges the segments of a day;
//! * [`retain`]: what may be deleted, by age and by size, and what time it is for that purpose.
//!
//! Invariants:
//! * a change of what there is becomes true in this order: segments sealed, manifest stored, version replaced, files of
//!   no more use removed. A crash in between leaves files that the next start removes, and nothing else;
//! * after a failure everything is as before, and the next attempt does the whole again.

mod compact;
mod flush;
mod merge;
mod retain;

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sereno_runtime::{Counter, Gauge, Metrics};
use tracing::{debug, error, info};

use crate::blobs::Blobs;
use crate::config::Config;
use crate::head::Generation;
use crate::manifest::Manifest;
use crate::segment::{Damage, Segment};
use crate::shared::{Shared, Version};
use crate::wal::stream::WalContext;
use crate::writer::{Rotated, Writer};

pub(crate) use retain::TrustedClock;

/// How often the thread looks whether there is something to do; more often where flushes are due more often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Not more often than that, whatever is set.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// How long it waits after a failure, so that a full disk is not worn out.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Why something could not be done. Nothing is lost, and it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The disk refuses.
    #[error("failed to {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A segment that should be merged is damaged; it is left as it is.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The store was closed before its log was read back.
    #[error("the store was closed before its log was read back")]
    Recovering,
}

pub(crate) fn io_error(what: &'static str) -> impl Fn(io::Error) -> MaintainError {
    move |source| MaintainError::Io { what, source }
}

/// See the module.
pub(crate) struct Maintenance {
    pub shared: Arc<Shared>,
    pub writers: Vec<Arc<Writer>>,
    pub wal: Arc<WalContext>,
    pub segments: Arc<dyn Blobs>,
    pub manifests: Arc<dyn Blobs>,
    pub settings: Settings,
    state: Mutex<State>,
    stop: Mutex<bool>,
    /// Whether somebody wants a look before the next one is due: [`NUDGE_NONE`] and so on.
    nudge: AtomicU8,
    /// The word to stop was given, or a nudge.
    stopped: Condvar,
    measures: Measures,
}

const NUDGE_NONE: u8 = 0;
const NUDGE_GIVEN: u8 = 1;
/// Seen; another one is not heard before the next look that finds nothing due, or comes by itself.
const NUDGE_TAKEN: u8 = 2;

/// The part of the configuration that maintenance needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub flush_interval: Duration,
    pub head_bytes_max: u64,
    pub wal_bytes_max: u64,
    pub retention: Duration,
    pub retention_bytes: u64,
    pub series_idle: Duration,
}

impl Settings {
    fn look_interval(&self) -> Duration {
        self.flush_interval.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL)
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            flush_interval: config.flush_interval,
            head_bytes_max: config.head_bytes_max,
            wal_bytes_max: config.wal_bytes_max,
            retention: config.retention,
            retention_bytes: config.retention_bytes,
            series_idle: config.series_idle,
        }
    }
}

/// What only the holder of the lock touches.
struct State {
    manifest: Manifest,
    /// Generations that are full and not yet in segments, the earlier first.
    frozen: Vec<Frozen>,
    clock: TrustedClock,
    /// By queue and ordinal: the number of the last flush with samples of the series.
    seen: Vec<Vec<u64>>,
    /// When flushes ended, by their numbers, on the monotonic clock; as far back as `series_idle`.
    flushes: Vec<(u64, Duration)>,
    /// Not before this moment of the monotonic clock.
    next_attempt: Duration,
    /// Days whose segments cannot be merged, because one is damaged, or could not be read.
    given_up: Vec<GivenUp>,
    /// Whether the manifest that was stored last may count although storing it failed.
    in_doubt: bool,
    /// Segments that only such a manifest names. They go once a later one counts.
    doubtful: Vec<u64>,
}

/// A day that is not merged.
struct GivenUp {
    group: u32,
    day: i64,
    /// For one that could not be read: why, and when to try again, on the monotonic clock.
    retry: Option<(Damage, Duration)>,
}

/// A generation that nobody appends to any more.
pub(crate) struct Frozen {
    pub generation: Arc<Generation>,
    pub rotated: Rotated,
}

struct Measures {
    flushes: Counter,
    flush_failures: Counter,
    compactions: Counter,
    compacted_samples: Counter,
    expired_segments: Counter,
    retired_series: Counter,
    head_bytes: Gauge,
    head_samples: Gauge,
    wal_bytes: Gauge,
    wal_files: Gauge,
    levels: [[Gauge; 3]; 3],
    /// 0 idle, 1 flushing, 2 merging, 3 reading the log back.
    state: Gauge,
    working: AtomicU64,
}

/// What maintenance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing.
    Idle,
    /// Writing the head to segments.
    Flushing,
    /// Merging segments.
    Compacting,
}

impl Maintenance {
    #[expect(clippy::too_many_arguments, reason = "called once, by the store's start")]
    pub(crate) fn new(
        shared: Arc<Shared>,
        writers: Vec<Arc<Writer>>,
        wal: Arc<WalContext>,
        (segments, manifests): (Arc<dyn Blobs>, Arc<dyn Blobs>),
        settings: Settings,
        manifest: Manifest,
        clock: TrustedClock,
        metrics: &Metrics,
    ) -> Self {
        let state = State {
            manifest,
            frozen: Vec::new(),
            clock,
            seen: vec![Vec::new(); shared.queues as usize],
            flushes: Vec::new(),
            next_attempt: Duration::ZERO,
            given_up: Vec::new(),
            in_doubt: false,
            doubtful: Vec::new(),
        };
        // Without labels, and short: protocol version 1 asks for a series by a name of at most 27 bytes.
        let level = |level: u8| {
            ["segments", "segment_samples", "segment_bytes"]
                .map(|what| metrics.gauge(&format!("{what}_l{level}"), &[]))
        };
        let measures = Measures {
            flushes: metrics.counter("flushes_total", &[]),
            flush_failures: metrics.counter("flush_failures_total", &[]),
            compactions: metrics.counter("compactions_total", &[]),
            compacted_samples: metrics.counter("compacted_samples_total", &[]),
            expired_segments: metrics.counter("expired_segments_total", &[]),
            retired_series: metrics.counter("retired_series_total", &[]),
            head_bytes: metrics.gauge("head_bytes", &[]),
            head_samples: metrics.gauge("head_samples", &[]),
            wal_bytes: metrics.gauge("wal_size_bytes", &[]),
            wal_files: metrics.gauge("wal_files", &[]),
            levels: [level(0), level(1), level(2)],
            state: metrics.gauge("storage_state", &[]),
            working: AtomicU64::new(0),
        };
        Self {
            shared,
            writers,
            wal,
            segments,
            manifests,
            settings,
            state: Mutex::new(state),
            stop: Mutex::new(false),
            nudge: AtomicU8::new(NUDGE_NONE),
            stopped: Condvar::new(),
            measures,
        }
    }

    /// Before the first write: which times can be stored.
    pub(crate) fn begin(&self) {
        self.mind_the_clock(&mut self.state());
        self.publish_measures();
    }

    /// What the maintenance thread does until it is told to stop.
    pub(crate) fn run(&self) {
        let interval = self.settings.look_interval();
        loop {
            let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
            let nothing = |stop: &mut bool| !*stop && self.nudge.load(Ordering::Acquire) != NUDGE_GIVEN;
            let (stop, waited) = self
                .stopped
                .wait_timeout_while(stop, interval, nothing)
                .unwrap_or_else(PoisonError::into_inner);
            if *stop {
                return;
            }
            drop(stop);
            self.nudge.store(NUDGE_TAKEN, Ordering::Release);
            self.look();
            // A flush that fails stays due, and is not tried again for every batch that comes.
            if waited.timed_out() || !self.is_flush_due() {
                self.nudge.store(NUDGE_NONE, Ordering::Release);
            }
        }
    }

    /// Wakes the maintenance thread if a flush is due by what was just written: within a second, and so until the next
    /// look, fast senders fill the log.
    pub(crate) fn nudge(&self) {
        let is_due = self.is_half_full() && !self.shared.recovering.load(Ordering::Relaxed);
        if is_due
            && self
                .nudge
                .compare_exchange(NUDGE_NONE, NUDGE_GIVEN, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        {
            // Whoever looks at the nudge under the lock has seen it, or is woken.
            drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner));
            self.stopped.notify_all();
        }
    }

    /// How long samples are kept; `None` for ever.
    pub(crate) fn retention(&self) -> Option<Duration> {
        Some(self.settings.retention).filter(|retention| !retention.is_zero())
    }

    /// How full log and head are; from 1 on nothing can be stored.
    pub(crate) fn fullness(&self) -> f64 {
        self.shared.fullness(&self.wal)
    }

    pub(crate) fn stop(&self) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopped.notify_all();
    }

    fn is_stopping(&self) -> bool {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is due.
    fn look(&self) {
        let mut state = self.state();
        let now = self.shared.clock.monotonic();
        self.mind_the_clock(&mut state);
        self.shared.registry.maintain();
        if now >= state.next_attempt
            && let Err(error) = self.do_what_is_due(&mut state)
        {
            state.next_attempt = now + RETRY_INTERVAL;
            self.measures.flush_failures.inc();
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            error!(%error, cause, "Segments cannot be written; the log keeps what is not in them. Free some space, or check the disk.");
        }
        self.publish_measures();
    }

    fn do_what_is_due(&self, state: &mut State) -> Result<(), MaintainError> {
        // The log is read back into a generation of its own, whose reader flushes it when it must.
        if self.shared.recovering.load(Ordering::Acquire) {
            return Ok(());
        }
        self.expire(state)?;
        self.flush_if_due(state)?;
        // One merge brings the next where much is written: nothing else may wait for the last of them.
        while !self.is_stopping() && self.compact_one(state, false)? {
            self.mind_the_clock(state);
            self.shared.registry.maintain();
            self.expire(state)?;
            self.flush_if_due(state)?;
        }
        Ok(())
    }

    /// Merges ask in between: they take longer than fast senders need to fill the log.
    fn flush_if_due(&self, state: &mut State) -> Result<(), MaintainError> {
        // While the log is read back, its reader flushes: a segment tells that all before it is in segments.
        let may = !self.shared.recovering.load(Ordering::Acquire);
        if may && self.is_flush_due() { self.flush_now(state) } else { Ok(()) }
    }

    fn is_half_full(&self) -> bool {
        self.shared.head_bytes() * 2 >= self.settings.head_bytes_max
            || self.wal.inventory.bytes() * 2 >= self.settings.wal_bytes_max
    }

    /// The head is moved to segments when it holds half of what it may, or the log does, or it is old enough. What was
    /// read back from the log counts too, from the start of this process on.
    fn is_flush_due(&self) -> bool {
        let now = self.shared.clock.monotonic().as_nanos() as i64;
        let generations = &self.shared.version.load().generations;
        let oldest = generations.iter().filter_map(|generation| generation.since()).min();
        self.is_half_full()
            || (self.shared.flush_wanted.load(Ordering::Acquire) && self.wal.inventory.is_in_doubt())
            || oldest.is_some_and(|since| now - since >= self.settings.flush_interval.as_nanos() as i64)
    }

    /// Moves everything that is committed to segments.
    pub(crate) fn flush(&self) -> Result<(), MaintainError> {
        // A segment tells that all earlier commits of its queues are in segments; the log may hold some that are not.
        if self.shared.recovering.load(Ordering::Acquire) {
            return Err(MaintainError::Recovering);
        }
        let outcome = self.flush_now(&mut self.state());
        self.publish_measures();
        outcome
    }

    /// Merges the segments of every day that has several.
    pub(crate) fn compact_all(&self) -> Result<(), MaintainError> {
        let mut state = self.state();
        state.given_up.retain(|day| day.retry.is_none());
        let mut done = Ok(true);
        while done.as_ref().is_ok_and(|more| *more) {
            done = self.compact_one(&mut state, true);
        }
        self.publish_measures();
        let unread = state.given_up.iter().find_map(|day| day.retry.as_ref());
        done.and(unread.map_or(Ok(()), |(damage, _)| Err(damage.clone().into())))
    }

    /// Deletes what is not to be kept.
    pub(crate) fn expire_now(&self) -> Result<(), MaintainError> {
        let mut state = self.state();
        self.mind_the_clock(&mut state);
        let outcome = self.expire(&mut state);
        self.publish_measures();
        outcome
    }

    /// Takes over a generation that was read back from the log.
    pub(crate) fn adopt(&self, frozen: Frozen) {
        self.state().frozen.push(frozen);
    }

    /// Replaces what there is: the manifest first, then what readers see. Whoever is refused gives up the segments that
    /// it brought with [`Maintenance::withdraw`].
    fn publish(
        &self,
        state: &mut State,
        mut manifest: Manifest,
        segments: Vec<Arc<Segment>>,
        gone: &[Arc<Generation>],
    ) -> Result<(), MaintainError> {
        manifest.number = state.manifest.number + 1;
        manifest.trusted_time = state.clock.now();
        manifest.next_wal_file = self.wal.next_file_id.load(Ordering::Relaxed);
        manifest.segments = segments.iter().map(|segment| segment.meta.clone()).collect();
        if let Err(error) = manifest.store(&*self.manifests, &self.wal.store_id) {
            // Its number may be taken by what was half written.
            state.manifest.number += 1;
            state.in_doubt = error.may_exist;
            return Err(io_error("store the manifest")(error.source));
        }
        state.manifest = manifest;
        state.in_doubt = false;
        self.remove_segments(std::mem::take(&mut state.doubtful).into_iter());
        self.shared.version.rcu(|version| Version {
            edition: version.edition + 1,
            segments: segments.clone(),
            generations: version
                .generations
                .iter()
                .filter(|generation| !gone.iter().any(|gone| Arc::ptr_eq(gone, generation)))
                .cloned()
                .collect(),
        });
        Ok(())
    }

    /// Removes segments that were to be published; later, if the manifest that names them may count for the next start.
    fn withdraw(&self, state: &mut State, ids: impl Iterator<Item = u64>) {
        match std::mem::take(&mut state.in_doubt) {
            true => state.doubtful.extend(ids),
            false => self.remove_segments(ids),
        }
    }

    /// Removes segments that nothing refers to.
    fn remove_segments(&self, ids: impl Iterator<Item = u64>) {
        for id in ids {
            let name = crate::segment::name(id);
            if let Err(error) = self.segments.remove(&name) {
                debug!(segment = name, %error, "An unfinished segment stays until the next start.");
            }
        }
    }

    fn open_segment(&self, id: u64) -> Result<Arc<Segment>, MaintainError> {
        Ok(Arc::new(Segment::open(&self.segments, &self.wal.store_id, id)?))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn working(&self, activity: Activity) -> Working<'_> {
        let before = self.measures.working.swap(activity as u64, Ordering::Relaxed);
        self.publish_measures();
        Working { activity: &self.measures.working, before }
    }

    /// What is being done now.
    pub(crate) fn activity(&self) -> Activity {
        match self.measures.working.load(Ordering::Relaxed) {
            1 => Activity::Flushing,
            2 => Activity::Compacting,
            _ => Activity::Idle,
        }
    }

    fn publish_measures(&self) {
        let version = self.shared.version.load();
        let measures = &self.measures;
        measures.head_bytes.set(self.shared.head_bytes() as i64);
        measures
            .head_samples
            .set(version.generations.iter().map(|generation| generation.samples() as i64).sum());
        let recovering = self.shared.recovering.load(Ordering::Relaxed);
        measures.state.set(if recovering { 3 } else { measures.working.load(Ordering::Relaxed) as i64 });
        measures.wal_bytes.set(self.wal.inventory.bytes() as i64);
        measures.wal_files.set(self.wal.inventory.count() as i64);
        for (level, gauges) in measures.levels.iter().enumerate() {
            let metas = || {
                version
                    .segments
                    .iter()
                    .map(|segment| &segment.meta)
                    .filter(|meta| meta.level as usize == level)
            };
            gauges[0].set(metas().count() as i64);
            gauges[1].set(metas().map(|meta| meta.samples as i64).sum());
            gauges[2].set(metas().map(|meta| meta.bytes as i64).sum());
        }
    }
}

struct Working<'a> {
    activity: &'a AtomicU64,
    /// A flush may come in the middle of a merge.
    before: u64,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.activity.store(self.before, Ordering::Relaxed);
    }
}

fn log_done(what: &str, segments: usize, samples: u64, took: Duration) {
    info!(segments, samples, took = ?took, "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stay_in_the_head_no_longer_than_was_set() {
        let interval =
            |flush_interval| Settings::from(&Config { flush_interval, ..Config::default() }).look_interval();
        assert_eq!(interval(Duration::from_secs(3_600)), Duration::from_secs(1));
        assert_eq!(interval(Duration::from_millis(100)), Duration::from_millis(100));
        assert_eq!(interval(Duration::ZERO), Duration::from_millis(10), "no busy loop");
    }
}
