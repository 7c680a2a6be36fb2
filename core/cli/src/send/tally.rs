//! What became of the lines: which were bad, how many are stored, and how that is told.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sereno_client::messages::Reason;
use sereno_client::{Counters, Rejected};

use crate::console::{Console, printable};
use crate::{Exit, Failure};

/// So many bad lines are told one by one, and then only counted.
const TOLD_MAX: u64 = 20;
/// The lower bits of a mark are the number of the line, the upper ones that of the stream.
const LINE_BITS: u32 = 40;

/// Names of the streams, and what was told about their lines.
pub(super) struct Tally {
    names: Vec<String>,
    rejected: Arc<Mutex<Rejections>>,
    pub(super) lines: u64,
    /// Lines that make no sense.
    pub(super) bad: u64,
    told: u64,
    untold: u64,
}

/// What the client library says is not stored, since it was last asked.
#[derive(Default)]
struct Rejections {
    samples: Vec<(u64, String)>,
    /// Of all: those that never came to the server, which alone has words for its reasons.
    undelivered: u64,
}

impl Tally {
    pub(super) fn new(files: &[impl AsRef<Path>]) -> Self {
        let name = |file: &Path| match file.to_str() {
            Some("-") => "line ".to_owned(),
            _ => printable(&format!("{}:", file.display())).into_owned(),
        };
        Self {
            names: files.iter().map(|file| name(file.as_ref())).collect(),
            rejected: Arc::default(),
            lines: 0,
            bad: 0,
            told: 0,
            untold: 0,
        }
    }

    /// The mark that a sample bears.
    pub(super) const fn mark(stream: usize, line: u64) -> u64 {
        (stream as u64) << LINE_BITS | line
    }

    /// Takes down what the server rejects. A few are enough: the rest is counted elsewhere.
    pub(super) fn on_rejected(&self) -> Arc<dyn Fn(&Rejected) + Send + Sync> {
        let rejections = Arc::clone(&self.rejected);
        Arc::new(move |sample: &Rejected| {
            let mut rejections = rejections.lock().unwrap_or_else(PoisonError::into_inner);
            rejections.undelivered += u64::from(sample.reason == Reason::Unspecified);
            if rejections.samples.len() as u64 <= TOLD_MAX {
                rejections.samples.push((sample.tag, sample.message.clone()));
            }
        })
    }

    /// Tells of a bad line, unless enough have been told.
    pub(super) fn bad(&mut self, mark: u64, why: &str, console: &mut Console) {
        self.bad += 1;
        self.tell(mark, why, console);
    }

    /// Tells what the server has rejected since.
    pub(super) fn tell_rejected(&mut self, console: &mut Console) {
        let samples = std::mem::take(&mut self.rejections().samples);
        for (mark, why) in samples {
            self.tell(mark, &format!("rejected: {}", printable(&why)), console);
        }
    }

    /// Whether the server did not answer for all samples.
    pub(super) fn is_cut_off(&self, counters: &Counters) -> bool {
        counters.unknown > 0 || self.rejections().undelivered > 0
    }

    fn rejections(&self) -> MutexGuard<'_, Rejections> {
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&mut self, mark: u64, why: &str, console: &mut Console) {
        if self.told >= TOLD_MAX {
            self.untold += 1;
            return;
        }
        self.told += 1;
        let (stream, line) = (mark >> LINE_BITS, mark & ((1 << LINE_BITS) - 1));
        let name = self.names.get(stream as usize).map_or("line ", String::as_str);
        console.say(format_args!("{name}{line}: {why}"));
    }

    /// The last words, and whether they are good ones.
    pub(super) fn conclude(
        &self,
        counters: &Counters,
        elapsed: Duration,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Counters { pushed, stored, rejected, dropped, unknown, .. } = counters;
        let lost = pushed - stored - rejected - dropped - unknown;
        let untold = (self.bad + rejected).saturating_sub(self.told);
        if untold > 0 && self.told > 0 {
            console.say(format_args!("… and {untold} more"));
        }
        let secs = elapsed.as_secs_f64();
        let per_second = if secs > 0.0 { *stored as f64 / secs } else { 0.0 };
        let mut text = format!("{} lines, {stored} stored", self.lines);
        for (count, what) in [(self.bad, "bad"), (*rejected, "rejected"), (unknown + lost, "unknown")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        console.say(format_args!("{text}; {secs:.2} s, {per_second:.0} per second"));
        match self.bad + rejected + unknown + lost {
            0 => Ok(()),
            1 => Err(Failure::new(Exit::Negative, "one line is not stored")),
            count => Err(Failure::new(Exit::Negative, format!("{count} lines are not stored"))),
        }
    }
}
