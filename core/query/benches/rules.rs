//! What a rule reads at a tick: its series, remembered, and a short window of each; and a replay over 30 days from memory.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sereno_model::{Selector, SeriesKey, TimeRange, Timestamp};
use sereno_query::{Across, Native, Tally, measure, prefetch, reduce_group};
use sereno_runtime::{Clock, ManualClock, MemoryDisk, Metrics};
use sereno_storage::{Config, Row, Selection, Store};

const HOSTS: usize = 1_000;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const BEGIN: i64 = 20_000 * DAY;
const MINUTE: Duration = Duration::from_secs(60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis((BEGIN + second) * 1_000)
}

fn open(clock: Arc<dyn Clock>) -> Store {
    let config = Config {
        directory: PathBuf::from("/store"),
        queue_samples_max: 1 << 20,
        wal_bytes_max: 4 << 30,
        ..Config::default()
    };
    Store::open(&config, Arc::new(MemoryDisk::new()), clock, &Metrics::default()).expect("opened")
}

/// Samples of every host, `step` seconds apart.
fn fill(store: &Store, metric: &str, hosts: usize, range: (i64, i64), step: i64) {
    for host in 0..hosts {
        let key = SeriesKey::new(metric, [("host", format!("host-{host:04}"))]).expect("a series");
        let id = store.series(&key).expect("room");
        let times = (range.0..range.1).step_by(step as usize);
        let rows = times.map(|second| Row::at(id, at(second), (second * 37 % 1_009) as f64 / 10.0));
        assert!(store.append(rows.collect()).wait().is_ok(), "the samples are taken");
    }
}

fn live(criterion: &mut Criterion) {
    let store = open(Arc::new(ManualClock::new(at(HOUR))));
    fill(&store, "load", HOSTS, (0, HOUR), 10);
    fill(&store, "fast", 10, (0, HOUR), 1);
    let snapshot = store.snapshot();
    let later = store.snapshot();
    let one: Selector = "load{host=\"host-0123\"}".parse().expect("a selector");
    let range = TimeRange::before(at(HOUR), MINUTE);
    let mut tally = Tally::new(u64::MAX, None);
    criterion.bench_function("open a store of one queue and drop it", |b| {
        let config = Config { directory: PathBuf::from("/store"), queues: 1, ..Config::default() };
        b.iter(|| {
            let clock = Arc::new(ManualClock::new(at(0)));
            Store::open(&config, Arc::new(MemoryDisk::new()), clock, &Metrics::default()).expect("opened")
        });
    });
    criterion.bench_function("snapshot", |b| b.iter(|| store.snapshot()));
    criterion.bench_function("select 1", |b| b.iter(|| snapshot.select(black_box(&one), range)));
    let mut remembered = Selection::new(one.clone());
    criterion.bench_function("select 1, remembered", |b| {
        let mut ticks = [&snapshot, &later].into_iter().cycle();
        b.iter(|| {
            let tick = ticks.next().expect("endless");
            let found = remembered.series(black_box(tick), range).expect("found").0.len();
            remembered.release();
            found
        });
    });
    let mut all = Selection::new(Selector::exact("load"));
    criterion.bench_function("select 1000, remembered", |b| {
        let mut ticks = [&snapshot, &later].into_iter().cycle();
        b.iter(|| {
            let tick = ticks.next().expect("endless");
            let found = all.series(black_box(tick), range).expect("found").0.len();
            all.release();
            found
        });
    });
    let mut fast = Selection::new("fast{host=\"host-0003\"}".parse().expect("a selector"));
    let found = remembered.series(&snapshot, range).expect("found").0.to_vec();
    let busy = fast.series(&snapshot, range).expect("found").0.to_vec();
    criterion.bench_function("mean 1m of 6 samples, a window", |b| {
        b.iter(|| reduce_group(black_box(&found), range, &Native::Mean, None, &tally));
    });
    for native in [Native::Mean, Native::Max, Native::Increase, Native::Median] {
        criterion.bench_function(&format!("{native:?} 1m of 6 samples, measured"), |b| {
            b.iter(|| {
                Tally::renew(&mut tally, u64::MAX, None);
                measure(black_box(&found), range, &native, None, &tally)
            });
        });
    }
    criterion.bench_function("Mean 1m of 60 samples, measured", |b| {
        b.iter(|| measure(black_box(&busy), range, &Native::Mean, None, &tally));
    });
    criterion.bench_function("mean 1m of 6 samples, selected and measured", |b| {
        let mut ticks = [&snapshot, &later].into_iter().cycle();
        b.iter(|| {
            Tally::renew(&mut tally, u64::MAX, None);
            let tick = ticks.next().expect("endless");
            let (found, _) = remembered.series(black_box(tick), range).expect("found");
            let measured = measure(found, range, &Native::Mean, None, &tally).expect("measured");
            remembered.release();
            measured
        });
    });
    let of_all = all.series(&snapshot, range).expect("found").0.to_vec();
    criterion.bench_function("mean 1m of 6 samples, 1000 series pooled, measured", |b| {
        b.iter(|| measure(black_box(&of_all), range, &Native::Mean, Some(Across::Pool), &tally));
    });
    store.flush().expect("flushed");
    let (sealed, _) = remembered.series(&store.snapshot(), range).expect("found");
    let sealed = sealed.to_vec();
    criterion.bench_function("Mean 1m of 6 samples in a segment, measured", |b| {
        b.iter(|| measure(black_box(&sealed), range, &Native::Mean, None, &tally));
    });
}

fn replay(criterion: &mut Criterion) {
    let store = open(Arc::new(ManualClock::new(at(30 * DAY))));
    fill(&store, "load", 4, (0, 30 * DAY), 10);
    store.flush().expect("flushed");
    store.compact().expect("compacted");
    let snapshot = store.snapshot();
    let mut selection = Selection::new("load{host=\"host-0001\"}".parse().expect("a selector"));
    let whole = TimeRange::new(at(0), at(30 * DAY));
    let tally = Tally::new(u64::MAX, None);
    criterion.bench_function("prefetch 30 days", |b| {
        b.iter(|| prefetch(&mut selection, &snapshot, whole, &tally));
    });
    criterion.bench_function("replay of 10,000 ticks of 10 s", |b| {
        let mut tick = 0;
        b.iter(|| {
            let mut sum = 0.0;
            for _ in 0..10_000 {
                tick = (tick + 10) % (30 * DAY);
                let (now, then) = (at(tick), snapshot.at(at(tick)));
                let range = TimeRange::before(now, MINUTE);
                let (series, _) = selection.series(&then, range).expect("found");
                let measured = measure(series, range, &Native::Mean, None, &tally).expect("measured");
                sum += measured.value.number().unwrap_or(0.0);
            }
            sum
        });
    });
}

criterion_group!(benches, live, replay);
criterion_main!(benches);
