//! Clients that send as fast as they can, and remember what became of every sample: what they check afterwards is all
//! that the server ever promised them.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::client::{self, DOES_NOT_EXIST, EMPTY, OK, SERVER_ERROR, SERVER_UNAVAILABLE};
use crate::until;

/// Metrics that are sent with one call.
const BATCH: usize = 16;
/// Batches that a connection has sent and not read the answers to.
const IN_FLIGHT: usize = 4;
/// A client's values take turns in so many series, so that one batch goes to several queues, writers and groups.
const SERIES: usize = 3;

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Sent and not answered: it may be stored or not, until the first look decides.
    Open,
    /// Answered with `ok`, or seen.
    Stored,
    /// Answered with anything else, or not seen when it could have been.
    Absent,
}

/// What all clients of a server have been told.
#[derive(Debug, Default)]
pub struct Answers {
    /// Samples that are stored.
    pub stored: AtomicU64,
    /// Samples that are refused.
    pub refused: AtomicU64,
    /// Whether to send nothing more, and wait for the answers that are due.
    pub stop: AtomicBool,
}

/// A client. Its values rise from 0 over all its connections, so a value is sent once.
pub struct Client {
    name: String,
    /// By value.
    fates: Vec<Fate>,
    /// The first value that no check has looked at.
    unchecked: usize,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} samples", self.name, self.fates.len())
    }
}

