//! What strangers may send: any bytes at all. A decoder answers with an error, and allocates no more than it promises.
//!
//! `PROPTEST_CASES=1000000 cargo nextest run -p sereno-protocol hostile` goes on for longer.

use allocation_counter::measure;
use proptest::prelude::*;
use prost::encoding::encode_varint;
use prost_reflect::{Kind, MessageDescriptor};
use sereno_protocol::v2::request::{FILES_FIELDS_MAX, REQUEST_FIELDS_MAX};
use sereno_protocol::v2::response::RESPONSE_FIELDS_MAX;
use sereno_protocol::v2::write::{self, BatchLimits, Columns};
use sereno_protocol::v2::{FrameError, Incoming, decode_request, decode_response, split_frame};

use super::any::{self, Decisions};

const LIMITS: BatchLimits = BatchLimits { samples_max: 1_000, dictionary_len_max: 1_000 };
/// The default of `Limits.request_bytes_max`.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Bytes in memory per field of a response, at most, while its list grows: alerts without anything in them.
const RESPONSE_FIELD_BYTES: u64 = 1_200;
/// Bytes in memory per byte of a response beside that, while its lists grow: texts without anything in them.
const RESPONSE_FACTOR: u64 = 40;

/// Gives the bytes to every decoder. Allocations that are counted are those that live at once.
fn feed(bytes: &[u8]) {
    let framed = measure(|| drop(split_frame(bytes, 1 << 20)));
    assert_eq!(framed.count_total, 0);

    let decoded = measure(|| drop(decode_request(bytes, REQUEST_BYTES_MAX)));
    let fields_max = if may_carry_files(bytes) { FILES_FIELDS_MAX } else { REQUEST_FIELDS_MAX };
    let in_texts_and_fields = bytes.len() as u64 + 256 * fields_max as u64;
    assert!(decoded.bytes_max <= in_texts_and_fields, "{decoded:?} for {} bytes", bytes.len());

    feed_batch(bytes);
    if let Ok(Incoming::Write { batch, .. }) = decode_request(bytes, 0) {
        feed_batch(batch);
    }
    let decoded = measure(|| drop(decode_response(bytes)));
    let fields = (bytes.len() / 2).min(RESPONSE_FIELDS_MAX) as u64;
    let bound = RESPONSE_FACTOR * bytes.len() as u64 + RESPONSE_FIELD_BYTES * fields + 512;
    assert!(decoded.bytes_max <= bound, "{decoded:?} for {} bytes", bytes.len());
}

/// Whether the key of a body with files is somewhere in these bytes: field 18, 19 or 21.
fn may_carry_files(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| matches!(pair, [0x92 | 0x9a | 0xaa, 1]))
}

fn feed_batch(batch: &[u8]) {
    let mut columns = Columns::default();
    let decoded = measure(|| drop(write::decode(batch, &LIMITS, &mut columns)));
    let bound = 24 * LIMITS.samples_max + 24 * batch.len();
    assert!(decoded.bytes_max <= bound as u64, "{decoded:?} for {} bytes", batch.len());
    assert!(columns.refs.capacity() <= LIMITS.samples_max);
    assert!(columns.counts.capacity() <= LIMITS.samples_max);
    assert!(columns.times.capacity() <= LIMITS.samples_max);
    assert!(columns.values.capacity() <= LIMITS.samples_max);
}

/// What is done to a message that was whole.
#[derive(Clone, Debug)]
enum Mutation {
    Cut(usize),
    Set(usize, u8),
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

fn a_mutation() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![any::<u8>(), Just(0x80), Just(0xFF), Just(0x7F), Just(0)];
    prop_oneof![
        any::<usize>().prop_map(Mutation::Cut),
        (any::<usize>(), byte).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<usize>(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..12))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (any::<usize>(), 1usize..2_000).prop_map(|(at, times)| Mutation::Repeat(at, times)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let place = |at: usize| if bytes.is_empty() { 0 } else { at % bytes.len() };
    match mutation {
        Mutation::Cut(at) => bytes.truncate(place(*at)),
        Mutation::Set(..) | Mutation::Flip(..) if bytes.is_empty() => {}
        Mutation::Set(at, byte) => {
            let at = place(*at);
            bytes[at] = *byte;
        }
        Mutation::Flip(at, bit) => {
            let at = place(*at);
            bytes[at] ^= bit;
        }
        Mutation::Insert(at, new) => {
            let at = place(*at);
            bytes.splice(at..at, new.iter().copied());
        }
        Mutation::Repeat(at, times) => {
            let at = place(*at);
            let tail: Vec<u8> = bytes[at..].iter().copied().take(4).collect();
            bytes.extend(tail.repeat(*times));
        }
    }
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1_000)
}

