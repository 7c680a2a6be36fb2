//! What the codecs cost, in time and bytes, on blocks of a day at a sample every ten seconds.

// The codecs are private to the crate, and stay so: the bench compiles them once more.
#[allow(dead_code, unused_imports, reason = "a bench uses a part of it")]
#[path = "../src/codec/mod.rs"]
mod codec;

use std::hint::black_box;

use codec::rows::{self, Row};
use codec::{Scratch, times, values};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SAMPLES: usize = 8_640;
const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_790_000_000 * SECOND;

/// Deterministic noise (splitmix64).
struct Noise(u64);

impl Noise {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// Uniform in 0..=max.
    fn upto(&mut self, max: i64) -> i64 {
        (self.word() % (max as u64 + 1)) as i64
    }

    fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / 2_f64.powi(53)
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

fn value_columns(count: usize) -> Vec<(&'static str, Vec<f64>)> {
    let mut noise = Noise(1);
    let mut sum = 0_i64;
    let mut sums = |mut step: Box<dyn FnMut() -> i64>| -> Vec<i64> {
        sum = 5_000;
        (0..count)
            .map(|_| {
                sum += step();
                sum
            })
            .collect()
    };
    let mut steps = Noise(2);
    let gauge = sums(Box::new(move || steps.upto(100) - 50));
    let mut steps = Noise(3);
    let counter = sums(Box::new(move || steps.upto(100)));
    let mut steps = Noise(4);
    let bell = sums(Box::new(move || (steps.normal() * 20.0).round() as i64));
    let mut resets = counter.clone();
    (1..8).for_each(|i| {
        let at = i * count / 8;
        let base = resets[at];
        resets[at..].iter_mut().for_each(|value| *value -= base);
    });
    let hundredths =
        |numbers: &[i64]| numbers.iter().map(|number| *number as f64 / 100.0).collect::<Vec<_>>();
    let mut stale = hundredths(&gauge);
    (1..4).for_each(|i| stale[i * count / 4] = f64::from_bits(0x7FF0_0000_0000_0002));
    vec![
        ("gauge", hundredths(&gauge)),
        ("counter", counter.iter().map(|number| *number as f64).collect()),
        ("resets", resets.iter().map(|number| *number as f64).collect()),
        ("stale", stale),
        ("constant", vec![21.5; count]),
        ("even counter", (0..count).map(|index| index as f64 * 8.0).collect()),
        ("bell steps", hundredths(&bell)),
        ("bell decimals", (0..count).map(|_| (5_000.0 + noise.normal() * 700.0).round() / 100.0).collect()),
        ("noisy", (0..count).map(|_| 50.0 + noise.normal() * 7.0).collect()),
        ("noisy f32", (0..count).map(|_| f64::from((50.0 + noise.normal() * 7.0) as f32)).collect()),
        (
            "float walk",
            gauge
                .iter()
                .scan(0.0, |sum, step| {
                    *sum += *step as f64 * 0.37;
                    Some(*sum)
                })
                .collect(),
        ),
        (
            "summed tenths",
            (0..count)
                .scan(0.0, |sum, _| {
                    *sum += noise.upto(9) as f64 / 10.0;
                    Some(*sum)
                })
                .collect(),
        ),
        ("any bits", (0..count).map(|_| f64::from_bits(noise.word())).collect()),
    ]
}

fn time_columns(count: usize) -> Vec<(&'static str, Vec<i64>)> {
    let grid = |step: i64, jitter: i64, unit: i64, seed| -> Vec<i64> {
        let mut noise = Noise(seed);
        (0..count as i64).map(|index| START + index * step + noise.upto(jitter) * unit).collect()
    };
    let mut gaps = grid(10 * SECOND, 19, SECOND / 1000, 7);
    let mut drift = Noise(9);
    (1..10).for_each(|i| gaps[i * count / 10..].iter_mut().for_each(|time| *time += 30 * SECOND));
    vec![
        ("regular", grid(10 * SECOND, 0, 1, 5)),
        ("jitter 19 ms", grid(10 * SECOND, 19, SECOND / 1000, 6)),
        ("jitter, gaps", gaps),
        ("jitter 19 ms of 1 s", grid(SECOND, 19, SECOND / 1000, 6)),
        ("jitter in ns", grid(15 * SECOND, 20_000_000, 1, 8)),
        (
            "drifting",
            (0..count)
                .scan(START, |time, _| {
                    *time += 10 * SECOND + drift.upto(9) * 1_000_000;
                    Some(*time)
                })
                .collect(),
        ),
    ]
}

/// The rows of a day of a walk, `per_slot` samples each.
fn day_of_rows(slots: u32, per_slot: usize) -> Vec<Row> {
    let (_, gauge) = value_columns(slots as usize * per_slot).swap_remove(0);
    let row = |(slot, samples): (usize, &[f64])| Row {
        slot: slot as u32,
        count: samples.len() as u32,
        sum: samples.iter().fold(0.0, |sum, value| sum + value),
        min: samples.iter().copied().fold(f64::INFINITY, f64::min),
        max: samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        first: samples[0],
        last: samples[samples.len() - 1],
        falls: 0,
        dropped: 0.0,
    };
    gauge.chunks(per_slot).enumerate().map(row).collect()
}

fn bench_rows(criterion: &mut Criterion) {
    let mut scratch = Scratch::default();
    let mut group = criterion.benchmark_group("rows");
    for (slots, per_slot) in [(24, 360), (1_440, 60)] {
        let rows = day_of_rows(slots, per_slot);
        group.throughput(Throughput::Elements(u64::from(slots)));
        let mut bytes = Vec::new();
        group.bench_function(format!("{slots}/encode"), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                rows::encode(black_box(&rows), false, &mut bytes, &mut scratch);
            });
        });
        let mut read = Vec::new();
        group.bench_function(format!("{slots}/decode"), |bencher| {
            bencher.iter(|| rows::decode(black_box(&bytes), slots, &mut read));
        });
    }
    group.finish();
}

