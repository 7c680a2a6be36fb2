//! Bringing samples in.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sereno_model::{Sample, SeriesKey};
use sereno_runtime::{Clock, Counter, Diagnostic, Metrics, Shutdown};
use tracing::{info, warn};

use crate::BoxFuture;
use crate::error::PluginError;
use crate::settings::Settings;

/// Turns things outside into samples and hands them on.
pub trait Input: Send {
    /// Runs until the work is finished or the word to stop is given, then gives `Ok`. After an error or a panic the
    /// host builds the instance afresh and runs it again, later and later.
    ///
    /// # Errors
    /// Whatever ended it before its time.
    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), PluginError>>;
}

/// A kind of input.
pub trait InputFactory: Send + Sync {
    /// The kind's name: lower-case letters, digits and `_`, starting with a letter.
    fn kind(&self) -> &'static str;

    /// What it does, in one line, for the list of plugins.
    fn summary(&self) -> &'static str;

    /// Builds an instance from its settings. No I/O, no threads: a configuration is checked by building it, and an
    /// instance that failed is built again.
    ///
    /// # Errors
    /// What is wrong with the settings.
    fn build(&self, settings: &Settings) -> Result<Box<dyn Input>, Diagnostic>;
}

/// Where samples go: the server's store, or a test's memory.
pub trait Ingest: Send + Sync {
    /// Writes a batch; completes when every sample of it is stored (as the server's configuration defines an
    /// acknowledgement) or refused.
    fn write(&self, batch: Vec<(SeriesKey, Sample)>) -> BoxFuture<'_, WriteReport>;
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteReport {
    /// How many samples are stored.
    pub stored: usize,
    /// Those that are not, in order of their places in the batch. A refused sample never appears later.
    pub refused: Vec<Refusal>,
}

/// One sample that was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why.
    pub reason: Cow<'static, str>,
    /// Whether writing the same sample again later may help.
    pub retry: bool,
}

/// What an input gets from its host.
pub struct InputContext {
    name: String,
    stop: Shutdown,
    clock: Arc<dyn Clock>,
    ingest: Arc<dyn Ingest>,
    stored: Counter,
    refused: Counter,
    /// Whether the last batch was refused in part, so that a long refusal is logged once.
    refusing: AtomicBool,
}

impl InputContext {
    /// The context of the instance `name`. It counts `plugin_samples_stored_total` and
    /// `plugin_samples_refused_total`, each with the label `plugin`.
    #[must_use]
    pub fn new(
        name: &str,
        stop: Shutdown,
        clock: Arc<dyn Clock>,
        ingest: Arc<dyn Ingest>,
        metrics: &Metrics,
    ) -> Self {
        let counter = |metric| metrics.counter(metric, &[("plugin", name)]);
        Self {
            name: name.to_owned(),
            stop,
            clock,
            ingest,
            stored: counter("plugin_samples_stored_total"),
            refused: counter("plugin_samples_refused_total"),
            refusing: AtomicBool::new(false),
        }
    }

    /// The instance's name, `kind/name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The word to stop. An input that waits for anything waits for this as well.
    #[must_use]
    pub fn stop(&self) -> &Shutdown {
        &self.stop
    }

    /// Where time comes from.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Writes a batch and waits until it is stored or refused. The host counts and logs refusals; the input only
    /// decides whether to write a refused sample again.
    pub async fn write(&self, batch: Vec<(SeriesKey, Sample)>) -> WriteReport {
        let report = self.ingest.write(batch).await;
        self.stored.add(report.stored as u64);
        self.refused.add(report.refused.len() as u64);
        let was_refusing = self.refusing.swap(!report.refused.is_empty(), Ordering::Relaxed);
        match report.refused.first() {
            Some(first) if !was_refusing => {
                let (count, reason) = (report.refused.len(), &first.reason);
                warn!(plugin = self.name, count, %reason, "Samples are refused; told again when it ends.");
            }
            None if was_refusing => info!(plugin = self.name, "Samples are stored again."),
            _ => {}
        }
        report
    }
}

impl std::fmt::Debug for InputContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputContext").field("name", &self.name).finish_non_exhaustive()
    }
}
