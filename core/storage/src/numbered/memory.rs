//! Which samples of which batches are stored, of the clients that sent numbered ones last.
//!
//! Invariants:
//! * what is remembered of a batch is stored: it is noted after the write(2) that stored it, or read back from the log;
//! * of a client, nothing is known of the numbers up to its *floor*, and everything of those above, but for a client that
//!   was forgotten as a whole;
//! * bounded by clients, by batches of each, and by bytes, whatever clients send. Where bytes run out, the client that
//!   takes most of them forgets its oldest batches, so none can make others forget theirs.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::spans::{Span, Spans};
use crate::batch::BatchId;
use crate::bytes::{Reader, put_varint};

/// Of how many clients something is remembered; the least recently used go first.
const CLIENTS_MAX: usize = 4_096;
/// How many numbers of a client are remembered, up to its newest.
pub(crate) const WINDOW: u64 = 1_024;
/// How many bytes all of it may take.
pub(crate) const BYTES_MAX: usize = 8 << 20;
/// What a client and a batch count for besides spans: no less than they take when written down.
const CLIENT_BYTES: usize = 64;
const BATCH_BYTES: usize = size_of::<Batch>() + 24;
/// Live uses count from here, those that are read back from 0: what is read back is older, whenever it comes.
const LIVE_USES: u64 = 1 << 40;

/// See the module.
#[derive(Debug)]
pub(crate) struct Memory {
    clients: HashMap<u64, Client>,
    bytes: usize,
    bytes_max: usize,
    live_uses: u64,
    old_uses: u64,
}

#[derive(Debug, Default)]
struct Client {
    /// When it was last used, counted in uses of all.
    used: u64,
    /// Nothing is known of this number and lower ones.
    floor: u64,
    /// Of its batches.
    bytes: usize,
    /// By number.
    batches: VecDeque<Batch>,
}

#[derive(Debug)]
struct Batch {
    number: u64,
    spans: Spans,
}

impl Batch {
    fn bytes(&self) -> usize {
        match &self.spans {
            Spans::One(_) => BATCH_BYTES,
            Spans::Many(spans) => BATCH_BYTES + spans.len() * size_of::<Span>(),
        }
    }
}

/// What is known of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known<'a> {
    /// No sample of it is stored; or its client is not known.
    Nothing,
    /// These are stored.
    Stored(&'a Spans),
    /// It is too old to be known.
    Forgotten,
}

impl Memory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { clients: HashMap::new(), bytes: 0, bytes_max, live_uses: LIVE_USES, old_uses: 0 }
    }

    /// What is known of a batch, whose client is used now.
    pub(crate) fn known(&mut self, id: BatchId) -> Known<'_> {
        let Some(client) = self.clients.get_mut(&id.client) else { return Known::Nothing };
        self.live_uses += 1;
        client.used = self.live_uses;
        if id.number <= client.floor {
            return Known::Forgotten;
        }
        match client.batches.binary_search_by_key(&id.number, |batch| batch.number) {
            Ok(place) => Known::Stored(&client.batches[place].spans),
            Err(_) => Known::Nothing,
        }
    }

    /// Takes note of what was stored now.
    pub(crate) fn record(&mut self, id: BatchId, spans: &Spans) {
        self.live_uses += 1;
        self.note(id, spans, self.live_uses);
    }

    /// Takes note of what an earlier process stored, in the order of its log.
    pub(crate) fn restore(&mut self, id: BatchId, spans: &Spans) {
        self.old_uses += 1;
        self.note(id, spans, self.old_uses);
    }

    fn note(&mut self, id: BatchId, spans: &Spans, used: u64) {
        if spans.is_empty() {
            return;
        }
        let client = self.client(id.client, used);
        let before = client.bytes;
        client.note(id.number, spans);
        let after = client.bytes;
        self.bytes = self.bytes + after - before;
        self.keep_within_bounds();
    }

    fn client(&mut self, client: u64, used: u64) -> &mut Client {
        let bytes = &mut self.bytes;
        let client = self.clients.entry(client).or_insert_with(|| {
            *bytes += CLIENT_BYTES;
            Client::default()
        });
        client.used = client.used.max(used);
        client
    }

    /// Drops what is over the bounds.
    fn keep_within_bounds(&mut self) {
        while self.clients.len() > CLIENTS_MAX {
            self.forget_client();
        }
        while self.bytes > self.bytes_max {
            let largest = self.clients.values_mut().max_by_key(|client| client.bytes);
            match largest.filter(|client| !client.batches.is_empty()) {
                Some(client) => {
                    let before = client.bytes;
                    client.forget(client.batches.len().div_ceil(2));
                    self.bytes -= before - client.bytes;
                }
                None => self.forget_client(),
            }
        }
    }

    /// Forgets the client that was not used for longest.
    fn forget_client(&mut self) {
        let oldest = self.clients.iter().min_by_key(|(_, client)| client.used).map(|(id, _)| *id);
        if let Some(client) = oldest.and_then(|id| self.clients.remove(&id)) {
            self.bytes -= CLIENT_BYTES + client.bytes;
        }
    }

    /// Takes note that what this generation and earlier ones hold is in segments, and writes down all that is: the
    /// clients, the least recently used first. `None` if there is nothing.
    ///
    /// What later generations hold is only in the log, which a loss of power may cut: a client that is told that its
    /// batch is stored, by something that outlived it, would lose it.
    pub(crate) fn settle(&mut self, generation: u32) -> Option<Vec<u8>> {
        let mut clients: Vec<(&u64, &mut Client)> = self.clients.iter_mut().collect();
        clients.sort_unstable_by_key(|(_, client)| client.used);
        let (mut count, mut out) = (0_u32, vec![0; 4]);
        for (id, client) in clients {
            let before = client.bytes;
            client.batches.iter_mut().for_each(|batch| batch.spans.settle(generation));
            client.bytes = client.batches.iter().map(Batch::bytes).sum();
            self.bytes = self.bytes + client.bytes - before;
            count += u32::from(client.put(*id, &mut out));
        }
        out[..4].copy_from_slice(&count.to_le_bytes());
        (count > 0).then_some(out)
    }

    /// Takes in what an earlier process wrote down. What does not read ends it: the checksum held, so it is of our making.
    pub(crate) fn read_back(&mut self, payload: &[u8]) {
        let mut reader = Reader(payload);
        let count = reader.u32().unwrap_or(0);
        for _ in 0..count {
            if self.read_client(&mut reader).is_none() {
                return;
            }
        }
    }

    fn read_client(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let (id, floor, batches) = (reader.u64()?, reader.varint()?, reader.varint()?);
        self.old_uses += 1;
        let used = self.old_uses;
        let client = self.client(id, used);
        let before = client.bytes;
        client.raise(floor);
        let after = client.bytes;
        self.bytes -= before - after;
        let mut number = floor;
        for _ in 0..batches {
            number = number.checked_add(reader.varint()?)?;
            let spans = Spans::take(reader)?;
            self.note(BatchId { client: id, number }, &spans, used);
        }
        self.keep_within_bounds();
        Some(())
    }
}

