//! What the registry and the index of a segment cost with a million series. The modules are compiled into the bench,
//! because the crate keeps them to itself.

#![allow(dead_code, unused_imports, missing_docs, reason = "not everything of the modules is measured")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may end, and tells sizes beside times")]

#[path = "../src/checksum.rs"]
mod checksum;
#[path = "../src/index/mod.rs"]
mod index;
#[path = "../src/labels/mod.rs"]
mod labels;
#[path = "../src/registry/mod.rs"]
mod registry;

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sereno_model::{Selector, SeriesKey};
use sereno_runtime::SystemClock;

use checksum::Seed;
use index::{ReadAt, SealedIndex};
use registry::{Limits, Registry};

const SERIES: u64 = 1_000_000;
const QUEUES: u32 = 64;

/// A number without pattern from a counter.
fn mixed(i: u64) -> u64 {
    let mut x = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Series `i`: ten of each host, four labels, about 60 bytes. One region and one env together are on a hundredth.
fn key(i: u64) -> SeriesKey {
    let x = mixed(i);
    SeriesKey::new(
        &format!("m{}", x / 100_000 % 1_000),
        [
            ("host", format!("host-{:05}", i % 100_000)),
            ("env", format!("e{}", x % 5)),
            ("region", format!("r-{}", x / 5 % 20)),
            ("service", format!("s{}", x / 100 % 1_000)),
        ],
    )
    .unwrap()
}

fn keys() -> Vec<SeriesKey> {
    (0..SERIES).map(key).collect()
}

fn new_registry() -> Registry {
    let limits = Limits {
        series_max: u32::MAX,
        series_per_minute_max: 0,
        labels_max: 64,
        label_value_bytes_max: 1_024,
    };
    Registry::new(QUEUES, limits, Arc::new(SystemClock::new()))
}

/// A copy, so that the registry's key is not the caller's allocation.
fn copy(key: &SeriesKey) -> SeriesKey {
    SeriesKey::from_canonical(key.canonical().as_bytes()).unwrap()
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Memory of the registry with its index and the keys' text, by what the process grew.
fn memory() {
    let before = resident_bytes();
    let registry = new_registry();
    (0..SERIES).for_each(|i| {
        registry.resolve(&key(i)).unwrap();
        if i % 10_000 == 0 {
            registry.maintain();
        }
    });
    let grown = resident_bytes() - before;
    println!("memory with young series: {} bytes a series", grown / SERIES);
    registry.retire(&[]);
    let grown = resident_bytes() - before;
    let text: usize = (0..SERIES).map(|i| key(i).canonical().len()).sum();
    println!("memory settled: {} bytes a series; text {}", grown / SERIES, text as u64 / SERIES);
}

fn live(criterion: &mut Criterion) {
    memory();
    let keys = keys();
    let mut group = criterion.benchmark_group("registry");
    group.sample_size(10);
    group.bench_function("create 1M", |b| {
        b.iter_batched(
            new_registry,
            |registry| {
                keys.iter().for_each(|key| drop(registry.resolve(key)));
                registry
            },
            BatchSize::PerIteration,
        );
    });
    let registry = new_registry();
    keys.iter().for_each(|key| drop(registry.resolve(key)));
    group.bench_function("settle 1M", |b| b.iter(|| registry.retire(&[])));
    group.finish();
    let mut group = criterion.benchmark_group("registry");
    let mut i = 0;
    // As in life: the caller's key has just been read from the wire, the registry's is wherever it is.
    for (what, among) in [("resolve any of 1M", SERIES), ("resolve one of 10k", 10_000)] {
        let mut fresh_key = || {
            i += 1;
            copy(&keys[(mixed(i) % among) as usize])
        };
        group.bench_function(what, |b| {
            b.iter_batched_ref(&mut fresh_key, |key| registry.resolve(key), BatchSize::NumIterations(128));
        });
    }
    for (what, selector) in SELECTORS {
        let selector: Selector = selector.parse().unwrap();
        println!("{what}: {} series", registry.select(&selector).len());
        group.bench_function(*what, |b| b.iter(|| registry.select(black_box(&selector))));
    }
    (0..150_000).for_each(|i| drop(registry.resolve(&copy(&key(SERIES + i)))));
    let (what, selector) = SELECTORS[0];
    let selector: Selector = selector.parse().unwrap();
    group.bench_function(format!("{what}, an eighth young"), |b| {
        b.iter(|| registry.select(black_box(&selector)))
    });
    group.finish();
}

const SELECTORS: &[(&str, &str)] = &[
    ("select 10k by two labels", r#"*{env="e1",region="r-3"}"#),
    ("select by name", "m7"),
    ("select by name and label", r#"m7{env="e1"}"#),
    ("select by host", r#"*{host="host-00042"}"#),
    ("select by host pattern", r#"*{host=~"host-.*42"}"#),
    ("select by name and host pattern", r#"m7{host=~"host-.*42"}"#),
    ("select by name without label", r#"m7{env!~"e[123]"}"#),
    ("select by alternatives", r#"*{service=~"s1|s2|s3",env!="e2"}"#),
];

/// A file in memory.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let read = self.0.get(offset as usize..).and_then(|bytes| bytes.get(..len));
        read.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn sealed(criterion: &mut Criterion) {
    let mut entries: Vec<(SeriesKey, [u8; 12])> = keys().into_iter().map(|key| (key, [0xAB; 12])).collect();
    entries.sort();
    entries.dedup_by(|a, b| a.0 == b.0);
    let seed = Seed::new(&[7; 16], 1);
    let mut group = criterion.benchmark_group("sealed");
    group.sample_size(10);
    let write = || {
        let mut bytes = Vec::new();
        index::write(&entries, 0, &seed, &mut bytes);
        bytes
    };
    group.bench_function("write 1M", |b| b.iter(write));
    let bytes = write();
    println!("sealed: {} bytes a series, 12 of them payload", bytes.len() as f64 / entries.len() as f64);
    let (range, file) = (0..bytes.len() as u64, Arc::new(Memory(bytes)));
    let open = || SealedIndex::open(file.clone(), range.clone(), seed.clone()).unwrap();
    let index = open();
    group.bench_function("read all of 1M", |b| {
        b.iter(|| {
            index.for_each(|_, key, _| {
                black_box(key);
                Ok::<_, index::IndexError>(())
            })
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group("sealed");
    group.bench_function("open", |b| b.iter(open));
    let mut i = 0;
    group.bench_function("find a key", |b| {
        b.iter(|| {
            i += 1;
            index.find(&entries[(mixed(i) % entries.len() as u64) as usize].0).unwrap().unwrap()
        });
    });
    for (what, selector) in SELECTORS {
        let selector: Selector = selector.parse().unwrap();
        group.bench_function(*what, |b| b.iter(|| index.select(black_box(&selector)).unwrap()));
    }
    let docs = index.select(&SELECTORS[0].1.parse().unwrap()).unwrap();
    group.bench_function("entries of 10k", |b| b.iter(|| index.entries(&docs).unwrap()));
    let docs = index.select(&"m7".parse().unwrap()).unwrap();
    group.bench_function("entries of a name of 1k", |b| b.iter(|| index.entries(&docs).unwrap()));
    group.finish();
}

criterion_group!(benches, live, sealed);
criterion_main!(benches);
