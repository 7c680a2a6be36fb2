//! Batches have an encoder and a decoder of their own. Both must say what protobuf says.

use proptest::prelude::*;
use prost::Message;
use sereno_protocol::v2::messages::{Ack, Ping, Request, SeriesDef, Write, request};
use sereno_protocol::v2::write::{self, BatchLimits, Columns, Definition, Times, WriteError, WriteFrame};
use sereno_protocol::v2::{FrameError, Incoming, decode_request, frame, split_frame};

pub const LIMITS: BatchLimits = BatchLimits { samples_max: 10_000, dictionary_len_max: 1 << 20 };

/// Reference, name, labels.
type Series = (u32, String, Vec<(String, String)>);

/// A batch that makes sense, owned.
#[derive(Clone, Debug)]
struct Batch {
    id: u64,
    series: Vec<Series>,
    refs: Vec<u32>,
    counts: Vec<u32>,
    times: Vec<i64>,
    values: Vec<f64>,
    ack: Ack,
    number: u64,
    resent: bool,
}

impl Batch {
    fn definitions(&self) -> Vec<Definition<'_>> {
        self.series
            .iter()
            .map(|(reference, name, labels)| Definition {
                reference: *reference,
                name,
                labels: labels.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect(),
            })
            .collect()
    }

    fn times(&self) -> Times<'_> {
        match (self.times.as_slice(), self.values.len()) {
            ([], _) => Times::Server,
            ([time], len) if len != 1 => Times::One(*time),
            (times, _) => Times::Each(times),
        }
    }

    fn frame(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let frame = WriteFrame {
            id: self.id,
            series: &self.definitions(),
            refs: &self.refs,
            counts: &self.counts,
            times: self.times(),
            values: &self.values,
            ack: self.ack,
            number: self.number,
            resent: self.resent,
        };
        frame.put(&mut bytes);
        bytes
    }

    /// What protobuf's own encoder is given for this batch, in a unit.
    fn message(&self, unit: i64) -> Write {
        let mut last = 0i64;
        let differences = self.times.iter().map(|time| {
            let time = time / unit;
            time.wrapping_sub(std::mem::replace(&mut last, time))
        });
        let series = self.series.iter().map(|(reference, name, labels)| SeriesDef {
            r#ref: *reference,
            name: name.clone(),
            labels: labels.iter().flat_map(|(label, value)| [label.clone(), value.clone()]).collect(),
        });
        Write {
            series: series.collect(),
            refs: self.refs.clone(),
            counts: self.counts.clone(),
            times: differences.collect(),
            time_unit: unit as u64,
            values: self.values.clone(),
            ack: self.ack.into(),
            number: self.number,
            resent: self.resent,
        }
    }

    /// The reader must have found this batch in the bytes.
    fn check(&self, batch: &[u8]) {
        let mut columns = Columns::default();
        let head = write::decode(batch, &LIMITS, &mut columns).expect("a batch");
        assert_eq!(head.series, self.definitions());
        assert_eq!((head.ack, head.number, head.resent), (self.ack, self.number, self.resent));
        assert_eq!((&columns.refs, &columns.counts, &columns.times), (&self.refs, &self.counts, &self.times));
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&columns.values), bits(&self.values));
    }
}

/// Times as they come: any at all, the ends of the range, whole seconds or milliseconds, close to each other.
fn a_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(-1), Just(1)],
        (-9_223_372_036i64..=9_223_372_036).prop_map(|seconds| seconds * 1_000_000_000),
        (0i64..100_000).prop_map(|millis| (1_700_000_000_000 + millis) * 1_000_000),
        (0i64..1_000_000_000).prop_map(|nanos| 1_700_000_000_000_000_000 + nanos),
    ]
}

fn a_series() -> impl Strategy<Value = Series> {
    let labels = prop::collection::vec((".{1,4}", ".{0,4}"), 0..4);
    (0..LIMITS.dictionary_len_max, ".{1,200}", labels)
}

