//! Writes a frame with a batch straight from columns.

use prost::encoding::{encode_varint, encoded_len_varint};

use super::Definition;
use super::varint::put_varints;
use crate::v2::messages::Ack;

/// The times of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times<'a> {
    /// The server stamps.
    Server,
    /// All samples have this one, in nanoseconds since the epoch.
    One(i64),
    /// One per sample, in nanoseconds since the epoch.
    Each(&'a [i64]),
}

/// A request with a batch. The columns must fit each other as the message `Write` says; the server checks.
#[derive(Clone, Copy, Debug)]
pub struct WriteFrame<'a> {
    /// The request's id.
    pub id: u64,
    /// Entries of the dictionary to define first.
    pub series: &'a [Definition<'a>],
    /// Per run, the reference of its series.
    pub refs: &'a [u32],
    /// Per run, how many samples it has; empty if each has one.
    pub counts: &'a [u32],
    /// The times.
    pub times: Times<'a>,
    /// Per sample.
    pub values: &'a [f64],
    /// Which acknowledgement is wanted.
    pub ack: Ack,
    /// The batch's number, 0 for none.
    pub number: u64,
    /// Whether it may have been sent before.
    pub resent: bool,
}

impl WriteFrame<'_> {
    /// Appends the frame. What tells a length is put before its content once that is there: to move the columns costs
    /// less than to go through them twice.
    pub fn put(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        for definition in self.series {
            put_definition(buffer, definition);
        }
        put_column(buffer, 2, self.refs.iter().map(|value| u64::from(*value)));
        put_column(buffer, 3, self.counts.iter().map(|value| u64::from(*value)));
        let unit = put_times(buffer, self.times);
        put_varint_field(buffer, 5, unit);
        self.put_head(buffer, start);
        if !self.values.is_empty() {
            put_bytes_key(buffer, 6, self.values.len() * 8);
            buffer.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        }
        put_varint_field(buffer, 7, self.ack as u64);
        put_varint_field(buffer, 8, self.number);
        put_varint_field(buffer, 9, self.resent.into());
    }

    /// Puts before the first fields of the batch what comes before a batch.
    fn put_head(&self, buffer: &mut Vec<u8>, start: usize) {
        let to_come = bytes_column_len(self.values.len() * 8)
            + varint_field_len(self.ack as u64)
            + varint_field_len(self.number)
            + varint_field_len(self.resent.into());
        let batch = buffer.len() - start + to_come;
        let message = varint_field_len(self.id) + bytes_field_len(batch);
        let mut head = Vec::with_capacity(32);
        encode_varint(message as u64, &mut head);
        put_varint_field(&mut head, 1, self.id);
        put_bytes_key(&mut head, 3, batch);
        buffer.reserve(head.len() + to_come);
        insert(buffer, start, &head);
    }
}

/// Puts times as differences, in the longest unit that all of them are multiples of, and returns it; 0 for nanoseconds.
fn put_times(buffer: &mut Vec<u8>, times: Times<'_>) -> u64 {
    let times = match &times {
        Times::Server => return 0,
        Times::One(time) => std::slice::from_ref(time),
        Times::Each(times) => times,
    };
    // Most attempts that fail do so at the first time.
    if put_differences::<1_000_000_000>(buffer, times) {
        1_000_000_000
    } else if put_differences::<1_000_000>(buffer, times) {
        1_000_000
    } else if put_differences::<1_000>(buffer, times) {
        1_000
    } else {
        put_differences::<1>(buffer, times);
        0
    }
}

/// Puts the first time and the differences, zigzag, in a unit that the compiler knows and divides by without dividing.
/// Puts nothing and returns false if a time is no multiple.
fn put_differences<const UNIT: i64>(buffer: &mut Vec<u8>, times: &[i64]) -> bool {
    let start = buffer.len();
    let (mut last, mut fits) = (0i64, true);
    let differences = times.iter().map_while(|time| {
        let units = time / UNIT;
        fits &= units * UNIT == *time;
        // A difference too long for 64 bits wraps, and so does the sum that undoes it.
        let difference = units.wrapping_sub(std::mem::replace(&mut last, units));
        fits.then_some(((difference << 1) ^ (difference >> 63)) as u64)
    });
    put_column(buffer, 4, differences);
    if !fits {
        buffer.truncate(start);
    }
    fits
}

fn varint_field_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + encoded_len_varint(value) }
}

fn bytes_field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn bytes_column_len(len: usize) -> usize {
    if len == 0 { 0 } else { bytes_field_len(len) }
}

fn definition_len(definition: &Definition<'_>) -> usize {
    let labels = definition.labels.iter().flat_map(|(label, value)| [label.len(), value.len()]);
    varint_field_len(definition.reference.into())
        + bytes_field_len(definition.name.len())
        + labels.map(bytes_field_len).sum::<usize>()
}

/// All keys here are below 16, and take one byte.
fn put_varint_field(buffer: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        buffer.push(field << 3);
        encode_varint(value, buffer);
    }
}

fn put_bytes_key(buffer: &mut Vec<u8>, field: u8, len: usize) {
    buffer.push(field << 3 | 2);
    encode_varint(len as u64, buffer);
}

fn put_column(buffer: &mut Vec<u8>, field: u8, values: impl Iterator<Item = u64>) {
    let start = buffer.len();
    put_varints(buffer, values);
    let len = buffer.len() - start;
    if len > 0 {
        let mut key = Vec::with_capacity(8);
        put_bytes_key(&mut key, field, len);
        insert(buffer, start, &key);
    }
}

/// Makes room at `start` and puts `bytes` there.
fn insert(buffer: &mut Vec<u8>, start: usize, bytes: &[u8]) {
    let end = buffer.len();
    buffer.extend_from_slice(bytes);
    buffer.copy_within(start..end, start + bytes.len());
    buffer[start..start + bytes.len()].copy_from_slice(bytes);
}

fn put_definition(buffer: &mut Vec<u8>, definition: &Definition<'_>) {
    put_bytes_key(buffer, 1, definition_len(definition));
    put_varint_field(buffer, 1, definition.reference.into());
    put_text(buffer, 2, definition.name);
    for (label, value) in &definition.labels {
        put_text(buffer, 3, label);
        put_text(buffer, 3, value);
    }
}

fn put_text(buffer: &mut Vec<u8>, field: u8, text: &str) {
    put_bytes_key(buffer, field, text.len());
    buffer.extend_from_slice(text.as_bytes());
}
