//! What may be deleted: by age, by size; and what time it is for that purpose.

use std::time::Duration;

use sereno_model::Timestamp;
use sereno_runtime::Clock;
use std::sync::atomic::Ordering;
use tracing::{info, warn};

use super::{MaintainError, Maintenance, State};
use crate::segment::day_range;

/// A wall clock that is further ahead than this has jumped.
const JUMP_MIN: Duration = Duration::from_secs(3_600);
/// Between the last flush of one process and the start of the next, so much is an ordinary stop.
const STOP_MAX: Duration = Duration::from_secs(86_400);
/// A jump ahead is believed when it has stood for so long.
const CONFIRM: Duration = Duration::from_secs(86_400);

/// The time by which samples grow old. It follows the wall clock, but for jumps ahead: those are believed after a day,
/// for what retention deletes does not come back when the clock is mended. It never runs ahead of the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrustedClock {
    time: Timestamp,
    at: Duration,
    /// How far ahead of what is expected the wall clock may be at the next look.
    slack: Duration,
    ahead_since: Option<Duration>,
}

impl TrustedClock {
    /// Goes on from the time that an earlier process trusted; the first one trusts the wall clock.
    pub(crate) fn new(before: Option<i64>, clock: &dyn Clock) -> Self {
        let time = before.map_or_else(|| clock.now(), Timestamp::from_nanos);
        Self { time, at: clock.monotonic(), slack: STOP_MAX, ahead_since: None }
    }

    /// Nanoseconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        self.time.nanos()
    }

    /// Looks at the clocks. Gives whether a jump ahead has just been noticed.
    pub(crate) fn update(&mut self, wall: Timestamp, monotonic: Duration) -> bool {
        let expected = self.time + monotonic.saturating_sub(self.at);
        self.at = monotonic;
        let slack = std::mem::replace(&mut self.slack, JUMP_MIN);
        if wall <= expected + slack {
            self.time = wall;
            self.ahead_since = None;
            return false;
        }
        let noticed = self.ahead_since.is_none();
        let since = *self.ahead_since.get_or_insert(monotonic);
        let confirmed = monotonic.saturating_sub(since) >= CONFIRM;
        self.time = if confirmed { wall } else { expected };
        noticed
    }
}

impl Maintenance {
    /// Looks at the clocks, and sets before which time samples are refused.
    pub(super) fn mind_the_clock(&self, state: &mut State) {
        let wall = self.shared.clock.now();
        if state.clock.update(wall, self.shared.clock.monotonic()) {
            warn!(
                clock = %wall, retention = %Timestamp::from_nanos(state.clock.now()),
                "The clock is far ahead of where it was. Until that has stood for a day, nothing is deleted because of it."
            );
        }
        self.shared.oldest.store(self.oldest(state), Ordering::Relaxed);
    }

    /// Samples before this are not kept: the start of a day, since whole days go.
    fn oldest(&self, state: &State) -> i64 {
        if self.settings.retention.is_zero() {
            return i64::MIN;
        }
        let kept_from = Timestamp::from_nanos(state.clock.now()) - self.settings.retention;
        day_range(crate::segment::day_of(kept_from.nanos())).start.nanos()
    }

    /// Deletes the days that are too old, and the oldest ones while there is too much.
    pub(super) fn expire(&self, state: &mut State) -> Result<(), MaintainError> {
        let oldest = self.oldest(state);
        let version = self.shared.version.load_full();
        let mut bytes: u64 = version.segments.iter().map(|segment| segment.meta.bytes).sum();
        let newest_day = version.segments.iter().map(|segment| segment.meta.day).max();
        let mut by_age: Vec<_> = version.segments.iter().collect();
        by_age.sort_by_key(|segment| segment.meta.day);
        let mut gone_before = i64::MIN;
        for day in by_age.chunk_by(|a, b| a.meta.day == b.meta.day) {
            let too_old = day_range(day[0].meta.day).end.nanos() <= oldest;
            let limit = self.settings.retention_bytes;
            let too_much = limit > 0 && bytes > limit && Some(day[0].meta.day) != newest_day;
            if !too_old && !too_much {
                break;
            }
            bytes -= day.iter().map(|segment| segment.meta.bytes).sum::<u64>();
            gone_before = day[0].meta.day + 1;
        }
        let (gone, kept): (Vec<_>, Vec<_>) =
            version.segments.iter().cloned().partition(|segment| segment.meta.day < gone_before);
        if gone.is_empty() {
            return Ok(());
        }
        let manifest = state.manifest.clone();
        self.publish(state, manifest, kept, &[])?;
        gone.iter().for_each(|segment| segment.doom());
        self.measures.expired_segments.add(gone.len() as u64);
        let before = day_range(gone_before).start;
        info!(segments = gone.len(), %before, "Samples that are not to be kept any longer are deleted.");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_runtime::ManualClock;

    #[test]
    fn a_jump_ahead_is_believed_after_a_day() {
        let start = Timestamp::from_millis(1_700_000_000_000);
        let clock = ManualClock::new(start);
        let mut trusted = TrustedClock::new(None, &clock);
        let mut look = || {
            let noticed = trusted.update(clock.now(), clock.monotonic());
            (noticed, trusted.now())
        };
        let years = Duration::from_secs(10 * 365 * 86_400);
        clock.step_to(start + years);
        assert_eq!(look(), (true, start.nanos()), "not believed at once");
        clock.advance(Duration::from_secs(60));
        assert_eq!(look(), (false, (start + Duration::from_secs(60)).nanos()), "time goes on meanwhile");
        clock.step_to(start + Duration::from_secs(60));
        assert_eq!(look(), (false, clock.now().nanos()), "mended");
        clock.step_to(start);
        assert_eq!(look(), (false, start.nanos()), "a step back is followed: it deletes less");
        clock.step_to(start + years);
        look();
        clock.advance(CONFIRM);
        assert_eq!(look(), (false, clock.now().nanos()), "believed in the end");
    }
}
