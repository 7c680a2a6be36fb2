//! Runs inputs: each instance a task of its own, started again after an error or a panic, 1 s later, then 2 s, up to
//! 60 s. An instance that ran for a minute starts from 1 s again.
//!
//! Self-metrics, each with the label `plugin`: `plugin_up` (1 while it runs), `plugin_restarts_total`,
//! `plugin_errors_total`.
//!
//! Not here: a thread that an input blocks. An input that never yields is named when the server stops
//! ([`Tasks::join`]), and that is all that can be done about it.

use std::sync::Arc;
use std::time::Duration;

use sereno_runtime::{Clock, Counter, Gauge, Metrics, Shutdown, Tasks};
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::input::{Ingest, InputContext};
use crate::panics::caught;
use crate::registry::InputInstance;

const RESTART_FIRST: Duration = Duration::from_secs(1);
const RESTART_LONGEST: Duration = Duration::from_secs(60);

/// What inputs run on.
#[derive(Clone)]
pub struct InputHost {
    /// Where samples go.
    pub ingest: Arc<dyn Ingest>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where the self-metrics go.
    pub metrics: Metrics,
    /// The word to stop, for all inputs.
    pub stop: Shutdown,
    /// How long an input may take to end after that word; then it is cancelled.
    pub stop_limit: Duration,
}

impl std::fmt::Debug for InputHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputHost").field("stop_limit", &self.stop_limit).finish_non_exhaustive()
    }
}

impl InputHost {
    /// Starts each instance as one of `tasks`; they end after the word to stop, at most `stop_limit` later.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(&self, instances: Vec<InputInstance>, tasks: &Tasks) {
        for instance in instances {
            let name = format!("input {}", instance.name);
            tasks.spawn(name, Supervisor::new(instance, self.clone()).run());
        }
    }
}

struct Supervisor {
    instance: InputInstance,
    host: InputHost,
    up: Gauge,
    restarts: Counter,
    errors: Counter,
}

/// How one run of an input ended.
enum Ended {
    Finished,
    Stopped,
    Cancelled,
    Failed(String),
}

impl Supervisor {
    fn new(instance: InputInstance, host: InputHost) -> Self {
        let labels = [("plugin", instance.name.as_str())];
        let up = host.metrics.gauge("plugin_up", &labels);
        let restarts = host.metrics.counter("plugin_restarts_total", &labels);
        let errors = host.metrics.counter("plugin_errors_total", &labels);
        Self { instance, host, up, restarts, errors }
    }

    async fn run(self) {
        let plugin = self.instance.name.as_str();
        let mut backoff = Backoff::new(RESTART_FIRST, RESTART_LONGEST);
        loop {
            let started = self.host.clock.monotonic();
            self.up.set(1);
            let ended = self.run_once().await;
            self.up.set(0);
            let why = match ended {
                Ended::Stopped => return,
                Ended::Cancelled => {
                    let limit = self.host.stop_limit;
                    return warn!(plugin, ?limit, "Input did not end in time and was cancelled.");
                }
                Ended::Finished => return info!(plugin, "Input has finished."),
                Ended::Failed(why) => why,
            };
            self.errors.inc();
            if self.host.clock.monotonic().saturating_sub(started) >= RESTART_LONGEST {
                backoff.reset();
            }
            let pause = backoff.pause();
            error!(plugin, error = why, restart_in = ?pause, "Input failed; it is started again.");
            tokio::select! {
                biased;
                () = self.host.stop.stopping() => return,
                () = tokio::time::sleep(pause) => self.restarts.inc(),
            }
        }
    }