fn a_batch() -> impl Strategy<Value = Batch> {
    let runs = prop::collection::vec((0..LIMITS.dictionary_len_max, 1u32..200), 0..20);
    let series = prop::collection::vec(a_series(), 0..4);
    let number = prop_oneof![Just(0), any::<u64>()];
    let ack = prop_oneof![Just(Ack::Unspecified), Just(Ack::Received), Just(Ack::Os), Just(Ack::Disk)];
    (runs, any::<bool>(), 0..3, any::<u64>(), series, number, ack, any::<bool>()).prop_flat_map(
        |(runs, ones, form, id, series, number, ack, resent)| {
            let refs: Vec<u32> = runs.iter().map(|run| run.0).collect();
            let counts: Vec<u32> = if ones { Vec::new() } else { runs.iter().map(|run| run.1).collect() };
            let samples = if ones { refs.len() } else { counts.iter().sum::<u32>() as usize };
            let stamped = [0, 1, samples][form as usize];
            let times = prop_oneof![
                prop::collection::vec(a_time(), stamped),
                // Of one unit, so that there is one to find.
                prop::collection::vec((-1_000_000i64..1_000_000).prop_map(|time| time * 1_000_000), stamped),
            ];
            let values = prop::collection::vec(any::<u64>().prop_map(f64::from_bits), samples);
            (times, values).prop_map(move |(times, values)| Batch {
                id,
                series: series.clone(),
                refs: refs.clone(),
                counts: counts.clone(),
                times,
                values,
                ack,
                number,
                resent,
            })
        },
    )
}

/// The message of the one frame in `bytes`.
fn message(bytes: &[u8]) -> &[u8] {
    match split_frame(bytes, usize::MAX) {
        Ok(frame::Split::Frame { message, taken }) if taken == bytes.len() => message,
        other => panic!("{other:?}"),
    }
}

/// A request with a batch in it, which is not looked into.
fn batch_in(message: &[u8]) -> (u64, &[u8]) {
    match decode_request(message, 0) {
        Ok(Incoming::Write { id, batch }) => (id, batch),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn batches_survive_the_trip(batch in a_batch()) {
        let bytes = batch.frame();
        let (id, body) = batch_in(message(&bytes));
        prop_assert_eq!(id, batch.id);
        batch.check(body);
    }

    #[test]
    fn protobuf_reads_what_is_written(batch in a_batch()) {
        let bytes = batch.frame();
        let request = Request::decode(message(&bytes)).unwrap();
        prop_assert_eq!(request.id, batch.id);
        let Some(request::Body::Write(read)) = request.body else { panic!("{request:?}") };
        let expected = batch.message(read.time_unit.max(1) as i64);
        // Not as numbers, of which some are none.
        prop_assert_eq!(bits(&read), bits(&expected));
        // There is one way to write a batch, in a given unit, and protobuf takes it too.
        let again = Request { id: batch.id, body: Some(request::Body::Write(read)) };
        prop_assert_eq!(again.encode_to_vec(), message(&bytes));
    }

    #[test]
    fn what_protobuf_writes_is_read(batch in a_batch()) {
        let write = batch.message(1);
        batch.check(&write.encode_to_vec());
        let request = Request { id: batch.id, body: Some(request::Body::Write(write)) };
        let bytes = request.encode_to_vec();
        let (id, body) = batch_in(&bytes);
        prop_assert_eq!(id, batch.id);
        batch.check(body);
    }
}

/// A message with its values as bits, and its unit spelt out.
fn bits(write: &Write) -> (Vec<u64>, Write) {
    let values = write.values.iter().map(|value| value.to_bits()).collect();
    (values, Write { values: Vec::new(), time_unit: write.time_unit.max(1), ..write.clone() })
}

/// A field with a varint.
fn varint(field: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(field << 3), &mut bytes);
    prost::encoding::encode_varint(value, &mut bytes);
    bytes
}

/// A field with a length.
fn bytes(field: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(field << 3 | 2), &mut bytes);
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

fn decode(batch: &[u8], limits: &BatchLimits) -> Result<Columns, WriteError> {
    let mut columns = Columns::default();
    write::decode(batch, limits, &mut columns).map(|_| columns)
}

#[test]
fn differences_wrap_between_the_ends_of_time() {
    // From the first to the last moment is more than 64 bits hold; it was refused by the reader once, when the writer had
    // let it wrap.
    let times = [i64::MIN, i64::MAX, i64::MIN, 0, i64::MAX, -1];
    let mut buffer = Vec::new();
    let frame = WriteFrame {
        id: 1,
        series: &[],
        refs: &[0; 6],
        counts: &[],
        times: Times::Each(&times),
        values: &[0.0; 6],
        ack: Ack::Os,
        number: 0,
        resent: false,
    };
    frame.put(&mut buffer);
    let (_, body) = batch_in(message(&buffer));
    assert_eq!(decode(body, &LIMITS).unwrap().times, times);
}

#[test]
fn times_are_multiplied_by_their_unit_or_refused() {
    let batch = |unit: u64, time: i64| {
        let write = Write {
            refs: vec![0],
            values: vec![1.0],
            times: vec![time],
            time_unit: unit,
            ..Write::default()
        };
        decode(&write.encode_to_vec(), &LIMITS).map(|columns| columns.times)
    };
    assert_eq!(batch(0, 7), Ok(vec![7]));
    assert_eq!(batch(7, -3), Ok(vec![-21]), "any unit will do");
    assert_eq!(batch(1_000_000_000, 9_223_372_036), Ok(vec![9_223_372_036_000_000_000]));
    assert_eq!(batch(1_000_000_000, 9_223_372_037), Err(WriteError::Time));
    assert_eq!(batch(1_000_000_000, i64::MIN), Err(WriteError::Time));
    assert_eq!(batch(u64::MAX, 0), Err(WriteError::Time));
}

