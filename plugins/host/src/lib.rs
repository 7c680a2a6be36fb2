//! The input `host`: the machine's processor, memory, disks and network, and the server's own process.
//!
//! ```yaml
//! plugins:
//!   inputs:
//!     host/main: { every: 5s }     # on the epoch grid; at least 1s
//! ```
//!
//! | series | value |
//! |---|---|
//! | `host.cpu.usage` | percent of the whole machine, 0 to 100, since the previous observation |
//! | `host.load.1m` `.5m` `.15m` | processes that run or wait, averaged |
//! | `host.memory.total` `.used` | bytes; used is what applications could not get |
//! | `host.memory.usage` | percent |
//! | `host.swap.total` `.used` | bytes |
//! | `host.swap.usage` | percent; 0 without swap |
//! | `host.disk.total` `.free` `{mount}` | bytes; free is what an ordinary user can still fill |
//! | `host.disk.usage{mount}` | percent, as `df` counts: used of used and free |
//! | `host.network.received` `.sent` `{interface}` | bytes since the interface came up: counters |
//! | `sereno.process.cpu` | percent of one core, so it may exceed 100, since the previous observation |
//! | `sereno.process.memory` | resident bytes |
//!
//! Left out: pseudo and network file systems, further mounts of a disk that is already there, and the `veth`
//! interfaces, which come and go with every container.

mod observe;

use std::time::Duration;

use serde::Deserialize;
use sereno_model::{Sample, SeriesKey, Timestamp};
use sereno_plugin::{BoxFuture, Input, InputContext, InputFactory, PluginError, Settings, Ticks};
use sereno_runtime::{Diagnostic, units};

use crate::observe::Observer;

/// The kind `host`.
#[derive(Clone, Copy, Debug)]
pub struct HostFactory;

/// The settings of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often to look; at least 1s. Default: 5s.
    #[serde(with = "units::duration")]
    pub every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { every: Duration::from_secs(5) }
    }
}

impl InputFactory for HostFactory {
    fn kind(&self) -> &'static str {
        "host"
    }

    fn summary(&self) -> &'static str {
        "processor, memory, disks and network of this machine, and the server's own process"
    }

    fn build(&self, settings: &Settings) -> Result<Box<dyn Input>, Diagnostic> {
        let config: Config = settings.read()?;
        if config.every < Duration::from_secs(1) {
            return Err(settings.error("every", "`every` must be at least 1s"));
        }
        Ok(Box::new(Host(config)))
    }
}

struct Host(Config);

impl Input for Host {
    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), PluginError>> {
        Box::pin(run(self.0, cx))
    }
}

async fn run(config: Config, cx: InputContext) -> Result<(), PluginError> {
    let mut observer = blocking(Observer::new).await??;
    tokio::select! {
        // Processor usage is a difference; a first one over a shorter span would be noise.
        () = tokio::time::sleep(observe::SPAN_MIN) => {}
        () = cx.stop().stopping() => {}
    }
    let mut ticks = Ticks::every(config.every);
    while let Some(tick) = ticks.next(cx.clock(), cx.stop()).await {
        let values;
        (observer, values) = blocking(move || {
            let values = observer.observe();
            (observer, values)
        })
        .await?;
        // What is refused now is not worth keeping: the next observation is seconds away.
        let _refused = cx.write(stamped(values, tick)).await;
    }
    Ok(())
}

fn stamped(values: Vec<(SeriesKey, f64)>, time: Timestamp) -> Vec<(SeriesKey, Sample)> {
    values.into_iter().map(|(key, value)| (key, Sample { time, value })).collect()
}

/// Runs what asks the kernel on a thread that may block: a stuck disk can hold such a call for long.
async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Result<T, PluginError> {
    let answer = tokio::task::spawn_blocking(ask).await;
    answer.map_err(|error| PluginError::caused("failed to ask the system for its state", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_plugin::testkit::{self, MemoryIngest};
    use sereno_runtime::{Clock, Shutdown, SystemClock};
    use std::sync::Arc;

    #[tokio::test]
    async fn it_holds_the_contract() {
        testkit::check_input(&HostFactory, Settings::parse("every: 5s").unwrap()).await;
        let too_often = HostFactory.build(&Settings::parse("every: 10ms").unwrap()).err().unwrap();
        assert_eq!(too_often.message, "`every` must be at least 1s");
    }

    #[tokio::test]
    async fn observations_of_this_machine_are_sane_and_on_the_grid() {
        let (stop, ingest) = (Shutdown::default(), MemoryIngest::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let input = HostFactory.build(&Settings::parse("every: 1s").unwrap()).unwrap();
        let observe = async {
            let samples = ingest.wait_for(1).await;
            stop.stop();
            samples
        };
        let (samples, ended) = tokio::join!(observe, input.run(testkit::context(&stop, &clock, &ingest)));
        ended.unwrap();
        let value = |name: &str| {
            let found = samples.iter().find(|(key, _)| key.canonical() == name);
            found.unwrap_or_else(|| panic!("{name} is missing")).1.value
        };
        for percent in ["host.cpu.usage", "host.memory.usage", "host.swap.usage"] {
            assert!((0.0..=100.0).contains(&value(percent)), "{percent} is {}", value(percent));
        }
        for count in
            ["host.load.1m", "host.load.5m", "host.load.15m", "host.swap.total", "sereno.process.cpu"]
        {
            assert!(value(count) >= 0.0);
        }
        assert!(value("host.memory.used") <= value("host.memory.total"));
        assert!(value("host.swap.used") <= value("host.swap.total"));
        assert!(value("sereno.process.memory") > 1e6, "a running process has a megabyte at least");
        assert!(samples.iter().all(|(_, sample)| sample.time.nanos() % 1_000_000_000 == 0));
    }
}
