//! The samples of one batch, by columns, as they are sent.

use sereno_model::{SeriesKey, Timestamp};

/// The most bytes that a sample takes in a frame, a run of its own included: reference, count, time and value.
pub(super) const SAMPLE_BYTES_MAX: usize = 5 + 5 + 10 + 8;
/// The most bytes of a frame that belong to no sample and no definition: keys, lengths, ids, flags.
pub(super) const FRAME_BYTES_MAX: usize = 96;

/// Either all samples have a time, or none has.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Per run, its series.
    pub refs: Vec<u32>,
    /// Per run, how many samples it has.
    pub counts: Vec<u32>,
    /// Per sample, in nanoseconds since the epoch; empty if the server stamps.
    pub times: Vec<i64>,
    /// Per sample.
    pub values: Vec<f64>,
    /// Per sample, as far as there are any.
    pub tags: Vec<u64>,
    /// Whether the samples have times.
    pub stamped: bool,
}

impl Columns {
    pub(super) const fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds a sample to the last run, or as a run of its own.
    #[inline]
    pub(super) fn push(&mut self, series: u32, time: Option<Timestamp>, value: f64) {
        match (self.refs.last(), self.counts.last_mut()) {
            (Some(last), Some(count)) if *last == series => *count += 1,
            _ => {
                self.refs.push(series);
                self.counts.push(1);
            }
        }
        if let Some(time) = time {
            self.times.push(time.nanos());
        }
        self.values.push(value);
    }

    /// Gives the last sample its mark.
    #[inline]
    pub(super) fn tag(&mut self, tag: u64) {
        self.tags.resize(self.values.len() - 1, 0);
        self.tags.push(tag);
    }

    pub(super) fn clear(&mut self) {
        self.refs.clear();
        self.counts.clear();
        self.times.clear();
        self.values.clear();
        self.tags.clear();
    }

    /// The counts as they are sent: none, if each run has one sample.
    pub(super) fn counts_to_send(&self) -> &[u32] {
        if self.refs.len() == self.values.len() { &[] } else { &self.counts }
    }

    /// Where each run starts.
    pub(super) fn starts(&self) -> Vec<u32> {
        let sums = self.counts.iter().scan(0, |sum, count| {
            let start = *sum;
            *sum += count;
            Some(start)
        });
        sums.collect()
    }

    pub(super) fn time(&self, position: usize) -> Option<Timestamp> {
        self.times.get(position).copied().map(Timestamp::from_nanos)
    }

    pub(super) fn tag_at(&self, position: usize) -> u64 {
        self.tags.get(position).copied().unwrap_or_default()
    }
}

/// The most bytes that the definition of a series takes in a frame.
pub(super) fn definition_bytes_max(key: &SeriesKey) -> usize {
    // A key and a length each for the entry, its reference, and each of its texts.
    let texts = key.labels().map(|(label, value)| 12 + label.len() + value.len()).sum::<usize>();
    12 + 6 + key.name().len() + texts
}
