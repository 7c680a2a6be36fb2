//! Range queries over a day of 1,000 gauges, a sample every 10 s, in compacted segments whose pages are in memory.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sereno_model::{Selector, SeriesKey, TimeRange, Timestamp};
use sereno_query::{Across, Alignment, Budget, Grouping, Native, RangeQuery, anchored, range_query};
use sereno_runtime::{Clock, ManualClock, Metrics, RealDisk};
use sereno_storage::{Config, Row, Snapshot, Store};

const SERIES: usize = 1_000;
const DAY: i64 = 86_400;
const BEGIN: i64 = 20_000 * DAY;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis((BEGIN + second) * 1_000)
}

fn key(index: usize) -> SeriesKey {
    let (host, region) = (format!("host-{index:04}"), format!("r-{}", index % 10));
    SeriesKey::new("load", [("host", host.as_str()), ("region", region.as_str())]).expect("a series")
}

fn fill(store: &Store) {
    let mut seed = 1_u64;
    for index in 0..SERIES {
        let id = store.series(&key(index)).expect("room");
        let mut level = 5_000_i64;
        let rows = (0..DAY / 10).map(|tick| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            level += (seed >> 33) as i64 % 41 - 20;
            Row::at(id, at(tick * 10), level as f64 / 100.0)
        });
        assert!(store.append(rows.collect()).wait().is_ok(), "the samples are taken");
    }
    store.flush().expect("flushed");
    store.compact().expect("compacted");
}

fn query(selector: Selector, range: (i64, i64), window_secs: u64, reducer: Native) -> RangeQuery {
    RangeQuery {
        selector,
        range: TimeRange::new(at(range.0), at(range.1)),
        window: Duration::from_secs(window_secs),
        step: Duration::from_secs(window_secs),
        alignment: Alignment::Epoch,
        by: Grouping::All,
        across: Some(Across::Sum),
        reducer: Arc::new(reducer),
    }
}

fn ranges(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(at(DAY)));
    let config = Config {
        directory: directory.path().to_owned(),
        queue_samples_max: 1 << 20,
        wal_bytes_max: 4 << 30,
        ..Config::default()
    };
    let store = Store::open(&config, Arc::new(RealDisk), clock.clone(), &Metrics::default()).expect("opened");
    fill(&store);
    let snapshot = store.snapshot();
    let all = Selector::exact("load");
    let every = all.clone();
    let one: Selector = "load{host=\"host-0123\"}".parse().expect("a selector");
    let mut bench = |name: &str, query: &RangeQuery, threads: usize| {
        let budget =
            Budget { threads, samples_max: u64::MAX, ..Budget::new(clock.clone(), Duration::from_secs(60)) };
        let run = |snapshot: &Snapshot| range_query(snapshot, query, &budget).expect("an answer");
        criterion.bench_function(name, |b| b.iter(|| run(black_box(&snapshot))));
    };
    let mean = query(all.clone(), (0, DAY), 300, Native::Mean);
    bench("mean 5m, 1000 series, 24h, summed, 1 thread", &mean, 1);
    bench("mean 5m, 1000 series, 24h, summed, 2 threads", &mean, 2);
    bench(
        "mean 1h, 1000 series, 24h, pooled, 1 thread",
        &RangeQuery { across: Some(Across::Pool), ..query(all.clone(), (0, DAY), 3_600, Native::Mean) },
        1,
    );
    bench(
        "p95 5m, 1000 series, 24h, averaged, 2 threads",
        &RangeQuery { across: Some(Across::Mean), ..query(all, (0, DAY), 300, Native::Quantile(0.95)) },
        2,
    );
    let pooled = |by| RangeQuery {
        by,
        across: Some(Across::Pool),
        ..query(every.clone(), (0, DAY), 300, Native::Quantile(0.95))
    };
    bench("p95 5m, 1000 series, 24h, pooled, 2 threads", &pooled(Grouping::All), 2);
    let regions = pooled(Grouping::Labels(vec!["region".to_owned()]));
    bench("p95 5m, 1000 series, 24h, pooled by 10 regions, 2 threads", &regions, 2);
    bench("mean 1m, 1 series, 1h", &query(one.clone(), (36_000, 39_600), 60, Native::Mean), 1);
    bench("mean 1m, 1 series, 24h", &query(one.clone(), (0, DAY), 60, Native::Mean), 1);
    bench("max 1h, 1 series, 24h", &query(one.clone(), (0, DAY), 3_600, Native::Max), 1);
    bench("rate 5m, 1 series, 24h", &query(one.clone(), (0, DAY), 300, Native::Rate), 1);
    let overlapping =
        RangeQuery { step: Duration::from_secs(60), ..query(one.clone(), (0, DAY), 3_600, Native::Mean) };
    bench("mean 1h every 1m, 1 series, 24h", &overlapping, 1);
    let budget = Budget::new(clock.clone(), Duration::from_secs(60));
    let range = TimeRange::new(at(0), at(DAY));
    criterion.bench_function("anchored mean 1m, 1 series, 24h", |b| {
        b.iter(|| anchored(black_box(&snapshot), &one, range, 60.0, &Native::Mean, &budget));
    });
    criterion.bench_function("select 1000", |b| {
        b.iter(|| snapshot.select(black_box(&mean.selector), range).expect("found").len());
    });
    criterion.bench_function("select 1", |b| {
        b.iter(|| snapshot.select(black_box(&one), range).expect("found").len());
    });
}

criterion_group!(benches, ranges);
criterion_main!(benches);
