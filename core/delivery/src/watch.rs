//! Watching: a place in the shared history, which costs the handler nothing however slowly it moves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sereno_model::Position;
use sereno_runtime::Counter;
use tokio::sync::watch;

use crate::history::{Cursor, History, Since, Step};
use crate::monitors::Place;
use crate::sequenced::Sequenced;

/// The history, and the bell that rings when it grows. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Stream(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    history: Mutex<History>,
    news: watch::Sender<()>,
    /// `monitors_missed_total`: notifications that watches were told to have missed.
    missed: Counter,
}

impl Stream {
    pub fn new(history: History, missed: Counter) -> Self {
        Self(Arc::new(Shared { history: Mutex::new(history), news: watch::Sender::new(()), missed }))
    }

    /// Adds the newest. Waits for nobody who watches.
    pub fn publish(&self, event: &Arc<Sequenced>) {
        let gone = self.lock().push(event.clone());
        self.0.news.send_replace(());
        drop(gone);
    }

    /// Tells all who watch, after what they have not read yet, that the server stops.
    pub fn close(&self) {
        self.lock().close();
        self.0.news.send_replace(());
    }

    pub fn watch(&self, since: Since, place: Place) -> Watch {
        let news = self.0.news.subscribe();
        let history = self.lock();
        let (cursor, start) = (history.place(since), history.newest());
        drop(history);
        Watch { stream: self.clone(), cursor, start, news, with_shadow: false, _place: place }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.0.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who watches; gives up its place among the monitors when dropped. See [`Monitors::watch`].
///
/// [`Monitors::watch`]: crate::Monitors::watch
#[derive(Debug)]
pub struct Watch {
    stream: Stream,
    cursor: Cursor,
    start: Position,
    news: watch::Receiver<()>,
    with_shadow: bool,
    _place: Place,
}

impl Watch {
    /// Also shows the notifications of rules that only run along (`mode: shadow`), which are left out otherwise.
    #[must_use]
    pub fn with_shadow(self, with_shadow: bool) -> Self {
        Self { with_shadow, ..self }
    }

    /// The position of the newest notification when this watch began, whatever it began from: everything up to it had
    /// happened then. While there was none, the position before the first.
    #[must_use]
    pub fn start(&self) -> Position {
        self.start
    }

    /// The next step, in order. One that reads too slowly finds its place overwritten: it gets one gap with the exact
    /// count, and goes on with the oldest that is left. When the server stops, what came before still comes, and then
    /// [`Step::Stopping`], however often it is asked for. Cancel safe.
    pub async fn next(&mut self) -> Step {
        loop {
            // Marked as seen before the look: whatever comes after the look is news.
            self.news.borrow_and_update();
            if let Some(step) = self.try_next() {
                return step;
            }
            // The sender lives as long as the stream, which this holds.
            if self.news.changed().await.is_err() {
                return Step::Stopping;
            }
        }
    }

    /// The next step, if there is one now.
    pub fn try_next(&mut self) -> Option<Step> {
        let history = self.stream.lock();
        let mut step = history.step(&mut self.cursor);
        while !self.with_shadow
            && let Some(Step::Event(event)) = &step
            && event.notification.marks.shadow
        {
            step = history.step(&mut self.cursor);
        }
        drop(history);
        if let Some(Step::Gap { missed: Some(missed) }) = step {
            self.stream.0.missed.add(missed);
        }
        step
    }
}
