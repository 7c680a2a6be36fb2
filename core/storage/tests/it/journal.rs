//! What was sent to a store and what it answered; so, what must and what may be there after a crash.
//!
//! Every value tells which batch brought it. A *part* is the rows of a batch that one writer gets; the parts of a writer
//! are in the order of its log. After a crash a writer's parts must be there up to some place and not beyond: never a
//! hole, never something that was not sent, and nothing missing that was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Sample, SeriesKey, Timestamp};
use sereno_runtime::sim_disk::{Rng, SimDisk};
use sereno_runtime::{Clock, Metrics};
use sereno_storage::{Ack, Config, Outcome, Recovery, Refusal, Row, Store};

use crate::{NOW, dump, key};

pub const SERIES: usize = 8;
pub const DAY: Duration = Duration::from_secs(86_400);

/// Series, time and bits of a sample.
type Cell = (usize, i64, u64);
pub type Found = Vec<(String, Vec<Sample>)>;

#[derive(Debug)]
struct Part {
    /// The changing calls of the disk before it was sent, when it was answered, and when it was known to be durable.
    begun: u64,
    ended: u64,
    durable: Option<u64>,
}

/// Which of its promises a store is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Kill,
    PowerLoss,
}

#[derive(Debug, Default)]
pub struct Journal {
    writers: u32,
    queues: u32,
    keys: Vec<SeriesKey>,
    /// By writer, in the order of its log.
    parts: Vec<Vec<Part>>,
    /// By series and time: the parts that brought a value, and the value.
    cells: BTreeMap<(usize, i64), Vec<(usize, u64)>>,
    batches: u64,
    /// Samples before this have expired, between these two calls; at the latter all of them had.
    expired: Option<(i64, u64, u64)>,
}

/// How a step picks its samples.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub rows: u64,
    /// Ago, the oldest day that samples are for.
    pub days: u64,
    /// Times per day and series.
    pub times: u64,
}