#[test]
fn columns_must_fit() {
    let batch = |refs: &[u32], counts: &[u32], times: usize, values: usize| {
        let (refs, counts) = (refs.to_vec(), counts.to_vec());
        let write =
            Write { refs, counts, times: vec![0; times], values: vec![0.0; values], ..Write::default() };
        decode(&write.encode_to_vec(), &LIMITS).map(|columns| columns.runs().collect::<Vec<_>>())
    };
    assert_eq!(batch(&[], &[], 0, 0), Ok(vec![]));
    assert_eq!(batch(&[], &[], 1, 0), Ok(vec![]), "a time for no sample");
    assert_eq!(batch(&[7, 7], &[], 2, 2), Ok(vec![(7, 0..1), (7, 1..2)]));
    assert_eq!(batch(&[7, 8], &[2, 1], 3, 3), Ok(vec![(7, 0..2), (8, 2..3)]));
    assert_eq!(batch(&[7], &[0], 0, 0), Err(WriteError::EmptyRun));
    for (refs, counts, times, values) in [
        (&[7u32, 8][..], &[][..], 0, 1),
        (&[7], &[2], 0, 1),
        (&[7, 8], &[2], 0, 2),
        (&[], &[1], 0, 1),
        (&[7], &[2], 3, 2),
        (&[7], &[u32::MAX], 0, 1),
    ] {
        let error = WriteError::Columns { refs: refs.len(), counts: counts.len(), times, values };
        assert_eq!(batch(refs, counts, times, values), Err(error));
    }
}

#[test]
fn limits_hold_however_columns_are_cut() {
    let limits = BatchLimits { samples_max: 3, dictionary_len_max: 8 };
    let full = Err(WriteError::TooManySamples { limit: 3 });
    let error = |fields: &[&[u8]]| decode(&fields.concat(), &limits).map(drop);
    assert_eq!(error(&[&bytes(2, &[1, 2, 3, 4])]), full);
    assert_eq!(error(&[&bytes(2, &[1, 2]), &bytes(2, &[3, 4])]), full);
    assert_eq!(error(&[&bytes(2, &[1, 2, 3]), &varint(2, 4)]), full);
    assert_eq!(error(&[&bytes(3, &[1, 2, 3, 4])]), full);
    assert_eq!(error(&[&bytes(4, &[1, 2, 3, 4])]), full);
    assert_eq!(error(&[&bytes(6, &[0; 32])]), full);
    let whole = [&bytes(2, &[7, 7, 7])[..], &bytes(6, &[0; 24])];
    assert_eq!(error(&whole), Ok(()));
    let reference = WriteError::Reference { reference: 8, limit: 8 };
    assert_eq!(error(&[&bytes(2, &[8]), &bytes(6, &[0; 8])]), Err(reference.clone()));
    assert_eq!(error(&[&bytes(1, &varint(1, 8))]), Err(reference));
    let nine = bytes(1, &[]).repeat(9);
    assert_eq!(error(&[&nine]), Err(WriteError::TooManyDefinitions { limit: 8 }));
    assert_eq!(error(&[&nine[2..]]), Ok(()));
}

#[test]
fn columns_come_in_pieces_and_one_by_one() {
    let single = |value: f64| [vec![6 << 3 | 1], value.to_le_bytes().to_vec()].concat();
    let later = [
        varint(500, 3),
        bytes(77, b"later"),
        vec![0x85, 0x7D, 1, 2, 3, 4],
        vec![0x81, 0x7D, 1, 2, 3, 4, 5, 6, 7, 8],
    ];
    let batch = [
        single(1.5),
        later[0].clone(),
        varint(9, 5),
        bytes(4, &[2, 2]),
        bytes(2, &[1]),
        varint(2, 300),
        later[1].clone(),
        bytes(6, &2.5f64.to_le_bytes()),
        bytes(6, &[]),
        later[2].clone(),
        bytes(2, &[0x82, 0x80, 0x00]),
        later[3].clone(),
        varint(4, 1),
        single(3.5),
        varint(7, 3),
        varint(7, 99),
        varint(5, 1_000),
        varint(8, 1),
        varint(8, u64::MAX),
    ]
    .concat();
    let mut columns = Columns::default();
    let head = write::decode(&batch, &LIMITS, &mut columns).unwrap();
    assert_eq!(columns.refs, [1, 300, 2], "an overlong varint is one all the same");
    assert_eq!(columns.times, [1_000, 2_000, 1_000]);
    assert_eq!(columns.values, [1.5, 2.5, 3.5]);
    assert_eq!((head.number, head.resent), (u64::MAX, true), "the last one counts");
    assert_eq!(head.ack, Ack::Disk, "an acknowledgement of a later version is taken for the strongest");
}

