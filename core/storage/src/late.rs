//! Samples that came after a tick had already looked at their time.
//!
//! A writer makes a commit visible and then looks which tick is settled; a tick is settled and then takes its cut. So
//! either the cut has the sample or the writer finds it late, and sometimes both: too much may be told, never too little.
//!
//! Not here: what becomes of it (the rules say that a replay is inexact).

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sereno_model::{SeriesKey, Timestamp};

use crate::batch::Row;
use crate::registry::{Registry, SeriesId};

/// How many series are told one by one, and then how many metrics.
const ENTRIES_MAX: usize = 10_000;

/// Samples that came late; see [`Store::settle`](crate::Store::settle).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// Of what.
    pub what: LateWhat,
    /// The time of the oldest of them.
    pub first: Timestamp,
    /// The time of the newest of them.
    pub last: Timestamp,
    /// How many came, replacements included.
    pub count: u64,
    /// The newest tick that had been settled when the last of them came.
    pub settled: Timestamp,
}

/// What samples are of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LateWhat {
    /// One series.
    Series(SeriesKey),
    /// Some series of a metric: too many were late to tell which.
    Metric(Arc<str>),
    /// Some series: too many metrics had late ones to tell which.
    Everything,
}

/// What is noted of late samples.
#[derive(Debug)]
pub(crate) struct Lateness {
    /// Samples before this are late; no time is before it until the first tick.
    settled: AtomicI64,
    noted: Mutex<Noted>,
}

/// As exact as there is room for.
#[derive(Debug)]
enum Noted {
    Series(HashMap<SeriesId, (SeriesKey, Span)>),
    Metrics(HashMap<Arc<str>, Span>),
    Everything(Span),
}

/// Samples by their times, inclusive.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: i64,
    last: i64,
    count: u64,
    settled: i64,
}

impl Span {
    const NONE: Self = Self { first: i64::MAX, last: i64::MIN, count: 0, settled: i64::MIN };

    fn join(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            count: self.count + other.count,
            settled: self.settled.max(other.settled),
        }
    }

    /// Of those that are before what is settled.
    fn of(rows: &[Row], settled: i64) -> Self {
        let late = rows.iter().map(|row| row.time).filter(|time| *time < settled);
        late.fold(Self::NONE, |span, time| span.join(Self { first: time, last: time, count: 1, settled }))
    }

    fn tell(self, what: LateWhat) -> Late {
        let at = Timestamp::from_nanos;
        let Self { first, last, count, settled } = self;
        Late { what, first: at(first), last: at(last), count, settled: at(settled) }
    }
}

impl Default for Lateness {
    fn default() -> Self {
        Self { settled: AtomicI64::new(i64::MIN), noted: Mutex::default() }
    }
}

impl Default for Noted {
    fn default() -> Self {
        Self::Series(HashMap::new())
    }
}

impl Lateness {
    /// Before the cut of a tick is taken.
    pub(crate) fn settle(&self, tick: Timestamp) {
        self.settled.fetch_max(tick.nanos(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// What is settled, asked after a commit was made visible.
    pub(crate) fn settled(&self) -> i64 {
        fence(Ordering::SeqCst);
        self.settled.load(Ordering::SeqCst)
    }

    /// Takes note of the rows that are before what was settled. Rows of one series should stand together.
    pub(crate) fn note(&self, rows: &[Row], settled: i64, registry: &Registry) {
        let mut noted = self.noted();
        for rows in rows.chunk_by(|a, b| a.series == b.series) {
            let span = Span::of(rows, settled);
            if span.count > 0 {
                noted.add(rows[0].series, span, registry);
            }
        }
    }

    /// Gives what is noted, in order of what it is of, and begins anew.
    pub(crate) fn take(&self) -> Vec<Late> {
        let noted = std::mem::take(&mut *self.noted());
        let mut late: Vec<Late> = match noted {
            Noted::Series(series) => {
                series.into_values().map(|(key, span)| span.tell(LateWhat::Series(key))).collect()
            }
            Noted::Metrics(metrics) => {
                metrics.into_iter().map(|(name, span)| span.tell(LateWhat::Metric(name))).collect()
            }
            Noted::Everything(span) => vec![span.tell(LateWhat::Everything)],
        };
        late.sort_unstable_by(|a, b| a.what.cmp(&b.what));
        late
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn add(&mut self, id: SeriesId, span: Span, registry: &Registry) {
        match self {
            Self::Series(series) => {
                if let Some((_, known)) = series.get_mut(&id) {
                    *known = known.join(span);
                    return;
                }
                // A series that is committed to is never retired meanwhile.
                let Some(key) = registry.key(id) else { return self.widen_to_everything(span) };
                series.insert(id, (key, span));
                if series.len() > ENTRIES_MAX {
                    self.widen_to_metrics();
                }
            }
            Self::Metrics(metrics) => {
                let Some(key) = registry.key(id) else { return self.widen_to_everything(span) };
                add_to(metrics, key.name(), span);
                if metrics.len() > ENTRIES_MAX {
                    self.widen_to_everything(Span::NONE);
                }
            }
            Self::Everything(all) => *all = all.join(span),
        }
    }

    fn widen_to_metrics(&mut self) {
        let Self::Series(series) = self else { return };
        let mut metrics = HashMap::new();
        for (key, span) in series.values() {
            add_to(&mut metrics, key.name(), *span);
        }
        *self = Self::Metrics(metrics);
    }

    fn widen_to_everything(&mut self, span: Span) {
        let all = match self {
            Self::Series(series) => series.values().map(|(_, span)| *span).fold(span, Span::join),
            Self::Metrics(metrics) => metrics.values().copied().fold(span, Span::join),
            Self::Everything(all) => all.join(span),
        };
        *self = Self::Everything(all);
    }
}

fn add_to(metrics: &mut HashMap<Arc<str>, Span>, name: &str, span: Span) {
    match metrics.get_mut(name) {
        Some(known) => *known = known.join(span),
        None => drop(metrics.insert(name.into(), span)),
    }
}
