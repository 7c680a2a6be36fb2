//! A client that numbers its batches and sends them again until it knows; and so, what must and what may be in the store.
//!
//! Every sample has a value of its own and its time from the store, so one that is stored twice is there twice.

use std::collections::BTreeMap;
use std::fmt::Display;

use sereno_runtime::sim_disk::{Rng, SimDisk};
use sereno_storage::{Ack, BatchId, Numbered, Outcome, Refusal, Row, Store};

use crate::journal::{After, DAY, Found};
use crate::{NOW, key};

pub const SERIES: u64 = 6;

/// What is known of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Absent,
    Stored,
    Maybe,
}

#[derive(Clone, Debug, Default)]
struct Batch {
    /// The series of each sample.
    series: Vec<u64>,
    sendings: Vec<Sending>,
}

/// One call, and what became of it.
#[derive(Clone, Debug)]
struct Sending {
    /// Which samples of the batch.
    places: Vec<u32>,
    ack: Ack,
    /// The changing calls of the disk before it and after the answer, if there was one.
    begun: u64,
    ended: Option<u64>,
    /// Places, not rows.
    refused: BTreeMap<u32, Refusal>,
    unknown: bool,
}

#[derive(Debug)]
pub struct Sender {
    client: u64,
    batches: Vec<Batch>,
}

/// The samples of a batch that are older than what is kept, and never stored.
const TOO_OLD: u64 = SERIES;

impl Sender {
    pub fn new(client: u64) -> Self {
        Self { client, batches: Vec::new() }
    }

    /// The next batch; gives its index.
    pub fn draw(&mut self, rng: &mut Rng, rows: u64, some_too_old: bool) -> usize {
        let series = if some_too_old { SERIES + 1 } else { SERIES };
        let series = (0..rows).map(|_| rng.below(series)).collect();
        self.batches.push(Batch { series, sendings: Vec::new() });
        self.batches.len() - 1
    }

    fn value(&self, batch: usize, place: u32) -> f64 {
        (self.client << 32 | (batch as u64) << 17 | u64::from(place)) as f64
    }

