//! What a sample costs on its way through the protocol, on either side: batches of 10,000 series with four samples each
//! and with one each. Times per sample are those of criterion's throughput, inverted; the decision that they carry is in
//! `src/v2/write.rs`.

#![allow(missing_docs, reason = "macros of criterion")]
#![allow(clippy::unwrap_used, reason = "a bench may end")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use sereno_protocol::v2::messages::{Ack, Request};
use sereno_protocol::v2::write::{self, BatchLimits, Columns, Times, WriteFrame};
use sereno_protocol::v2::{Incoming, decode_request, frame, split_frame};

const SERIES: u32 = 10_000;
const LIMITS: BatchLimits = BatchLimits { samples_max: 100_000, dictionary_len_max: 1 << 20 };

/// The columns of a batch.
struct Batch {
    refs: Vec<u32>,
    counts: Vec<u32>,
    times: Vec<i64>,
    values: Vec<f64>,
}

/// `each` samples for every series, ten seconds apart, with a jitter of some milliseconds or none.
fn batch(each: u32, jitter_ms: u64) -> Batch {
    let samples = (SERIES * each) as usize;
    let mut random = 1u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let mut time = |i: usize| {
        let seconds = 1_700_000_000 + 10 * (i as i64 % i64::from(each));
        let jitter = if jitter_ms == 0 { 0 } else { (next() % jitter_ms) as i64 };
        (seconds * 1_000 + jitter) * 1_000_000
    };
    Batch {
        refs: (0..SERIES).collect(),
        counts: if each == 1 { Vec::new() } else { vec![each; SERIES as usize] },
        times: (0..samples).map(&mut time).collect(),
        values: (0..samples).map(|i| i as f64 * 0.1).collect(),
    }
}

impl Batch {
    fn put(&self, times: Times<'_>, buffer: &mut Vec<u8>) {
        let Self { refs, counts, values, .. } = self;
        let frame = WriteFrame {
            id: 7,
            series: &[],
            refs,
            counts,
            times,
            values,
            ack: Ack::Os,
            number: 3,
            resent: false,
        };
        frame.put(buffer);
    }
}

fn read(bytes: &[u8], columns: &mut Columns) -> usize {
    let Ok(frame::Split::Frame { message, .. }) = split_frame(bytes, bytes.len()) else { return 0 };
    let Ok(Incoming::Write { batch, .. }) = decode_request(message, 0) else { return 0 };
    write::decode(batch, &LIMITS, columns).unwrap();
    columns.values.len()
}

fn bench(c: &mut Criterion) {
    for (each, jitter_ms, name) in [
        (4, 0, "10k x 4, seconds"),
        (4, 500, "10k x 4, jitter"),
        (1, 500, "10k x 1, jitter"),
        (1, 0, "10k x 1, one time"),
    ] {
        let batch = batch(each, jitter_ms);
        let times =
            if each == 1 && jitter_ms == 0 { Times::One(batch.times[0]) } else { Times::Each(&batch.times) };
        let mut bytes = Vec::new();
        batch.put(times, &mut bytes);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(batch.values.len() as u64));
        let mut buffer = Vec::with_capacity(bytes.len());
        group.bench_function("put", |b| {
            b.iter(|| {
                buffer.clear();
                batch.put(black_box(times), &mut buffer);
            });
        });
        let mut columns = Columns::default();
        group.bench_function("decode", |b| b.iter(|| read(black_box(&bytes), &mut columns)));
        let Ok(frame::Split::Frame { message, .. }) = split_frame(&bytes, bytes.len()) else { return };
        group.bench_function("decode, prost", |b| b.iter(|| Request::decode(black_box(message)).unwrap()));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(1)).warm_up_time(std::time::Duration::from_millis(300));
    targets = bench
}
criterion_main!(benches);
