//! Supervised tasks: every task that is started has a name, is joined, and its panic is seen.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::error;

/// The tasks of one part of the server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Mutex<Vec<Named>>>);

type Named = (String, JoinHandle<()>);

impl Tasks {
    /// Starts a task on the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub fn spawn(&self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task);
        let mut tasks = self.lock();
        tasks.retain(|(_, handle)| !handle.is_finished());
        tasks.push((name.into(), handle));
    }

    /// Waits until all have ended, at most `limit`; then cancels the rest and gives their names.
    pub async fn join(&self, limit: Duration) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + limit;
        let mut late = Vec::new();
        let tasks = std::mem::take(&mut *self.lock());
        for (name, mut handle) in tasks {
            match tokio::time::timeout_at(deadline, &mut handle).await {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => error!(task = name, error = %panic, "Task ended badly."),
                Err(_) => {
                    handle.abort();
                    late.push(name);
                }
            }
        }
        late
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Named>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
