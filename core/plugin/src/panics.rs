//! Keeping a plugin's panic inside the plugin.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use crate::BoxFuture;

/// A future panicked.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panicked(String);

/// Runs a future to its end or to its panic. Whatever the future owned is dropped with it, so no half-changed state
/// is left to be seen. Cancel safe if the future is.
///
/// # Errors
/// [`Panicked`], with the panic's message.
pub async fn caught<T>(future: impl Future<Output = T> + Send) -> Result<T, Panicked> {
    let mut future: BoxFuture<'_, T> = Box::pin(future);
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(Panicked(message(&*payload)))),
    })
    .await
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
