//! Why samples of a batch are not stored, grouped by reason.

use sereno_protocol::v2::messages::{Reason, Rejection};
use sereno_runtime::{Counter, Metrics};
use sereno_storage::Refusal;

/// When to send again what was refused for lack of room, in milliseconds.
const ROOM_RETRY_MS: u64 = 100;
/// When to send again what was refused for a cause that takes longer to go.
const CAUSE_RETRY_MS: u64 = 1_000;

/// Rejected samples of one batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Rejections {
    groups: Vec<Rejection>,
    samples: u64,
    retry_after_ms: u64,
}

impl Rejections {
    /// Adds samples: `count` from `first` on. Within a reason they come in rising order. The first message of a reason
    /// stands for all.
    pub(super) fn add(&mut self, first: u32, count: u32, reason: Reason, retry: bool, message: &str) {
        self.samples += u64::from(count);
        if retry {
            self.retry_after_ms = self.retry_after_ms.max(retry_after_ms(reason));
        }
        let same = |group: &&mut Rejection| group.reason() == reason && group.retry == retry;
        match self.groups.iter_mut().find(same) {
            Some(group) => extend(&mut group.spans, first, count),
            None => self.groups.push(Rejection {
                reason: reason.into(),
                retry,
                spans: vec![first, count],
                message: message.to_owned(),
            }),
        }
    }

    /// Adds a sample that the store refused.
    pub(super) fn add_refusal(&mut self, place: u32, why: Refusal) {
        let (reason, retry, message) = explain(why);
        self.add(place, 1, reason, retry, message);
    }

    /// How many samples they are.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    pub(super) fn count(&self, counts: &RejectionCounts) {
        for group in &self.groups {
            let samples = group.spans.chunks_exact(2).map(|span| u64::from(span[1])).sum();
            counts.of(group.reason()).add(samples);
        }
    }

    /// The groups, and when to send again what is worth it.
    pub(super) fn into_groups(self) -> (Vec<Rejection>, u64) {
        (self.groups, self.retry_after_ms)
    }
}

fn extend(spans: &mut Vec<u32>, first: u32, count: u32) {
    if let [.., last, length] = spans.as_mut_slice()
        && *last + *length == first
    {
        *length += count;
        return;
    }
    spans.extend([first, count]);
}

fn retry_after_ms(reason: Reason) -> u64 {
    match reason {
        Reason::QueueFull => ROOM_RETRY_MS,
        Reason::Unspecified => 0,
        _ => CAUSE_RETRY_MS,
    }
}

/// A refusal in the words of the protocol: its reason, whether the sample may be stored later, and what to tell people.
fn explain(why: Refusal) -> (Reason, bool, &'static str) {
    match why {
        Refusal::QueueFull => {
            (Reason::QueueFull, true, "as many samples wait for this series' writer as may")
        }
        Refusal::MemoryFull => (Reason::MemoryFull, true, "the store holds as much in memory as it may"),
        Refusal::DiskFull => (Reason::DiskFull, true, "the server's disk is full"),
        Refusal::DiskFailed => (Reason::DiskFailed, true, "the server's disk failed; its log has the detail"),
        Refusal::LogFull => (Reason::LogFull, true, "the store's log holds as much as it may"),
        Refusal::TooOld => (Reason::TooOld, false, "the time lies before what `storage.retention` keeps"),
        Refusal::TooFarAhead => (
            Reason::TooFarAhead,
            false,
            "the time lies further ahead of the server's clock than `storage.future_max`",
        ),
        Refusal::Retired => {
            (Reason::Unspecified, true, "the series was given up just now; send the samples again")
        }
        Refusal::Recovering => {
            (Reason::Recovering, true, "the log is read back, and may hold this batch already; send it again")
        }
        Refusal::Forgotten => (
            Reason::Forgotten,
            false,
            "so many batches came since that nobody knows whether this one was stored",
        ),
        Refusal::Closed => (Reason::Closing, true, "the server shuts down"),
    }
}

/// `samples_rejected_total` by reason.
#[derive(Clone)]
pub(super) struct RejectionCounts([Counter; REASONS.len()]);

/// In the order of their numbers.
const REASONS: [(Reason, &str); 13] = [
    (Reason::Unspecified, "other"),
    (Reason::QueueFull, "queue_full"),
    (Reason::MemoryFull, "memory_full"),
    (Reason::DiskFull, "disk_full"),
    (Reason::DiskFailed, "disk_failed"),
    (Reason::LogFull, "log_full"),
    (Reason::TooOld, "too_old"),
    (Reason::TooFarAhead, "too_far_ahead"),
    (Reason::Closing, "closing"),
    (Reason::Recovering, "recovering"),
    (Reason::Forgotten, "forgotten"),
    (Reason::SeriesLimit, "series_limit"),
    (Reason::InvalidSeries, "invalid_series"),
];

impl RejectionCounts {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self(REASONS.map(|(_, name)| metrics.counter("samples_rejected_total", &[("reason", name)])))
    }

    fn of(&self, reason: Reason) -> &Counter {
        let place = REASONS.iter().position(|(known, _)| *known == reason);
        &self.0[place.unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_reason_are_one_span() {
        let mut rejections = Rejections::default();
        rejections.add(0, 2, Reason::InvalidSeries, false, "the first message");
        rejections.add_refusal(2, Refusal::QueueFull);
        rejections.add(5, 1, Reason::InvalidSeries, false, "another message");
        rejections.add(6, 3, Reason::InvalidSeries, false, "another message");
        rejections.add_refusal(3, Refusal::QueueFull);
        assert_eq!(rejections.samples(), 8);
        let (groups, retry_after_ms) = rejections.into_groups();
        let told: Vec<_> =
            groups.iter().map(|group| (group.reason(), group.retry, &group.spans[..])).collect();
        assert_eq!(
            told,
            [(Reason::InvalidSeries, false, &[0, 2, 5, 4][..]), (Reason::QueueFull, true, &[2, 2][..]),]
        );
        assert_eq!(groups[0].message, "the first message");
        assert_eq!(retry_after_ms, ROOM_RETRY_MS);
    }

    #[test]
    fn every_reason_is_counted_under_its_name() {
        let metrics = Metrics::default();
        let counts = RejectionCounts::new(&metrics);
        for (reason, name) in REASONS {
            let mut rejections = Rejections::default();
            rejections.add(7, 3, reason, false, "");
            rejections.count(&counts);
            let of_name = metrics.counter("samples_rejected_total", &[("reason", name)]);
            assert_eq!(of_name.get(), 3, "{name}");
        }
    }
}
