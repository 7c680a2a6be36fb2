//! What waits for one sink, and how far the sink is.
//!
//! Invariants:
//! * everything up to the number that is confirmed was delivered, rejected, or not meant for the sink, or dropped;
//! * the newest event of every instance stays, however much waits; reminders go first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sereno_model::{Confirmations, Outgoing, compact};
use tokio::sync::Notify;

/// What waits for one sink. The handler puts in, the worker takes out.
#[derive(Debug)]
pub(crate) struct Waiting {
    sink: String,
    confirmations: Confirmations,
    len_max: usize,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Outgoing>,
    /// The first number that the worker has taken and is not done with.
    in_hand: Option<u64>,
    /// How many were given up, because the server stops: they are not done with.
    given_up: usize,
    /// The greatest number that has come by.
    newest: u64,
    /// How many may wait before room is made again.
    room: usize,
    is_closed: bool,
}

impl Waiting {
    pub fn new(sink: &str, len_max: usize, confirmations: &Confirmations) -> Self {
        let len_max = len_max.max(1);
        let state = State {
            waiting: VecDeque::new(),
            in_hand: None,
            given_up: 0,
            newest: 0,
            room: len_max,
            is_closed: false,
        };
        Self {
            sink: sink.to_owned(),
            confirmations: confirmations.clone(),
            len_max,
            state: Mutex::new(state),
            news: Notify::new(),
        }
    }

    /// Adds one, or only notes that it came by. Gives how many were dropped to make room.
    pub fn push(&self, outgoing: &Outgoing, is_wanted: bool) -> usize {
        let mut state = self.lock();
        state.newest = state.newest.max(outgoing.number);
        let mut dropped = 0;
        if is_wanted {
            state.waiting.push_back(outgoing.clone());
            if state.waiting.len() > state.room {
                // A part of the room is made free at once, and where so many instances fire that none can be, more may
                // wait: so not every push looks through all that waits again.
                dropped = compact(&mut state.waiting, self.len_max - self.len_max / 8);
                state.room =
                    if state.waiting.len() > self.len_max { state.waiting.len() * 2 } else { self.len_max };
            }
        }
        self.confirm(&state);
        drop(state);
        self.news.notify_one();
        dropped
    }

    /// The next one, which is then in hand; `None` when it is closed and empty. Cancel safe.
    pub async fn next(&self) -> Option<Outgoing> {
        loop {
            {
                let mut state = self.lock();
                if let Some(next) = state.waiting.pop_front() {
                    state.in_hand = state.in_hand.or(Some(next.number));
                    return Some(next);
                }
                if state.is_closed {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// The one in hand is done with.
    pub fn done(&self, number: u64) {
        let mut state = self.lock();
        // One that was given up before stays.
        state.in_hand = state.in_hand.filter(|in_hand| *in_hand != number);
        self.confirm(&state);
    }

    /// The one in hand was not sent, and is not tried again before the server stops.
    pub fn give_up(&self) {
        self.lock().given_up += 1;
    }

    /// Nothing more comes.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.news.notify_one();
    }

    pub fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// How many are not done with.
    pub fn len(&self) -> usize {
        let state = self.lock();
        state.waiting.len() + state.given_up.max(usize::from(state.in_hand.is_some()))
    }

    fn confirm(&self, state: &State) {
        let first = state.in_hand.or(state.waiting.front().map(|first| first.number));
        let up_to = first.map_or(state.newest, |first| first.saturating_sub(1));
        self.confirmations.confirm(&self.sink, up_to);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_model::{EventKind, Notification};
    use sereno_plugin::testkit;

    fn outgoing(number: u64, rule: &str, kind: EventKind) -> Outgoing {
        let notification = Notification { rule: rule.into(), kind, ..testkit::notification() };
        Outgoing { number, ..notification.into() }
    }

    fn up_to(confirmations: &Confirmations) -> u64 {
        confirmations.read().last().map_or(0, |(_, up_to)| up_to)
    }

    #[tokio::test]
    async fn what_is_confirmed_is_done_with() {
        let confirmations = Confirmations::new(["s"]);
        let waiting = Waiting::new("s", 10, &confirmations);
        waiting.push(&outgoing(1, "a", EventKind::Firing), false);
        assert_eq!(up_to(&confirmations), 1, "not meant for it");
        for number in 2..=5 {
            waiting.push(&outgoing(number, "a", EventKind::Firing), number != 4);
        }
        let first = waiting.next().await.unwrap();
        assert_eq!((first.number, up_to(&confirmations)), (2, 1), "in hand is not done");
        waiting.done(2);
        assert_eq!(up_to(&confirmations), 2);
        waiting.next().await.unwrap();
        waiting.done(3);
        assert_eq!(up_to(&confirmations), 4, "one that is not meant for it is passed over");
        waiting.next().await.unwrap();
        waiting.give_up();
        waiting.push(&outgoing(6, "a", EventKind::Resolved), true);
        waiting.close();
        assert_eq!(waiting.next().await.unwrap().number, 6);
        waiting.done(6);
        assert_eq!((up_to(&confirmations), waiting.len()), (4, 1), "what was given up comes again");
        assert!(waiting.next().await.is_none());
    }

    #[tokio::test]
    async fn a_sink_that_takes_nothing_keeps_the_newest_of_every_instance() {
        let confirmations = Confirmations::new(["s"]);
        let waiting = Waiting::new("s", 3, &confirmations);
        let mut dropped = 0;
        let story = [
            ("a", EventKind::Firing),
            ("a", EventKind::Reminder),
            ("b", EventKind::Firing),
            ("a", EventKind::Resolved),
        ];
        for (number, (rule, kind)) in (1..).zip(story) {
            dropped += waiting.push(&outgoing(number, rule, kind), true);
        }
        for (number, rule) in (5..).zip(["c", "d", "e"]) {
            dropped += waiting.push(&outgoing(number, rule, EventKind::Firing), true);
        }
        waiting.close();
        let mut left = Vec::new();
        while let Some(outgoing) = waiting.next().await {
            left.push(outgoing.number);
            waiting.done(outgoing.number);
        }
        assert_eq!((left, dropped, up_to(&confirmations)), (vec![3, 4, 5, 6, 7], 2, 7));
    }
}
