//! Checks a plugin against `SPEC.md`, and gives its tests what a server would: a place to write to, a notification.
//! Everything here is for tests and panics with the sentence of the specification that is broken.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sereno_model::{EventKind, Level, Marks, Notification, Sample, SeriesKey, Timestamp};
use sereno_runtime::{Clock, Diagnostic, Metrics, Shutdown};

use crate::input::{Ingest, Input, InputContext, InputFactory, Refusal, WriteReport};
use crate::settings::Settings;
use crate::sink::SinkFactory;
use crate::{BoxFuture, caught};

/// How long a plugin may take to end after the word to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A place to write to that keeps everything, in the order written. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryIngest {
    samples: Arc<Mutex<Vec<(SeriesKey, Sample)>>>,
    written: Arc<tokio::sync::Notify>,
    refuse: bool,
}

impl MemoryIngest {
    /// One that refuses every sample, as a server with a full disk does.
    #[must_use]
    pub fn refusing() -> Self {
        Self { refuse: true, ..Self::default() }
    }

    /// What was written so far.
    #[must_use]
    pub fn samples(&self) -> Vec<(SeriesKey, Sample)> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until at least `count` samples were written.
    pub async fn wait_for(&self, count: usize) -> Vec<(SeriesKey, Sample)> {
        loop {
            let written = self.written.notified();
            let samples = self.samples();
            if samples.len() >= count {
                return samples;
            }
            written.await;
        }
    }
}

impl Ingest for MemoryIngest {
    fn write(&self, batch: Vec<(SeriesKey, Sample)>) -> BoxFuture<'_, WriteReport> {
        let full = |index| Refusal { index, reason: "the disk is full".into(), retry: true };
        let report = match self.refuse {
            true => WriteReport { stored: 0, refused: (0..batch.len()).map(full).collect() },
            false => WriteReport { stored: batch.len(), refused: Vec::new() },
        };
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
        self.written.notify_waiters();
        Box::pin(async { report })
    }
}

/// A context as the server gives it to the instance `test/main`.
#[must_use]
pub fn context(stop: &Shutdown, clock: &Arc<dyn Clock>, ingest: &MemoryIngest) -> InputContext {
    let ingest = Arc::new(ingest.clone());
    InputContext::new("test/main", stop.clone(), clock.clone(), ingest, &Metrics::default())
}

/// A notification with every field filled.
#[must_use]
pub fn notification() -> Notification {
    Notification {
        event_id: "cpu_high/a/1/firing/1".into(),
        kind: EventKind::Firing,
        rule: "cpu_high".into(),
        instance: vec![("host".into(), "a".into())],
        level: Level::Crit,
        value: Some(97.5),
        extreme: Some(99.0),
        tick: Timestamp::from_millis(1_767_225_615_000),
        previous: None,
        peak: None,
        samples: None,
        episode: 1,
        labels: Vec::new(),
        runbook: None,
        suppressed_by: None,
        marks: Marks::default(),
        fired_at: Timestamp::from_millis(1_767_225_615_000),
        message: "a: load 97.5 (crit)".into(),
        reason: None,
        generation: 1,
    }
}

/// Checks a kind of input: its name and summary, that it accepts `example`, refuses unknown keys, survives refused
/// writes, and ends when told to.
///
/// # Panics
/// The specification is broken; the message says which sentence of it.
pub async fn check_input(factory: &dyn InputFactory, example: Settings) {
    check_kind(factory.kind(), factory.summary());
    check_settings(&example, |settings| factory.build(settings).map(drop));
    for ingest in [MemoryIngest::default(), MemoryIngest::refusing()] {
        check_stop(factory.build(&example).expect("the example was accepted before"), &ingest).await;
    }
}

/// Checks a kind of sink: its name and summary, that it accepts `example`, refuses unknown keys, and answers within
/// a minute without a panic (whatever the answer: nobody may be listening).
///
/// # Panics
/// The specification is broken; the message says which sentence of it.
pub async fn check_sink(factory: &dyn SinkFactory, example: Settings) {
    check_kind(factory.kind(), factory.summary());
    check_settings(&example, |settings| factory.build(settings).map(drop));
    let sink = factory.build(&example).expect("the example was accepted before");
    let (notification, limit) = (notification(), Duration::from_secs(60));
    let answer = tokio::time::timeout(limit, caught(sink.deliver(&notification))).await;
    match answer {
        Ok(Ok(_)) => {}
        Ok(Err(panicked)) => panic!("a sink MUST NOT panic on what the outside world does: {panicked}"),
        Err(_) => panic!("a sink MUST answer: it was still at work after {limit:?}"),
    }
}

fn check_kind(kind: &str, summary: &str) {
    let starts = kind.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = kind.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    assert!(starts && rest, "a kind MUST be lower-case letters, digits and `_`, not `{kind}`");
    let one_line = !summary.is_empty() && !summary.contains('\n') && !summary.ends_with('.');
    assert!(one_line, "a summary MUST be one line without a full stop, not `{summary}`");
}

fn check_settings(example: &Settings, build: impl Fn(&Settings) -> Result<(), Diagnostic>) {
    if let Err(error) = build(example) {
        panic!("the example settings MUST be accepted: {error}");
    }
    let unknown = Settings::parse("no_such_key_anywhere: 1").expect("this is YAML");
    let refused = build(&unknown).is_err_and(|error| error.message.contains("no_such_key_anywhere"));
    assert!(refused, "unknown keys MUST be refused by name: use `deny_unknown_fields`");
}

async fn check_stop(input: Box<dyn Input>, ingest: &MemoryIngest) {
    let stop = Shutdown::default();
    let clock: Arc<dyn Clock> = Arc::new(sereno_runtime::SystemClock::new());
    let run = input.run(context(&stop, &clock, ingest));
    let asked = async {
        tokio::task::yield_now().await;
        stop.stop();
    };
    let (ended, ()) = tokio::join!(tokio::time::timeout(STOP_LIMIT, run), asked);
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("an input told to stop MUST give `Ok`, not: {error}"),
        Err(_) => panic!("an input MUST end within {STOP_LIMIT:?} of the word to stop"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::still::StillInput;

    #[tokio::test]
    async fn the_smallest_input_holds_the_contract() {
        check_input(&StillInput, Settings::parse("{}").unwrap()).await;
    }

    /// Takes any settings without reading them.
    struct Careless;

    impl InputFactory for Careless {
        fn kind(&self) -> &'static str {
            "careless"
        }
        fn summary(&self) -> &'static str {
            "breaks the contract"
        }
        fn build(&self, _: &Settings) -> Result<Box<dyn Input>, Diagnostic> {
            Ok(Box::new(StillInput))
        }
    }

    #[tokio::test]
    #[should_panic(expected = "unknown keys MUST be refused by name")]
    async fn settings_that_nobody_reads_are_found() {
        check_input(&Careless, Settings::parse("{}").unwrap()).await;
    }
}
