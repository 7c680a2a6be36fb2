//! What a plugin is: an [`Input`] turns things outside into samples, a [`Sink`] sends one notification out.
//!
//! The traits are tiny on purpose. Retry, queues, time limits, self-metrics and logs belong to the host: inputs run
//! under [`supervise`], sinks under `sereno-delivery`. What a plugin must do is in `SPEC.md`; [`testkit`] checks it;
//! how to write one in an afternoon is in `plugins/README.md`.
//!
//! Invariants:
//! * building an instance does no I/O, so checking a configuration builds it and starts nothing;
//! * an error or a panic of one instance stays in that instance.
//!
//! Not here: the list of compiled-in plugins (`plugins/builtin`), queues and retries of sinks (`sereno-delivery`).

use std::future::Future;
use std::pin::Pin;

mod input;
mod sink;

mod config;
mod registry;
mod settings;

mod backoff;
mod error;
mod panics;
#[cfg(test)]
mod still;
pub mod supervise;
pub mod testkit;
mod ticks;

pub use backoff::Backoff;
pub use config::Config;
pub use error::PluginError;
pub use input::{Ingest, Input, InputContext, InputFactory, Refusal, WriteReport};
pub use panics::{Panicked, caught};
pub use registry::{DuplicateKind, InputInstance, Kind, Registry, Role, SinkInstance};
pub use settings::Settings;
pub use sink::{Delivery, Sink, SinkFactory};
pub use ticks::Ticks;

/// A future in a box: what keeps the traits usable as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
