//! The word to stop, heard by tasks and threads alike.
//!
//! One [`Shutdown`] belongs to one stage; the server asks its stages in order (inputs before handlers before
//! writers). A second word, [`Shutdown::force`], skips waiting.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Phase {
    Running,
    Stopping,
    Forced,
}

/// Asks a stage to stop, or hears it. Clones share the word.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: Arc<watch::Sender<Phase>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Running)) }
    }
}

impl Shutdown {
    /// Asks to stop: finish what is in hand, accept nothing new.
    pub fn stop(&self) {
        self.raise(Phase::Stopping);
    }

    /// Asks to stop without waiting for anyone.
    pub fn force(&self) {
        self.raise(Phase::Forced);
    }

    /// Whether the word to stop has been given.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.phase.borrow() >= Phase::Stopping
    }

    /// Completes when the word to stop is given; at once if it was. Cancel safe.
    pub async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    /// Completes when waiting is to be skipped. Cancel safe.
    pub async fn forced(&self) {
        self.reached(Phase::Forced).await;
    }

    fn raise(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let raised = *phase < to;
            if raised {
                *phase = to;
            }
            raised
        });
    }

    async fn reached(&self, wanted: Phase) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let mut phase = self.phase.subscribe();
        let _never_fails = phase.wait_for(|phase| *phase >= wanted).await;
    }
}