fn a_bent_message() -> impl Strategy<Value = Vec<u8>> {
    (some_bytes(), prop::collection::vec(a_mutation(), 0..6), any::<bool>()).prop_map(
        |(decisions, mutations, request)| {
            let name = if request { "Request" } else { "Response" };
            let (_, mut bytes) = any::message(&any::descriptor(name), true, &mut Decisions(decisions.iter()));
            for mutation in &mutations {
                mutate(&mut bytes, mutation);
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn any_bytes(bytes in some_bytes()) {
        feed(&bytes);
    }

    #[test]
    fn bent_messages(bytes in a_bent_message()) {
        feed(&bytes);
    }

    #[test]
    fn every_beginning_of_a_message(decisions in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_, bytes) = any::message(&any::descriptor("Request"), true, &mut Decisions(decisions.iter()));
        for end in 0..bytes.len() {
            feed(&bytes[..end]);
        }
    }
}

/// For every list that a message has, or that is in a message of its own: so many of the smallest elements.
fn stuffed(root: &MessageDescriptor, count: usize) -> Vec<(String, Vec<u8>)> {
    let mut frames = Vec::new();
    for field in root.fields() {
        let key = |wire: u32| {
            let mut bytes = Vec::new();
            encode_varint(u64::from(field.number() << 3 | wire), &mut bytes);
            bytes
        };
        if field.is_list() {
            let element = match field.kind() {
                Kind::Double => [key(1), vec![0; 8]].concat(),
                Kind::Uint32 | Kind::Sint64 => [key(0), vec![0]].concat(),
                _ => [key(2), vec![0]].concat(),
            };
            frames.push((field.full_name().to_owned(), element.repeat(count)));
        }
        if let Kind::Message(inner) = field.kind() {
            for (name, content) in stuffed(&inner, count) {
                let mut bytes = key(2);
                encode_varint(content.len() as u64, &mut bytes);
                frames.push((name, [bytes, content].concat()));
            }
        }
    }
    frames
}

#[test]
fn requests_of_the_smallest_pieces_take_no_more_than_they_may() {
    // Beyond a power of two a list has room for twice as many, and is copied.
    let counts =
        [513, REQUEST_FIELDS_MAX, REQUEST_FIELDS_MAX + 1, FILES_FIELDS_MAX, FILES_FIELDS_MAX + 1, 30_000];
    for count in counts {
        for (name, bytes) in stuffed(&any::descriptor("Request"), count) {
            feed(&bytes);
            let limit = if may_carry_files(&bytes[..2]) { FILES_FIELDS_MAX } else { REQUEST_FIELDS_MAX };
            let many = matches!(decode_request(&bytes, REQUEST_BYTES_MAX), Err(FrameError::Fields { .. }));
            assert_eq!(
                many,
                count > limit
                    && !name.starts_with("sereno.v2.Write.")
                    && !name.starts_with("sereno.v2.SeriesDef."),
                "{name}"
            );
        }
    }
}

#[test]
fn batches_of_the_smallest_pieces_take_no_more_than_they_may() {
    let limits = BatchLimits { samples_max: 33_000, dictionary_len_max: 33_000 };
    for (name, batch) in stuffed(&any::descriptor("Write"), 32_769) {
        let mut columns = Columns::default();
        let decoded = measure(|| drop(write::decode(&batch, &limits, &mut columns)));
        // One column at a time; while it grows, there are two of it.
        let columns = if name.starts_with("sereno.v2.Write.") { 2 * 8 * limits.samples_max } else { 0 };
        assert!(decoded.bytes_max <= (columns + 24 * batch.len()) as u64, "{name}: {decoded:?}");
    }
}

#[test]
fn responses_of_the_smallest_pieces_take_no_more_than_they_may() {
    for count in [32_769, RESPONSE_FIELDS_MAX, RESPONSE_FIELDS_MAX + 1, 500_000] {
        for (name, bytes) in stuffed(&any::descriptor("Response"), count) {
            feed(&bytes);
            let many = matches!(decode_response(&bytes), Err(FrameError::Fields { .. }));
            // Lists of texts and numbers inside the elements of a list are columns, not pieces.
            let deep = ["Chunk", "Column", "Event", "Rejection", "Alert", "RuleStatus"];
            let is_deep = deep.iter().any(|message| name.starts_with(&format!("sereno.v2.{message}.")));
            assert!(is_deep || many == (count > RESPONSE_FIELDS_MAX), "{name}, {count}");
        }
    }
}
