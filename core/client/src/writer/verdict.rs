//! What an answer means for a batch.

use std::time::Duration;

use sereno_protocol::v2::messages::{Ack, Code, Error, Reason, Rejection, Written};

use super::Rejected;
use super::shared::Shared;
use super::window::Flight;

/// The longest hint that is followed, whatever a server says.
pub(super) const HINT_MAX: Duration = Duration::from_secs(60);

/// What to do with a batch.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is done.
    Done(Written),
    /// It is to be sent again, not before so long; what is known of it till then.
    Again { after: Duration, known: Option<Written> },
    /// It is to be sent again at once with all its series defined.
    DefineAll,
    /// Nothing of it is stored, and never will be.
    Refused { reason: Reason, message: String },
    /// Nobody knows.
    Unknown,
}

pub(super) fn of_written(written: Written) -> Verdict {
    // A limit of series may stand for days, and what else there is must not wait for it.
    let again = |rejection: &Rejection| rejection.retry && rejection.reason() != Reason::SeriesLimit;
    if !written.unknown && !written.rejected.iter().any(again) {
        return Verdict::Done(written);
    }
    Verdict::Again { after: hint(written.retry_after_ms), known: Some(written) }
}

/// `all_defined` says whether the frame had the definitions of all its series.
pub(super) fn of_error(error: Error, all_defined: bool) -> Verdict {
    match error.code() {
        Code::Overloaded | Code::Recovering | Code::Closing => {
            Verdict::Again { after: hint(error.retry_after_ms), known: None }
        }
        // A frame before this one was answered with an error, perhaps before its definitions were read.
        Code::Invalid if !all_defined => Verdict::DefineAll,
        // Of these nobody can say how far the server had come.
        Code::Internal | Code::Damaged | Code::Deadline | Code::Cancelled | Code::Unspecified => {
            Verdict::Unknown
        }
        _ => Verdict::Refused { reason: Reason::Unspecified, message: error.message },
    }
}

fn hint(millis: u64) -> Duration {
    Duration::from_millis(millis).min(HINT_MAX)
}

impl Flight {
    /// Counts what became of the samples, and tells of those that were rejected.
    pub(super) fn settle(self, verdict: Verdict, open_from: Option<u64>, shared: &Shared) {
        let len = self.columns.len() as u64;
        let written = match verdict {
            Verdict::Done(written) => written,
            Verdict::Refused { reason, message } => Written {
                rejected: vec![Rejection {
                    reason: reason.into(),
                    retry: false,
                    spans: vec![0, len as u32],
                    message,
                }],
                ..Written::default()
            },
            Verdict::Again { known: Some(known), .. } => known,
            Verdict::Again { known: None, .. } | Verdict::DefineAll | Verdict::Unknown => {
                return shared.finish(self.columns, open_from, |counters| counters.unknown += len);
            }
        };
        let mut told = Told::default();
        self.tell(&written, shared, &mut told);
        let stored = match shared.config.ack {
            // A promise of nothing: what is not rejected counts.
            Ack::Received => len - told.rejected - told.forgotten,
            _ if written.unknown => 0,
            _ => written.stored.min(len - told.rejected - told.forgotten),
        };
        shared.finish(self.columns, open_from, |counters| {
            counters.batches += 1;
            counters.stored += stored;
            counters.rejected += told.rejected;
            counters.unknown += len - stored - told.rejected;
            told.last.iter().for_each(|rejected| counters.remember(rejected));
        });
    }

    /// Tells of each sample that is rejected. A server that rejects one twice is not believed for more than there are.
    fn tell(&self, written: &Written, shared: &Shared, told: &mut Told) {
        let (len, starts) = (self.columns.len(), self.columns.starts());
        for rejection in &written.rejected {
            let (spans, _) = rejection.spans.as_chunks::<2>();
            for [first, count] in spans {
                let first = (*first as usize).min(len);
                let count = (*count as usize).min(len - first).min(len - told.len());
                match rejection.reason() {
                    Reason::Forgotten => told.forgotten += count as u64,
                    _ => told.rejected += count as u64,
                }
                let listening = shared.config.on_rejected.is_some();
                // Without a listener, only the last few are of interest.
                let skipped = if listening { 0 } else { count.saturating_sub(Told::LAST) };
                for position in first + skipped..first + count {
                    let Some(rejected) = self.rejected(rejection, position, &starts, shared) else {
                        continue;
                    };
                    if let Some(tell) = &shared.config.on_rejected {
                        tell(&rejected);
                    }
                    told.remember(rejected);
                }
            }
        }
    }

    fn rejected(
        &self,
        rejection: &Rejection,
        position: usize,
        starts: &[u32],
        shared: &Shared,
    ) -> Option<Rejected> {
        let run = starts.partition_point(|start| *start as usize <= position).checked_sub(1)?;
        let series = shared.lock().key(*self.columns.refs.get(run)?)?;
        Some(Rejected {
            tag: self.columns.tag_at(position),
            series,
            time: self.columns.time(position),
            value: *self.columns.values.get(position)?,
            reason: rejection.reason(),
            message: rejection.message.clone(),
        })
    }
}

/// What was told of a batch.
#[derive(Default)]
struct Told {
    rejected: u64,
    forgotten: u64,
    last: Vec<Rejected>,
}

impl Told {
    const LAST: usize = 8;

    const fn len(&self) -> usize {
        (self.rejected + self.forgotten) as usize
    }

    fn remember(&mut self, rejected: Rejected) {
        if self.last.len() >= Self::LAST {
            self.last.remove(0);
        }
        self.last.push(rejected);
    }
}

/// The connection will never be better.
pub(super) fn is_final(error: &crate::ClientError) -> bool {
    matches!(error.code(), Some(Code::Unauthenticated | Code::Unsupported))
}