impl Client {
    /// A client that has sent nothing yet. No other one has its name, of at most 20 bytes.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), fates: Vec::new(), unchecked: 0 }
    }

    /// How many samples it has sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.fates.len()
    }

    /// The series of its values `n`, `n + 3`, …
    #[must_use]
    pub fn series(&self, n: usize) -> String {
        format!("{}.{}", self.name, n % SERIES)
    }

    /// Sends until the server is gone, or `answers` says stop. Gives whether samples were without an answer when the
    /// server went.
    ///
    /// # Panics
    /// An answer means nothing.
    pub fn send(&mut self, address: SocketAddr, answers: &Answers) -> bool {
        // A server that is killed before it accepts is no failure.
        let Ok(mut stream) = client::try_connect(address, 1) else { return false };
        let mut answered = self.fates.len();
        let mut went_well = true;
        while went_well && !answers.stop.load(Ordering::Relaxed) {
            went_well = self.send_batch(&mut stream).is_ok();
            while went_well && self.fates.len() - answered >= IN_FLIGHT * BATCH {
                went_well = self.read_answers(&mut stream, &mut answered, answers).is_ok();
            }
        }
        // What the server had answered before it died may still be under way.
        while answered < self.fates.len() && self.read_answers(&mut stream, &mut answered, answers).is_ok() {}
        answered < self.fates.len()
    }

    fn send_batch(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        let first = self.fates.len();
        let series: Vec<String> = (0..SERIES).map(|n| self.series(n)).collect();
        let batch: Vec<u8> = (first..first + BATCH)
            .flat_map(|value| client::metric(series[value % SERIES].as_bytes(), value as u32))
            .collect();
        self.fates.resize(first + BATCH, Fate::Open);
        stream.write_all(&batch)
    }

    fn read_answers(
        &mut self,
        stream: &mut TcpStream,
        answered: &mut usize,
        answers: &Answers,
    ) -> io::Result<()> {
        let mut bytes = [0; 2 * BATCH];
        let mut filled = 0;
        let mut refused = 0;
        let outcome = loop {
            match stream.read(&mut bytes[filled..]) {
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) => break Err(error),
            }
            if filled == bytes.len() {
                break Ok(());
            }
        };
        for status in bytes[..filled].chunks_exact(2) {
            self.fates[*answered] = match u16::from_be_bytes([status[0], status[1]]) {
                OK => Fate::Stored,
                SERVER_UNAVAILABLE | SERVER_ERROR => Fate::Absent,
                status => panic!("{self:?}: answered with {status}"),
            };
            refused += u64::from(self.fates[*answered] == Fate::Absent);
            *answered += 1;
        }
        answers.refused.fetch_add(refused, Ordering::Relaxed);
        answers.stored.fetch_add(filled as u64 / 2 - refused, Ordering::Relaxed);
        if refused > 0 {
            // As a client that means well.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        outcome
    }

    /// Compares what the server has with what it answered: every sample that was acknowledged, or seen before, is there
    /// once and in order, and nothing else but what was sent and never answered. `since` is a time before the first
    /// sample that the last check had not seen, in seconds since the epoch; 0 compares everything.
    ///
    /// # Panics
    /// It is not so.
    pub fn check(&mut self, address: SocketAddr, since: f64) {
        for n in 0..SERIES {
            let found = values(address, &self.series(n), since);
            self.compare(n, since == 0.0, &found);
            let wanted =
                self.fates.iter().skip(n).step_by(SERIES).filter(|fate| **fate == Fate::Stored).count();
            assert_eq!(count(address, &self.series(n)), wanted, "{}: how many there are", self.series(n));
        }
        self.unchecked = self.fates.len();
    }

    fn compare(&mut self, n: usize, is_all: bool, found: &[usize]) {
        let name = self.series(n);
        if let Some(pair) = found.windows(2).find(|pair| pair[0] >= pair[1]) {
            panic!("{name}: not each once and in order: {pair:?} of {} samples", found.len());
        }
        let phantom = found.iter().find(|value| **value >= self.fates.len() || **value % SERIES != n);
        assert_eq!(phantom, None, "{name}: never sent");
        let first = if is_all { 0 } else { self.unchecked.min(found.first().copied().unwrap_or(usize::MAX)) };
        let mut found = found.iter().copied().peekable();
        let (mut lost, mut risen) = (Vec::new(), Vec::new());
        for value in (first..self.fates.len()).filter(|value| value % SERIES == n) {
            let is_there = found.next_if_eq(&value).is_some();
            match self.fates[value] {
                Fate::Stored if !is_there => lost.push(value),
                Fate::Absent if is_there => risen.push(value),
                // It stays so: nothing that was read once goes, nothing that was not there comes.
                Fate::Open => self.fates[value] = if is_there { Fate::Stored } else { Fate::Absent },
                _ => {}
            }
        }
        assert!(lost.is_empty(), "{name}: {} lost, from {:?} to {:?}", lost.len(), lost.first(), lost.last());
        assert!(
            risen.is_empty(),
            "{name}: {} are there though they were refused or were not there before, from {:?} to {:?}",
            risen.len(),
            risen.first(),
            risen.last()
        );
    }
}

/// The samples of a series since a time, in order of time; waits until the server has read its log back.
fn values(address: SocketAddr, series: &str, since: f64) -> Vec<usize> {
    let answer = ask(address, series, 0.0, since);
    match answer[..] {
        [(DOES_NOT_EXIST | EMPTY, _)] => Vec::new(),
        _ => {
            let bad = answer.iter().find(|(status, _)| *status != OK);
            assert_eq!(bad, None, "{series}");
            answer.into_iter().map(|(_, value)| value as usize).collect()
        }
    }
}

fn count(address: SocketAddr, series: &str) -> usize {
    match ask(address, series, 1e300, 0.0)[..] {
        [(OK, count)] => count as usize,
        [(DOES_NOT_EXIST | EMPTY, _)] => 0,
        ref other => panic!("{series}: {other:?}"),
    }
}

fn ask(address: SocketAddr, series: &str, window: f64, since: f64) -> Vec<(u16, f32)> {
    until("the log to be read back", || {
        let answer = client::query(address, series.as_bytes(), "count", window, since, 0.0);
        (!matches!(answer[..], [(SERVER_UNAVAILABLE, _)])).then_some(answer)
    })
}
