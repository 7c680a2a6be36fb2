//! The batches that are under way: sent and not answered, or to be sent again. In order of their numbers.

use std::collections::VecDeque;
use std::time::Duration;

use sereno_protocol::v2::messages::Written;
use tokio::time::Instant;

use super::columns::{Columns, SAMPLE_BYTES_MAX};
use super::shared::Sealed;

/// From the oldest batch that is not done to the newest, at most. A server remembers the last 1,024 of a client.
const NUMBERS_MAX: u64 = 512;

/// A batch that has a number.
#[derive(Debug)]
pub(super) struct Flight {
    /// Its place among the writer's batches.
    pub order: u64,
    /// As the server knows it. Given at the first sending, so that no number is missing.
    pub number: u64,
    pub columns: Columns,
    /// When it got its number.
    pub since: Instant,
    /// The sending that waits for its answer.
    pub sending: Option<Sending>,
    /// Whether it was ever sent.
    pub sent_before: bool,
    /// What the last answer said, if it was to send again.
    pub last: Option<Written>,
    /// Whether all its series are to be defined again.
    pub define_all: bool,
    /// Whether the answer to a sending was lost: it may be stored, whatever later answers say.
    pub in_doubt: bool,
}

impl Flight {
    fn new(sealed: Sealed, number: u64) -> Self {
        let Sealed { order, columns, .. } = sealed;
        let since = Instant::now();
        let (sending, last, define_all) = (None, None, false);
        Self { order, number, columns, since, sending, sent_before: false, last, define_all, in_doubt: false }
    }

    /// A batch that has no number, and will not get one.
    pub(super) fn never_sent(sealed: Sealed) -> Self {
        Self::new(sealed, 0)
    }
}

/// One sending of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    /// The request's id.
    pub id: u64,
    /// The length of its frame.
    pub bytes: usize,
    pub at: Instant,
}

/// See above.
#[derive(Debug)]
pub(super) struct Window {
    flights: VecDeque<Flight>,
    last_number: u64,
    flights_max: usize,
}

impl Window {
    pub(super) fn new(flights_max: usize) -> Self {
        Self {
            flights: VecDeque::new(),
            last_number: 0,
            flights_max: flights_max.clamp(1, NUMBERS_MAX as usize),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// The place of the first batch that is not done.
    pub(super) fn open_from(&self) -> Option<u64> {
        self.flights.front().map(|flight| flight.order)
    }

    /// Whether another batch may be under way.
    pub(super) fn has_room(&self) -> bool {
        let span = self.flights.front().map_or(0, |first| self.last_number + 1 - first.number);
        self.flights.len() < self.flights_max && span < NUMBERS_MAX
    }

    /// Gives a batch its number.
    pub(super) fn admit(&mut self, sealed: Sealed) {
        self.last_number += 1;
        self.flights.push_back(Flight::new(sealed, self.last_number));
    }

    /// The first batch that waits to be sent, if so many more bytes may be under way. One may, if no other is.
    pub(super) fn next_to_send(&mut self, in_flight_bytes_max: u64) -> Option<&mut Flight> {
        let under_way = self.bytes_under_way() as u64;
        let flight = self.flights.iter_mut().find(|flight| flight.sending.is_none())?;
        let bytes = (flight.columns.len() * SAMPLE_BYTES_MAX) as u64;
        (under_way == 0 || under_way + bytes <= in_flight_bytes_max).then_some(flight)
    }

    /// Whether a batch waits to be sent.
    pub(super) fn waits(&self) -> bool {
        self.flights.iter().any(|flight| flight.sending.is_none())
    }

    fn bytes_under_way(&self) -> usize {
        self.flights.iter().filter_map(|flight| flight.sending).map(|sending| sending.bytes).sum()
    }

    /// The batch whose sending has this id.
    pub(super) fn find(&mut self, id: u64) -> Option<&mut Flight> {
        let sent_as = |flight: &&mut Flight| flight.sending.is_some_and(|sending| sending.id == id);
        self.flights.iter_mut().find(sent_as)
    }

    /// Takes a batch out.
    pub(super) fn remove(&mut self, number: u64) -> Option<Flight> {
        let index = self.flights.iter().position(|flight| flight.number == number)?;
        self.flights.remove(index)
    }

    /// Takes the first batch out.
    pub(super) fn pop(&mut self) -> Option<Flight> {
        self.flights.pop_front()
    }

    /// The connection is lost, and with it all answers.
    pub(super) fn lose(&mut self) {
        for flight in &mut self.flights {
            if flight.sending.take().is_some() {
                // What the answer before it said may be true no more.
                (flight.last, flight.in_doubt) = (None, true);
            }
            flight.define_all = false;
        }
    }

    /// When the oldest sending was sent whose answer is missing.
    pub(super) fn oldest_sending(&self) -> Option<Instant> {
        self.flights.iter().filter_map(|flight| flight.sending).map(|sending| sending.at).min()
    }

    /// When the first batch has been tried for so long.
    pub(super) fn expiry(&self, give_up: Duration) -> Option<Instant> {
        self.flights.front().and_then(|flight| flight.since.checked_add(give_up))
    }
}
