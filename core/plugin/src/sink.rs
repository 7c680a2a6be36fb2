//! Sending a notification out.

use sereno_model::Notification;
use sereno_runtime::Diagnostic;

use crate::BoxFuture;
use crate::settings::Settings;

/// Sends one notification out. The host calls it with one notification at a time, in order, with a time limit; it
/// queues, tries again, counts and logs, so the sink does none of these.
pub trait Sink: Send + Sync {
    /// Tries once. Must be cancel safe: the host drops the future when its time is over, and calls again with the
    /// same notification (the same `event_id`), so a receiver may see it twice.
    fn deliver<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Delivery>;
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It arrived.
    Ok,
    /// It did not, and trying the same again later may help: no connection, overload. Says why.
    Retry(String),
    /// It did not, and trying the same again would not help: refused as malformed, no such address. Says why.
    Reject(String),
}

/// A kind of sink.
pub trait SinkFactory: Send + Sync {
    /// The kind's name: lower-case letters, digits and `_`, starting with a letter.
    fn kind(&self) -> &'static str;

    /// What it does, in one line, for the list of plugins.
    fn summary(&self) -> &'static str;

    /// Builds an instance from its settings. No I/O, no threads: a configuration is checked by building it.
    ///
    /// # Errors
    /// What is wrong with the settings.
    fn build(&self, settings: &Settings) -> Result<Box<dyn Sink>, Diagnostic>;
}