impl Journal {
    pub fn new(config: &Config) -> Self {
        let keys = (0..SERIES).map(|n| key(&format!(r#"m{{n="{n}"}}"#))).collect();
        let parts = (0..config.writers).map(|_| Vec::new()).collect();
        Self { writers: config.writers, queues: config.queues, keys, parts, ..Self::default() }
    }

    fn writer_of(&self, series: usize) -> usize {
        (self.keys[series].queue(self.queues) % self.writers) as usize
    }

    /// The rows of the next batch.
    pub fn draw(&mut self, rng: &mut Rng, shape: Shape) -> Vec<Cell> {
        self.batches += 1;
        let batch = self.batches;
        let rows = (0..1 + rng.below(shape.rows)).map(|row| {
            let ago =
                DAY * rng.below(shape.days) as u32 + Duration::from_secs(97) * rng.below(shape.times) as u32;
            (rng.below(SERIES as u64) as usize, (NOW - ago).nanos(), bits(batch << 16 | row))
        });
        rows.collect()
    }

    /// Sends a batch and takes note of what becomes of it.
    pub fn send(&mut self, store: &Store, disk: &SimDisk, cells: &[Cell], ack: Ack) -> Outcome {
        let row = |(series, time, bits): &Cell| {
            let id = store.series(&self.keys[*series]).expect("room for a series");
            Row::at(id, Timestamp::from_nanos(*time), f64::from_bits(*bits))
        };
        let rows = cells.iter().map(row).collect();
        let begun = disk.calls();
        let outcome = store.append_with(rows, ack).wait();
        let ended = disk.calls();
        let refused: BTreeSet<u32> = outcome.refused.iter().map(|(index, _)| *index).collect();
        let kept = (0..).zip(cells).filter(|(index, _)| !refused.contains(index)).map(|(_, cell)| *cell);
        let mut touched = BTreeSet::new();
        for (series, time, bits) in kept {
            let writer = self.writer_of(series);
            if touched.insert(writer) {
                self.parts[writer].push(Part { begun, ended, durable: None });
            }
            let part = self.parts[writer].len() - 1;
            let values = self.cells.entry((series, time)).or_default();
            // Within a batch the later row counts.
            values.retain(|(other, _)| *other != part);
            values.push((part, bits));
        }
        if ack == Ack::Disk && !outcome.unknown {
            touched.into_iter().for_each(|writer| mark(&mut self.parts[writer], ended));
        }
        outcome
    }

    /// Everything that was sent is durable now.
    pub fn all_durable(&mut self, disk: &SimDisk) {
        self.parts.iter_mut().for_each(|parts| mark(parts, disk.calls()));
    }

    /// What lies before `day_start` was deleted by calls from `begun` up to now.
    pub fn expired(&mut self, before: Timestamp, begun: u64, disk: &SimDisk, done: bool) {
        self.expired = Some((before.nanos(), begun, if done { disk.calls() } else { u64::MAX }));
    }

    /// Checks what is left of a store after a loss of power when syncs had failed before: what was durable is there, or
    /// what replaced it, and nothing that was not sent.
    pub fn check_durable(&self, found: &Found, what: &dyn Display) {
        let found = self.by_cell(found, what);
        for ((series, time), values) in &self.cells {
            let parts = &self.parts[self.writer_of(*series)];
            let durable = values.iter().rposition(|(part, _)| parts[*part].durable.is_some());
            let is = found.get(&(*series, *time)).map(|is| values.iter().position(|(_, sent)| sent == is));
            assert_ne!(is, Some(None), "{what}: a value at ({series}, {time}) that was not stored there");
            let has_expired = self.expired.is_some_and(|(before, ..)| *time < before);
            assert!(has_expired || is.flatten() >= durable, "{what}: ({series}, {time}) is lost");
        }
        assert!(found.keys().all(|cell| self.cells.contains_key(cell)), "{what}: a sample that was not sent");
    }

    /// How many parts there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Checks what a store holds that was opened after a crash which came when so many calls were through.
    pub fn check(&self, found: &Found, calls: u64, after: After, what: &dyn Display) {
        let found = self.by_cell(found, what);
        let kept: Vec<usize> =
            (0..self.parts.len()).map(|writer| self.kept(writer, &found, calls, after, what)).collect();
        let (mut gone, mut there) = (None, None);
        for ((series, time), values) in &self.cells {
            let kept = kept[self.writer_of(*series)];
            let expected =
                values[..values.partition_point(|(part, _)| *part < kept)].last().map(|(_, bits)| *bits);
            let is = found.get(&(*series, *time)).copied();
            let expires = self.expired.is_some_and(|(before, begun, _)| *time < before && begun < calls);
            if expires && expected.is_some() {
                let place = if is.is_none() { &mut gone } else { &mut there };
                *place = Some((*series, *time));
                if is.is_none() {
                    continue;
                }
            }
            assert_eq!(is.map(id), expected.map(id), "{what}: series {series} at {time}, {kept} parts kept");
            assert_eq!(is, expected, "{what}: series {series} at {time}");
        }
        let is_whole =
            self.expired.is_none_or(|(_, _, ended)| ended == u64::MAX) || gone.is_none() || there.is_none();
        assert!(is_whole, "{what}: half expired, {there:?} is there and {gone:?} is not");
        let done = self.expired.is_some_and(|(_, _, ended)| ended <= calls);
        assert!(!done || there.is_none(), "{what}: {there:?} has expired and is back");
    }

    /// Up to which part what a writer logged is there; that is within what is promised and what was sent.
    fn kept(
        &self,
        writer: usize,
        found: &BTreeMap<(usize, i64), u64>,
        calls: u64,
        after: After,
        what: &dyn Display,
    ) -> usize {
        let parts = &self.parts[writer];
        let promised = |part: &Part| match after {
            After::Kill => part.ended <= calls,
            After::PowerLoss => part.durable.is_some_and(|durable| durable <= calls),
        };
        let must = parts.iter().rposition(promised).map_or(0, |last| last + 1);
        let may = parts.partition_point(|part| part.begun < calls);
        let of_writer = found.iter().filter(|((series, _), _)| self.writer_of(*series) == writer);
        let part_of = |(cell, bits): (&(usize, i64), &u64)| {
            let sent = self.cells.get(cell).and_then(|values| values.iter().find(|(_, sent)| sent == bits));
            sent.unwrap_or_else(|| panic!("{what}: {:?} at {cell:?} was never stored there", id(*bits))).0
        };
        let newest = of_writer.map(part_of).max().map_or(0, |newest| newest + 1);
        assert!(newest <= may, "{what}: part {newest} of writer {writer} was not sent by then, only {may}");
        newest.max(must)
    }

    fn by_cell(&self, found: &Found, what: &dyn Display) -> BTreeMap<(usize, i64), u64> {
        let mut cells = BTreeMap::new();
        for (name, samples) in found {
            let series = self.keys.iter().position(|key| key.to_string() == *name);
            let series = series.unwrap_or_else(|| panic!("{what}: `{name}` was never sent"));
            assert!(
                samples.is_sorted_by(|a, b| a.time < b.time),
                "{what}: {name} out of order, or a time twice"
            );
            cells
                .extend(samples.iter().map(|sample| ((series, sample.time.nanos()), sample.value.to_bits())));
        }
        cells
    }
}

fn mark(parts: &mut [Part], calls: u64) {
    for part in parts.iter_mut().rev().take_while(|part| part.durable.is_none()) {
        part.durable = Some(calls);
    }
}

/// The value that stands for a number: positive, negative, or a NaN with the number in it.
fn bits(number: u64) -> u64 {
    match number % 7 {
        0 => 0x7ff8 << 48 | number,
        3 => (-(number as f64)).to_bits(),
        _ => (number as f64).to_bits(),
    }
}

/// Batch and row of a value.
fn id(bits: u64) -> (u64, u64) {
    let value = f64::from_bits(bits);
    let number = if value.is_nan() { bits & 0xffff_ffff_ffff } else { value.abs() as u64 };
    (number >> 16, number & 0xffff)
}

/// Opens what is on a disk, whose faults and calls are the test's.
pub fn open_on(config: &Config, disk: &SimDisk, clock: Arc<dyn Clock>) -> (Store, Recovery) {
    let store =
        Store::open(config, Arc::new(disk.clone()), clock, &Metrics::default()).expect("the store opens");
    let recovery = store.wait_recovered();
    (store, recovery)
}

/// What a store takes after it was opened is there when it is opened again.
pub fn goes_on(
    config: &Config,
    disk: &SimDisk,
    store: Store,
    before: &Found,
    after: After,
    what: &dyn Display,
) {
    let time = NOW - Duration::from_nanos(1);
    let rows = |store: &Store| -> Vec<Row> {
        let row = |n| Row::at(store.series(&key(&format!(r#"m{{n="{n}"}}"#))).unwrap(), time, 0.5);
        (0..SERIES).map(row).collect()
    };
    let outcome = store.append_with(rows(&store), Ack::Disk).wait();
    assert!(outcome.is_ok(), "{what}: writes are taken: {outcome:?}");
    store.flush().unwrap_or_else(|error| panic!("{what}: flush: {error}"));
    store.compact().unwrap_or_else(|error| panic!("{what}: compact: {error}"));
    let mut expected: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    let samples =
        |samples: &[Sample]| samples.iter().map(|s| (s.time.nanos(), s.value.to_bits())).collect::<Vec<_>>();
    expected.extend(before.iter().map(|(key, found)| (key.clone(), samples(found))));
    for n in 0..SERIES {
        let samples = expected.entry(format!(r#"m{{n="{n}"}}"#)).or_default();
        let place = samples.partition_point(|(other, _)| *other < time.nanos());
        samples.insert(place, (time.nanos(), 0.5_f64.to_bits()));
    }
    let next = match after {
        After::Kill => disk.kill(),
        After::PowerLoss => disk.crash(1, sereno_runtime::sim_disk::Loss::Unsynced),
    };
    drop(store);
    let (store, recovery) = open_on(config, &next, crate::clock());
    assert!(!recovery.is_damaged(), "{what}: the second time {recovery:?}");
    let found: BTreeMap<String, Vec<(i64, u64)>> =
        dump(&store.snapshot()).into_iter().map(|(key, found)| (key, samples(&found))).collect();
    assert_eq!(found, expected, "{what}: the second time");
}

/// Whether rows were refused only because the disk failed or was full.
pub fn refused_by_disk(outcome: &Outcome) -> bool {
    let why = |(_, why): &(u32, Refusal)| matches!(why, Refusal::DiskFull | Refusal::DiskFailed);
    outcome.refused.iter().all(why)
}