impl Client {
    fn note(&mut self, number: u64, spans: &Spans) {
        if number <= self.floor {
            return;
        }
        let place = self.batches.partition_point(|batch| batch.number < number);
        match self.batches.get_mut(place).filter(|batch| batch.number == number) {
            Some(batch) => {
                let before = batch.bytes();
                batch.spans.merge(spans);
                self.bytes = self.bytes + batch.bytes() - before;
            }
            None => {
                let batch = Batch { number, spans: spans.clone() };
                self.bytes += batch.bytes();
                self.batches.insert(place, batch);
            }
        }
        let newest = self.batches.back().map_or(0, |batch| batch.number);
        self.raise(newest.saturating_sub(WINDOW));
    }

    /// Forgets the numbers up to this.
    fn raise(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        self.forget(self.batches.partition_point(|batch| batch.number <= self.floor));
    }

    /// Forgets so many batches, the oldest.
    fn forget(&mut self, count: usize) {
        for batch in self.batches.drain(..count) {
            self.bytes -= batch.bytes();
            self.floor = self.floor.max(batch.number);
        }
    }

    /// Writes down what is settled: id, floor, number of batches, and each with its number, less that of the one before.
    fn put(&self, id: u64, out: &mut Vec<u8>) -> bool {
        let is_settled = |batch: &&Batch| batch.spans.as_slice().iter().any(|span| span.generation == 0);
        let settled = || self.batches.iter().filter(is_settled);
        let count = settled().count();
        if count == 0 && self.floor == 0 {
            return false;
        }
        out.extend_from_slice(&id.to_le_bytes());
        put_varint(out, self.floor);
        put_varint(out, count as u64);
        let mut before = self.floor;
        for batch in settled() {
            put_varint(out, batch.number - before);
            batch.spans.put_settled(out);
            before = batch.number;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(client: u64, number: u64) -> BatchId {
        BatchId { client, number }
    }

    fn one(generation: u32) -> Spans {
        Spans::run(0, 3, generation)
    }

    fn knows(memory: &mut Memory, client: u64, number: u64) -> &'static str {
        match memory.known(id(client, number)) {
            Known::Nothing => "nothing",
            Known::Stored(_) => "stored",
            Known::Forgotten => "forgotten",
        }
    }

    #[track_caller]
    fn is_sound(memory: &Memory) {
        let clients = memory.clients.values();
        assert!(
            clients
                .clone()
                .all(|client| client.bytes == client.batches.iter().map(Batch::bytes).sum::<usize>())
        );
        assert_eq!(memory.bytes, clients.clone().map(|client| client.bytes + CLIENT_BYTES).sum::<usize>());
        assert!(memory.bytes <= memory.bytes_max && clients.len() <= CLIENTS_MAX);
        let is_ordered = |client: &Client| {
            client.batches.iter().map(|batch| batch.number).is_sorted_by(|a, b| a < b)
                && client.batches.iter().all(|batch| batch.number > client.floor)
        };
        assert!(clients.clone().all(is_ordered));
    }

    #[test]
    fn a_client_is_known_by_its_last_numbers() {
        let mut memory = Memory::new(BYTES_MAX);
        assert_eq!(knows(&mut memory, 1, 1), "nothing");
        for number in [2, 1, 4] {
            memory.record(id(1, number), &one(1));
        }
        let of = |memory: &mut Memory, numbers: [u64; 5]| numbers.map(|number| knows(memory, 1, number));
        assert_eq!(of(&mut memory, [1, 2, 3, 4, 5]), ["stored", "stored", "nothing", "stored", "nothing"]);
        memory.record(id(1, 2 + WINDOW), &one(1));
        assert_eq!(
            of(&mut memory, [1, 2, 3, 4, 5]),
            ["forgotten", "forgotten", "nothing", "stored", "nothing"]
        );
        memory.record(id(1, 1), &one(1));
        assert_eq!(knows(&mut memory, 1, 1), "forgotten", "one that another writer was slow with");
        memory.record(id(1, u64::MAX), &one(1));
        assert_eq!(knows(&mut memory, 1, 5 + WINDOW), "forgotten");
        assert_eq!(knows(&mut memory, 2, 1), "nothing");
        is_sound(&memory);
    }

    #[test]
    fn the_client_that_was_quiet_for_longest_goes_first() {
        let mut memory = Memory::new(BYTES_MAX);
        for client in 0..CLIENTS_MAX as u64 {
            memory.record(id(client, 1), &one(1));
        }
        assert_eq!(knows(&mut memory, 0, 1), "stored");
        memory.restore(id(1 << 40, 1), &one(0));
        assert_eq!(knows(&mut memory, 1 << 40, 1), "nothing", "what is read back is older than what is live");
        memory.record(id(1 << 41, 1), &one(1));
        assert_eq!(["nothing", "stored"], [1, 0].map(|client| knows(&mut memory, client, 1)));
        is_sound(&memory);
    }

    #[test]
    fn who_takes_most_forgets_first() {
        let mut memory = Memory::new(64 << 10);
        for number in 1..=20 {
            memory.record(id(1, number), &one(1));
        }
        for number in 1..200 {
            let scattered: Spans =
                (0..number as u32 % 90).map(|n| Span { first: n * 2, last: n * 2, generation: 1 }).collect();
            memory.record(id(2, number), &scattered);
            is_sound(&memory);
        }
        assert_eq!((1..=20).filter(|number| knows(&mut memory, 1, *number) == "stored").count(), 20);
        assert_eq!([1, 199].map(|number| knows(&mut memory, 2, number)), ["forgotten", "stored"]);
        let vast: Spans = (0..50_000).map(|n| Span { first: n * 2, last: n * 2, generation: 1 }).collect();
        memory.record(id(2, 200), &vast);
        assert_eq!(knows(&mut memory, 2, 200), "forgotten", "more than there is room for");
        is_sound(&memory);
        let mut memory = Memory::new(CLIENT_BYTES * 10);
        (0..100).for_each(|client| memory.record(id(client, 1), &one(1)));
        is_sound(&memory);
    }

    #[test]
    fn what_is_in_segments_is_written_down_and_nothing_else() {
        let mut memory = Memory::new(BYTES_MAX);
        assert_eq!(memory.settle(1), None);
        memory.record(id(9, 1), &one(1));
        memory.record(id(9, 1), &Spans::run(3, 2, 2));
        memory.record(id(9, 3), &Spans::run(7, 1, 2));
        memory.record(id(5, 300), &one(1));
        memory.record(id(5, 300 + WINDOW), &one(2));
        let written = memory.settle(1).unwrap();
        // Frozen: clients, then each with its floor, its batches, and their spans.
        let expected: Vec<u8> = [
            &[2, 0, 0, 0][..],
            &[9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 2],
            &[5, 0, 0, 0, 0, 0, 0, 0, 0xac, 2, 0],
        ]
        .concat();
        assert_eq!(written, expected);
        let mut read = Memory::new(BYTES_MAX);
        read.read_back(&written);
        is_sound(&read);
        assert_eq!(read.known(id(9, 1)), Known::Stored(&one(0)));
        assert_eq!([3, 2].map(|number| knows(&mut read, 9, number)), ["nothing", "nothing"]);
        assert_eq!([300, 301].map(|number| knows(&mut read, 5, number)), ["forgotten", "nothing"]);
        let later = memory.settle(2).unwrap();
        read.read_back(&later);
        is_sound(&read);
        assert_eq!(read.settle(0), Some(later), "it is what was written");
        (0..expected.len()).for_each(|end| Memory::new(BYTES_MAX).read_back(&expected[..end]));
    }
}
