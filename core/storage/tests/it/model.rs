//! The store equals a map of maps, after any appends and reopenings, with any number of writers.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sereno_model::{Sample, SeriesKey, Timestamp};
use sereno_storage::{Config, Row, Store};

use crate::{config, dump, open};

#[derive(Clone, Debug)]
enum Step {
    /// (series, time in minutes, bits of the value)
    Append(Vec<(u8, i64, u64)>),
    Flush,
    Compact,
    Reopen {
        writers: u32,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few series and times, so that samples come late and replace each other; any bits, so NaN and -0.0 too. Times
    // reach over two days.
    let bits = prop_oneof![any::<u64>(), (-50_i32..50).prop_map(|n| (f64::from(n) / 10.0).to_bits())];
    let row = (0_u8..12, 1_400_i64..1_480, bits);
    let append = proptest::collection::vec(row, 0..60).prop_map(Step::Append);
    let reopen = (1_u32..=8).prop_map(|writers| Step::Reopen { writers });
    let step = prop_oneof![8 => append, 3 => Just(Step::Flush), 2 => Just(Step::Compact), 1 => reopen];
    proptest::collection::vec(step, 1..25)
}

type Model = BTreeMap<SeriesKey, BTreeMap<i64, u64>>;

fn series(number: u8) -> SeriesKey {
    SeriesKey::new("m", [("n", number.to_string())]).unwrap()
}

fn append(store: &Store, model: &mut Model, rows: &[(u8, i64, u64)]) {
    let row = |(number, millis, bits): &(u8, i64, u64)| {
        let id = store.series(&series(*number)).unwrap();
        Row::at(id, Timestamp::from_millis(*millis * 60_000), f64::from_bits(*bits))
    };
    assert!(store.append(rows.iter().map(row).collect()).wait().is_ok());
    for (number, millis, bits) in rows {
        model.entry(series(*number)).or_default().insert(*millis, *bits);
    }
}

fn expected(model: &Model) -> Vec<(String, Vec<(i64, u64)>)> {
    model.iter().map(|(key, samples)| (key.to_string(), samples.clone().into_iter().collect())).collect()
}

fn stored(store: &Store) -> Vec<(String, Vec<(i64, u64)>)> {
    let bits = |sample: Sample| (sample.time.millis() / 60_000, sample.value.to_bits());
    let all = dump(&store.snapshot()).into_iter();
    all.map(|(key, samples)| (key, samples.into_iter().map(bits).collect())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn equals_a_map(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        let mut model = Model::new();
        let (mut store, _) = open(&config);
        for step in &steps {
            match step {
                Step::Append(rows) => append(&store, &mut model, rows),
                Step::Flush => store.flush().unwrap(),
                Step::Compact => store.compact().unwrap(),
                Step::Reopen { writers } => {
                    config = Config { writers: *writers, ..config };
                    drop(store);
                    store = open(&config).0;
                }
            }
            prop_assert_eq!(stored(&store), expected(&model));
        }
    }
}

#[test]
fn long_batches_over_many_writers_and_files_arrive_whole() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { writers: 3, queue_samples_max: 1 << 20, ..config(directory.path()) };
    let (store, _) = open(&config);
    let mut model = Model::new();
    let rows: Vec<_> = (0..200_000_u64).map(|n| ((n % 12) as u8, n as i64, n)).collect();
    append(&store, &mut model, &rows);
    assert_eq!(stored(&store), expected(&model));
    drop(store);
    let (store, recovery) = open(&config);
    assert!(recovery.files > 3, "the log went over several files: {recovery:?}");
    assert_eq!(stored(&store), expected(&model));
}