    fn row(&self, store: &Store, batch: usize, place: u32) -> Row {
        let series = self.batches[batch].series[place as usize];
        let id = store.series(&key(&format!(r#"n{{n="{}"}}"#, series % SERIES))).expect("room for a series");
        let value = self.value(batch, place);
        if series == TOO_OLD { Row::at(id, NOW - 30 * DAY, value) } else { Row::now(id, value) }
    }

    /// Sends a batch, and checks the answer against what is known of it.
    pub fn send(&mut self, store: &Store, disk: &SimDisk, batch: usize, ack: Ack, resent: bool) -> Outcome {
        let all: Vec<u32> = (0..self.batches[batch].series.len() as u32).collect();
        self.send_places(store, disk, batch, &all, ack, resent)
    }

    /// Sends some samples of a batch.
    pub fn send_places(
        &mut self,
        store: &Store,
        disk: &SimDisk,
        batch: usize,
        places: &[u32],
        ack: Ack,
        resent: bool,
    ) -> Outcome {
        let before = self.now(batch);
        let rows = places.iter().map(|place| self.row(store, batch, *place)).collect();
        let id = BatchId { client: self.client, number: batch as u64 + 1 };
        let is_whole = places.len() == self.batches[batch].series.len();
        let numbered = Numbered { id, resent, places: (!is_whole).then(|| places.to_vec()) };
        let begun = disk.calls();
        let outcome = store.append_numbered(rows, ack, numbered).wait();
        let place_of = |(row, why): &(u32, Refusal)| (places[*row as usize], *why);
        let refused: BTreeMap<u32, Refusal> = outcome.refused.iter().map(place_of).collect();
        let count = |state| places.iter().filter(|place| before[**place as usize] == state).count() as u32;
        let (stored, maybe) = (count(State::Stored), count(State::Maybe));
        let what = format!("batch {batch}: {outcome:?}");
        assert!(
            refused.keys().all(|place| before[*place as usize] != State::Stored),
            "{what}: stored before"
        );
        assert!(
            (stored..=stored + maybe).contains(&outcome.repeated),
            "{what}: {stored} stored, {maybe} maybe"
        );
        let (places, ended, unknown) = (places.to_vec(), Some(disk.calls()), outcome.unknown);
        self.batches[batch].sendings.push(Sending { places, ack, begun, ended, refused, unknown });
        outcome
    }

    /// Sends a batch again until all of it is stored but what never will be.
    pub fn insist(&mut self, store: &Store, disk: &SimDisk, batch: usize, ack: Ack, what: &dyn Display) {
        for _ in 0..100 {
            let outcome = self.send(store, disk, batch, ack, true);
            let is_final = |(_, why): &(u32, Refusal)| *why == Refusal::TooOld;
            if outcome.refused.iter().all(is_final) && !outcome.unknown {
                return;
            }
            let is_full = |(_, why): &(u32, Refusal)| matches!(why, Refusal::QueueFull | Refusal::TooOld);
            assert!(
                outcome.refused.iter().all(is_full) && !outcome.unknown,
                "{what}: batch {batch}: {outcome:?}"
            );
        }
        panic!("{what}: batch {batch} is never stored");
    }

    fn now(&self, batch: usize) -> Vec<State> {
        self.states(batch, u64::MAX, After::Kill)
    }

    /// What is known of the samples of a batch, for a crash when so many calls were through.
    fn states(&self, batch: usize, calls: u64, after: After) -> Vec<State> {
        let batch = &self.batches[batch];
        let mut states = vec![State::Absent; batch.series.len()];
        for sending in batch.sendings.iter().filter(|sending| sending.begun < calls) {
            let is_answered = sending.ended.is_some_and(|ended| ended <= calls);
            let is_kept = after == After::Kill || (sending.ack == Ack::Disk && !sending.unknown);
            for place in &sending.places {
                let state = &mut states[*place as usize];
                *state = match (is_answered, sending.refused.get(place)) {
                    (true, None) if is_kept => State::Stored,
                    (_, None) if *state == State::Stored => State::Stored,
                    (_, None) => State::Maybe,
                    (true, Some(Refusal::Recovering | Refusal::Forgotten | Refusal::Closed)) => *state,
                    (true, Some(_)) => State::Absent,
                    // It never appears later, answered or not.
                    (false, Some(_)) => *state,
                };
            }
        }
        states
    }

    /// The batches that were begun to be sent.
    pub fn sent(&self) -> Vec<usize> {
        (0..self.batches.len()).filter(|batch| !self.batches[*batch].sendings.is_empty()).collect()
    }

    /// Forgets what was sent later than a crash, and what is promised no more after it.
    pub fn after_crash(&self, calls: u64, after: After) -> Self {
        let mut left = Self::new(self.client);
        for batch in 0..self.batches.len() {
            let Batch { series, sendings } = &self.batches[batch];
            let states = self.states(batch, calls, after);
            let such =
                |state| (0..).zip(&states).filter(move |(_, is)| **is == state).map(|(place, _)| place);
            let sending = |state, ended| {
                let (ack, refused, unknown) = (Ack::Disk, BTreeMap::new(), false);
                Sending { places: such(state).collect(), ack, begun: 0, ended, refused, unknown }
            };
            let was_sent = sendings.iter().any(|sending| sending.begun < calls);
            let sendings = [sending(State::Stored, Some(0)), sending(State::Maybe, None)];
            let sendings = if was_sent { sendings.to_vec() } else { Vec::new() };
            left.batches.push(Batch { series: series.clone(), sendings });
        }
        left
    }

    /// Checks what a store holds: what is stored once, what is refused never, what is not known once or never.
    pub fn check(&self, found: &Found, what: &dyn Display) {
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        for sample in found.iter().flat_map(|(_, samples)| samples) {
            *counts.entry(sample.value as u64).or_default() += 1;
        }
        for batch in 0..self.batches.len() {
            for (place, state) in (0..).zip(self.now(batch)) {
                let count = counts.remove(&(self.value(batch, place) as u64)).unwrap_or(0);
                let is_right = match state {
                    State::Absent => count == 0,
                    State::Stored => count == 1,
                    State::Maybe => count <= 1,
                };
                assert!(
                    is_right,
                    "{what}: sample {place} of batch {batch} is {state:?}, and there {count} times"
                );
            }
        }
        counts.retain(|value, _| value >> 32 == self.client);
        assert!(counts.is_empty(), "{what}: {} values that were not sent", counts.len());
    }
}