#[expect(clippy::print_stdout, reason = "sizes are results too")]
fn bench(criterion: &mut Criterion) {
    let mut scratch = Scratch::default();
    println!("bytes/sample of {SAMPLES}, bytes of 360, of 60");
    let sizes = |name: &str, size: &mut dyn FnMut(usize) -> usize| {
        println!("{name:>22} {:7.4} {:6} {:6}", size(SAMPLES) as f64 / SAMPLES as f64, size(360), size(60));
    };
    for index in 0..value_columns(60).len() {
        sizes(value_columns(60)[index].0, &mut |count| {
            let mut bytes = Vec::new();
            values::encode(&value_columns(count)[index].1, &mut bytes, &mut scratch);
            bytes.len()
        });
    }
    for index in 0..time_columns(60).len() {
        sizes(time_columns(60)[index].0, &mut |count| {
            let mut bytes = Vec::new();
            times::encode(&time_columns(count)[index].1, &mut bytes, &mut scratch);
            bytes.len()
        });
    }

    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    for (name, column) in value_columns(SAMPLES) {
        let mut bytes = Vec::new();
        group.bench_function(format!("values/{name}/encode"), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                values::encode(black_box(&column), &mut bytes, &mut scratch);
            });
        });
        let mut read = Vec::new();
        bytes.clear();
        values::encode(&column, &mut bytes, &mut scratch);
        group.bench_function(format!("values/{name}/decode"), |bencher| {
            bencher.iter(|| values::decode(black_box(&bytes), SAMPLES, &mut read, &mut scratch));
        });
    }
    for (name, column) in time_columns(SAMPLES) {
        let mut bytes = Vec::new();
        group.bench_function(format!("times/{name}/encode"), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                times::encode(black_box(&column), &mut bytes, &mut scratch);
            });
        });
        let mut read = Vec::new();
        bytes.clear();
        times::encode(&column, &mut bytes, &mut scratch);
        group.bench_function(format!("times/{name}/decode"), |bencher| {
            bencher.iter(|| times::decode(black_box(&bytes), SAMPLES, &mut read, &mut scratch));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500))
        .without_plots();
    targets = bench, bench_rows
}
criterion_main!(benches);
