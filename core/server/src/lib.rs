//! The server as a library: the pipeline of `core/ARCHITECTURE.md`, wired.
//!
//! ```text
//!  accept ─► [connections] ─► dispatchers ─┬─► [metric_connections]  ─► metric handlers ─► store
//!                                          ├─► [query_connections]   ─► query handlers ─► [queries] ─► query workers
//!                                          ├─► [monitor_connections] ─► monitor handlers ◄─ notification handler
//!                                          └─► [session_connections] ─► session handlers ─► all of them
//! ```
//!
//! `serenod` is a thin main over [`Server`]; tests start the same one.
//!
//! Who owns what: [`stage`] owns the worker threads and the connections on them, a handler owns its connection, the
//! store, the rules and the delivery of notifications own themselves. [`server`] starts them in order and stops them in
//! the opposite one.

mod accept;
mod config;
mod connection;
mod dispatch;
mod ingest;
mod metric;
mod monitor;
mod query;
mod self_metrics;
mod server;
mod stage;
mod v2;

pub use config::{Config, Listen, Loaded, Log, LogFormat, Scripts, V1, load};
pub use server::{Server, StartError, Stopped};
pub use v2::TokenError;

/// The plugins that are compiled in. A third party's server passes its own registry to [`load`].
#[must_use]
pub fn builtin_plugins() -> sereno_plugin::Registry {
    sereno_plugins_builtin::registry()
}