#[test]
fn what_is_malformed_is_refused() {
    for batch in [
        &[0x10][..],
        &[0x00, 0x00],
        &[0x12, 0x02, 0x01],
        &[0x12, 0x02, 0x01, 0x80],
        &[0x12, 0x0B, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        &[0x32, 0x07, 1, 2, 3, 4, 5, 6, 7],
        &[0x31, 1, 2, 3],
        &[0x13, 0x14],
        &[0x0D, 1, 2, 3, 4],
        &[0x3A, 0x00],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0x00],
    ] {
        assert_eq!(decode(batch, &LIMITS).unwrap_err(), WriteError::Malformed, "{batch:x?}");
    }
    let wide = [&varint(2, 1 << 32), &bytes(6, &[0; 8])].map(Vec::as_slice).concat();
    assert_eq!(
        decode(&wide, &LIMITS).unwrap_err(),
        WriteError::Malformed,
        "another series must not be meant"
    );
    let definition = |content: &[u8]| decode(&bytes(1, content), &LIMITS).map(drop);
    assert_eq!(definition(&bytes(3, b"label")), Err(WriteError::Definition));
    assert_eq!(definition(&bytes(2, &[0xFF])), Err(WriteError::Definition));
    assert_eq!(definition(&[0x1A]), Err(WriteError::Malformed));
    assert_eq!(definition(&[0x15, 1, 2, 3, 4]), Err(WriteError::Malformed));
}

#[test]
fn a_request_has_one_body() {
    let id = varint(1, 7);
    let error = |fields: &[&[u8]]| decode_request(&fields.concat(), 100).map(drop).unwrap_err();
    assert_eq!(error(&[&bytes(3, &[]), &bytes(3, &[])]), FrameError::Bodies, "a batch twice");
    assert_eq!(error(&[&bytes(7, &[]), &bytes(3, &[]), &id]), FrameError::Bodies);
    assert_eq!(error(&[&bytes(7, &[]), &bytes(7, &[])]), FrameError::Bodies);
    assert_eq!(error(&[&varint(3, 1)]), FrameError::Malformed);
    assert_eq!(error(&[&bytes(1, &[])]), FrameError::Malformed);
    assert_eq!(error(&[&bytes(16, &[0; 98])]), FrameError::TooLong { bytes: 101, limit: 100 });
    assert!(matches!(error(&[&bytes(2, &bytes(3, &[0xFF]))]), FrameError::Message(_)));

    // Bodies of later versions are known to none, and no reason to look for one.
    let request = [&bytes(16, b"later")[..], &id, &varint(28, 1)].concat();
    let Ok(Incoming::Other(request)) = decode_request(&request, 100) else { panic!() };
    assert_eq!(*request, Request { id: 7, body: None });
    let request = [&bytes(16, b"later")[..], &bytes(7, &[]), &id].concat();
    let Ok(Incoming::Other(request)) = decode_request(&request, 100) else { panic!() };
    assert_eq!(*request, Request { id: 7, body: Some(request::Body::Ping(Ping {})) });
}

#[test]
fn lengths_of_frames() {
    use frame::Split::{Frame, Incomplete};
    assert_eq!(split_frame(&[], 9), Ok(Incomplete { needed: 1 }));
    assert_eq!(split_frame(&[0], 9), Ok(Frame { message: &[], taken: 1 }));
    assert_eq!(split_frame(&[2, 5, 6, 7], 9), Ok(Frame { message: &[5, 6], taken: 3 }));
    assert_eq!(split_frame(&[0x82, 0x80, 0x00, 5], 9), Ok(Incomplete { needed: 5 }));
    assert_eq!(split_frame(&[0xFF, 0xFF], 9), Ok(Incomplete { needed: 3 }));
    assert_eq!(split_frame(&[10], 9), Err(FrameError::TooLong { bytes: 10, limit: 9 }), "before it has come");
    assert_eq!(split_frame(&[0xFF; 4], 9), Ok(Incomplete { needed: 5 }));
    assert_eq!(split_frame(&[0xFF; 5], 9), Err(FrameError::Length));
    let long = split_frame(&[0xFF, 0xFF, 0xFF, 0xFF, 0x7F], usize::MAX).unwrap_err();
    assert_eq!(long, FrameError::TooLong { bytes: (1 << 35) - 1, limit: usize::MAX });
}