    async fn run_once(&self) -> Ended {
        let host = &self.host;
        let (stop, clock, ingest) = (host.stop.clone(), host.clock.clone(), host.ingest.clone());
        let cx = InputContext::new(&self.instance.name, stop, clock, ingest, &host.metrics);
        let run = caught(async {
            let input = self
                .instance
                .build()
                .map_err(|error| format!("its settings are not accepted any more: {}", error.message))?;
            input.run(cx).await.map_err(|error| error.to_string())
        });
        tokio::select! {
            biased;
            ended = run => match ended {
                Ok(Ok(())) if host.stop.is_stopping() => Ended::Stopped,
                Ok(Ok(())) => Ended::Finished,
                Ok(Err(why)) => Ended::Failed(why),
                Err(panicked) => Ended::Failed(panicked.to_string()),
            },
            () = self.overdue() => Ended::Cancelled,
        }
    }

    async fn overdue(&self) {
        self.host.stop.stopping().await;
        tokio::select! {
            () = tokio::time::sleep(self.host.stop_limit) => {}
            () = self.host.stop.forced() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoxFuture;
    use crate::error::PluginError;
    use crate::input::{Input, InputFactory};
    use crate::settings::Settings;
    use crate::testkit::MemoryIngest;
    use sereno_model::Timestamp;
    use sereno_runtime::{Diagnostic, ManualClock};
    use std::sync::atomic::{AtomicU32, Ordering};

    type Body = fn(u32, InputContext) -> BoxFuture<'static, Result<(), PluginError>>;

    /// Runs `body` with the number of the run, from 0.
    struct Scripted {
        runs: AtomicU32,
        body: Body,
    }

    struct Run(u32, Body);

    impl InputFactory for Scripted {
        fn kind(&self) -> &'static str {
            "scripted"
        }
        fn summary(&self) -> &'static str {
            "does what a test says"
        }
        fn build(&self, _: &Settings) -> Result<Box<dyn Input>, Diagnostic> {
            Ok(Box::new(Run(self.runs.fetch_add(1, Ordering::Relaxed), self.body)))
        }
    }

    impl Input for Run {
        fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), PluginError>> {
            (self.1)(self.0, cx)
        }
    }

    fn host() -> InputHost {
        InputHost {
            ingest: Arc::new(MemoryIngest::default()),
            clock: Arc::new(ManualClock::new(Timestamp::default())),
            metrics: Metrics::default(),
            stop: Shutdown::default(),
            stop_limit: Duration::from_secs(2),
        }
    }

    fn start(host: &InputHost, body: Body) -> Tasks {
        let tasks = Tasks::default();
        let factory = Arc::new(Scripted { runs: AtomicU32::new(0), body });
        host.start(vec![InputInstance::new("scripted/a", Settings::parse("{}").unwrap(), factory)], &tasks);
        tasks
    }

    #[tokio::test(start_paused = true)]
    async fn errors_and_panics_stay_inside_and_pauses_double() {
        let host = host();
        let began = tokio::time::Instant::now();
        let tasks = start(&host, |run, cx| {
            Box::pin(async move {
                match run {
                    0 => Err(PluginError::new("no such device")),
                    1 => panic!("a bug"),
                    2 => Err(PluginError::new("again")),
                    _ => {
                        cx.stop().stopping().await;
                        Ok(())
                    }
                }
            })
        });
        let value = |name: &str| {
            let name = format!("{name}{{plugin=\"scripted/a\"}}");
            host.metrics.snapshot().into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        while value("plugin_restarts_total") != Some(3.0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(began.elapsed().as_secs(), 1 + 2 + 4);
        tokio::task::yield_now().await;
        assert_eq!((value("plugin_errors_total"), value("plugin_up")), (Some(3.0), Some(1.0)));
        host.stop.stop();
        assert!(tasks.join(Duration::from_secs(1)).await.is_empty());
        assert_eq!(value("plugin_up"), Some(0.0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_input_deaf_to_the_word_to_stop_is_cancelled() {
        let host = host();
        let tasks = start(&host, |_, _| Box::pin(std::future::pending()));
        tokio::task::yield_now().await;
        host.stop.stop();
        let began = tokio::time::Instant::now();
        assert!(tasks.join(Duration::from_secs(60)).await.is_empty());
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }
}
