//! Which segments to merge, and when.
//!
//! While a day is open, its flushes are merged eight at a time; when it is over, all that it has becomes one. So a
//! sample is encoded three times in its life. Late samples for a day that is done wait until they are many enough to be
//! worth the rewriting of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::flush::sort;
use super::merge::merge;
use super::{Activity, GivenUp, MaintainError, Maintenance, State, io_error, log_done};
use crate::segment::{Meta, Segment, Why, day_range};

/// So many segments of an open day, of one level, are merged.
const RUN: usize = 8;
/// So many late segments are merged into a day that is done …
const LATE_RUN: usize = 4;
/// … or so large a share of its samples.
const LATE_SHARE: u64 = 10;
/// A day is over so long after its end: senders are late, and the last flush must have come.
const DAY_GRACE: Duration = Duration::from_secs(2 * 3_600);
/// After a read that failed, a day is left alone for so long. Other days go on meanwhile.
const READ_RETRY: Duration = Duration::from_secs(600);

impl Maintenance {
    /// Merges the segments of one day, if some are due, or `all` that can be. Gives whether there was something to do.
    pub(super) fn compact_one(&self, state: &mut State, all: bool) -> Result<bool, MaintainError> {
        let segments = self.shared.version.load().segments.clone();
        let (now, monotonic) = (self.shared.clock.now(), self.shared.clock.monotonic());
        state.given_up.retain(|day| day.retry.as_ref().is_none_or(|(_, retry)| monotonic < *retry));
        let days = segments.chunk_by(|a, b| (a.meta.group, a.meta.day) == (b.meta.group, b.meta.day));
        for day in days {
            let place = (day[0].meta.group, day[0].meta.day);
            if state.given_up.iter().any(|given_up| (given_up.group, given_up.day) == place) {
                continue;
            }
            let is_over = now > day_range(place.1).end + DAY_GRACE;
            let Some((run, level)) = (if all { whole(day) } else { due(day, is_over) }) else { continue };
            match self.replace(state, run, level) {
                Err(MaintainError::Damaged(damage)) => {
                    warn!(%damage, "The segments of a day are not merged, because one cannot be read; the others stay readable.");
                    let (group, day) = place;
                    let passes = matches!(damage.why, Why::Io(_));
                    let retry = passes.then(|| (damage, monotonic + READ_RETRY));
                    state.given_up.push(GivenUp { group, day, retry });
                }
                outcome => return outcome.map(|()| true),
            }
        }
        Ok(false)
    }

    fn replace(&self, state: &mut State, run: &[Arc<Segment>], level: u8) -> Result<(), MaintainError> {
        let _working = self.working(Activity::Compacting);
        let started = self.shared.clock.monotonic();
        let id = state.manifest.next_segment;
        state.manifest.next_segment += 1;
        let of_all = |of: fn(&Meta) -> u64| run.iter().map(move |segment| of(&segment.meta));
        let meta = Meta {
            id,
            level,
            sequence_first: of_all(|meta| meta.sequence_first).min().unwrap_or(0),
            sequence_last: of_all(|meta| meta.sequence_last).max().unwrap_or(0),
            ..run[0].meta.clone()
        };
        let meta = merge(self, run, meta, || self.flush_if_due(state).map_err(of_the_flush))?;
        let outcome = self.open_segment(id).and_then(|merged| {
            let mut segments = self.shared.version.load().segments.clone();
            segments.retain(|segment| run.iter().all(|gone| gone.meta.id != segment.meta.id));
            segments.push(merged);
            sort(&mut segments);
            let manifest = state.manifest.clone();
            self.publish(state, manifest, segments, &[])
        });
        if let Err(error) = outcome {
            self.withdraw(state, std::iter::once(meta.id));
            return Err(error);
        }
        run.iter().for_each(|segment| segment.doom());
        self.measures.compactions.inc();
        self.measures.compacted_samples.add(meta.samples);
        log_done(
            "Segments are merged.",
            run.len(),
            meta.samples,
            self.shared.clock.monotonic().saturating_sub(started),
        );
        Ok(())
    }
}

/// What a flush in the middle of a merge finds damaged is not the day that is merged.
fn of_the_flush(error: MaintainError) -> MaintainError {
    match error {
        MaintainError::Damaged(damage) => {
            io_error("open a segment that was just written")(io::Error::other(damage))
        }
        other => other,
    }
}

/// All segments of a day, unless it is one already.
fn whole(day: &[Arc<Segment>]) -> Option<(&[Arc<Segment>], u8)> {
    (day.len() > 1).then_some((day, 2))
}

/// The segments of a day that are due, and the level of what they become. Neighbours in the order of flushes, so that
/// of two samples at one time it stays clear which one counts.
fn due(day: &[Arc<Segment>], is_over: bool) -> Option<(&[Arc<Segment>], u8)> {
    let done = day.first().filter(|first| first.meta.level == 2);
    match (done, is_over) {
        (None, true) => whole(day),
        (Some(done), _) => {
            let late: u64 = day[1..].iter().map(|segment| segment.meta.samples).sum();
            let enough = day.len() > LATE_RUN || late * LATE_SHARE >= done.meta.samples;
            if enough { whole(day) } else { None }
        }
        (None, false) => {
            let fresh = day.iter().rposition(|segment| segment.meta.level > 0).map_or(0, |last| last + 1);
            if day.len() - fresh >= RUN {
                return Some((&day[fresh..], 1));
            }
            (fresh >= RUN).then_some((&day[..fresh], 1))
        }
    }
}
