//! A remembered selection equals a fresh one, whatever came and went, in whichever snapshot it is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sereno_model::{Selector, SeriesKey, TimeRange, Timestamp};
use sereno_runtime::{ManualClock, MemoryDisk, Metrics};
use sereno_storage::{Config, Reads, Row, Selection, Series, Snapshot, Store, Want};

use crate::NOW;

const DAY: Duration = Duration::from_secs(86_400);
const IDLE: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug)]
enum Step {
    /// (metric, label, minutes before now)
    Append(Vec<(u8, u8, u16)>),
    /// A series that is known and has no sample.
    Know(u8, u8),
    Flush,
    Compact,
    /// Time passes: series fall silent and are retired at a flush, days fall out of retention.
    Wait {
        hours: u8,
    },
    Expire,
    /// Another store with the same files.
    Reopen,
    /// A snapshot is kept and looked at later.
    Keep,
    /// (selection, snapshot, range, what else)
    Look(usize, usize, (u16, u16), Look),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    Plain,
    Release,
    Prefetch,
    /// At an earlier time of the snapshot.
    At(u16),
}

const SELECTORS: [&str; 6] = ["m0", r#"m1{n="1"}"#, r#"m1{n=~"0|2"}"#, "m?", r#"*{n!="1"}"#, r#"m3{n="0"}"#];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ago = prop_oneof![3 => 0_u16..90, 1 => 0_u16..6_000];
    let rows = proptest::collection::vec((0_u8..4, 0_u8..3, ago.clone()), 1..12);
    let look = prop_oneof![
        4 => Just(Look::Plain),
        2 => Just(Look::Release),
        1 => Just(Look::Prefetch),
        2 => (0_u16..90).prop_map(Look::At)
    ];
    let look = (0..SELECTORS.len(), 0_usize..4, (ago, 1_u16..120), look)
        .prop_map(|(selection, snapshot, range, look)| Step::Look(selection, snapshot, range, look));
    let step = prop_oneof![
        4 => rows.prop_map(Step::Append),
        1 => (0_u8..4, 0_u8..3).prop_map(|(metric, label)| Step::Know(metric, label)),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => (1_u8..30).prop_map(|hours| Step::Wait { hours }),
        1 => Just(Step::Expire),
        1 => Just(Step::Reopen),
        1 => Just(Step::Keep),
        14 => look,
    ];
    proptest::collection::vec(step, 1..80)
}

struct World {
    disk: MemoryDisk,
    clock: Arc<ManualClock>,
    config: Config,
    store: Option<Store>,
    kept: Vec<Snapshot>,
    selections: Vec<(Selection, Option<Vec<SeriesKey>>)>,
    /// How often an answer was said to have the keys of the last one.
    unchanged: u32,
}

fn minutes(count: u16) -> Duration {
    Duration::from_secs(60 * u64::from(count))
}

fn key(metric: u8, label: u8) -> SeriesKey {
    SeriesKey::new(&format!("m{metric}"), [("n", label.to_string())]).unwrap()
}

impl World {
    fn new() -> Self {
        let config = Config {
            directory: PathBuf::from("/store"),
            queues: 4,
            series_idle: IDLE,
            flush_interval: DAY * 10_000,
            retention: 3 * DAY,
            ..Config::default()
        };
        let (disk, clock) = (MemoryDisk::new(), Arc::new(ManualClock::new(NOW)));
        let store = Some(open(&config, &disk, &clock));
        let selection = |text: &&str| (Selection::new(text.parse::<Selector>().unwrap()), None);
        let selections = SELECTORS.iter().map(selection).collect();
        Self { disk, clock, config, store, kept: Vec::new(), selections, unchanged: 0 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn now(&self) -> Timestamp {
        sereno_runtime::Clock::now(&*self.clock)
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Append(rows) => {
                let row = |(metric, label, ago): &(u8, u8, u16)| {
                    let id = self.store().series(&key(*metric, *label)).unwrap();
                    Row::at(id, self.now() - minutes(*ago), f64::from(*ago) / 3.0)
                };
                // Some may be too old to be kept.
                drop(self.store().append(rows.iter().map(row).collect()).wait());
            }
            Step::Know(metric, label) => {
                self.store().series(&key(*metric, *label)).unwrap();
            }
            Step::Flush => self.store().flush().unwrap(),
            Step::Compact => self.store().compact().unwrap(),
            Step::Wait { hours } => self.clock.advance(minutes(u16::from(*hours) * 60)),
            Step::Expire => self.store().expire().unwrap(),
            Step::Reopen => {
                self.store().close();
                self.store = None;
                self.store = Some(open(&self.config, &self.disk, &self.clock));
            }
            Step::Keep => self.kept.push(self.store().snapshot()),
            Step::Look(selection, snapshot, range, look) => {
                self.look(*selection, *snapshot, *range, *look)?
            }
        }
        Ok(())
    }

    fn look(
        &mut self,
        selection: usize,
        snapshot: usize,
        (ago, length): (u16, u16),
        look: Look,
    ) -> Result<(), TestCaseError> {
        let snapshot = self.kept.get(snapshot).cloned().unwrap_or_else(|| self.store().snapshot());
        let end = self.now() - minutes(ago) + Duration::from_secs(30);
        let range = TimeRange::before(end, minutes(length));
        let snapshot = match look {
            Look::At(ago) => snapshot.at(self.now() - minutes(ago)),
            _ => snapshot,
        };
        let (selection, before) = &mut self.selections[selection];
        if look == Look::Prefetch {
            selection.prefetch(&snapshot, range, &mut Reads::default()).unwrap();
        }
        let expected = snapshot.select(selection.selector(), range).unwrap();
        let (found, changed) = selection.series(&snapshot, range).unwrap();
        let keys: Vec<SeriesKey> = found.iter().map(|series| series.key().clone()).collect();
        prop_assert_eq!(&keys, &expected.iter().map(|series| series.key().clone()).collect::<Vec<_>>());
        prop_assert_eq!(changed, before.as_ref() != Some(&keys), "{:?} after {:?}", keys, before);
        self.unchanged += u32::from(!changed);
        *before = Some(keys);
        for (found, expected) in found.iter().zip(&expected) {
            for range in [range, TimeRange::ALL, TimeRange::before(range.start, minutes(600))] {
                prop_assert_eq!(everything(found, range), everything(expected, range), "{:?}", range);
            }
        }
        if look == Look::Release {
            selection.release();
        }
        Ok(())
    }
}

fn open(config: &Config, disk: &MemoryDisk, clock: &Arc<ManualClock>) -> Store {
    let disk = Arc::new(disk.clone());
    let store = Store::open(config, disk, clock.clone(), &Metrics::default()).unwrap();
    assert!(!store.wait_recovered().is_damaged());
    store
}

/// All that can be read of a series in a range, without what only tells how it was read.
fn everything(series: &Series, range: TimeRange) -> String {
    let mut reads = Reads::default();
    let samples = series.read(range, &mut reads).unwrap();
    let measure = series.measure(range, Want::All, &mut reads).unwrap();
    let (first, before) = (series.first_in(range, &mut reads), series.last_before(range.end, &mut reads));
    format!("{samples:?} {measure:?} {first:?} {before:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_remembered_selection_equals_a_fresh_one(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.take(step)?;
        }
    }
}

#[test]
fn a_selection_follows_its_metric_alone() {
    let mut world = World::new();
    let append = |world: &mut World, rows: &[(u8, u8, u16)]| {
        world.take(&Step::Append(rows.to_vec())).unwrap();
    };
    let look = |world: &mut World| world.take(&Step::Look(0, 9, (0, 60), Look::Release)).unwrap();
    append(&mut world, &[(0, 0, 5)]);
    look(&mut world);
    // What is known and not born is asked for each time.
    for step in [Step::Know(0, 1), Step::Keep] {
        world.take(&step).unwrap();
        look(&mut world);
    }
    append(&mut world, &[(0, 1, 5), (1, 0, 5)]);
    look(&mut world);
    assert_eq!(world.selections[0].1.as_ref().map(Vec::len), Some(2));
    // The snapshot that was kept does not know the second one.
    world.take(&Step::Look(0, 0, (0, 60), Look::Plain)).unwrap();
    assert_eq!(world.selections[0].1.as_ref().map(Vec::len), Some(1));
    let unchanged = world.unchanged;
    for n in 0..3 {
        append(&mut world, &[(2, n, 5)]);
        world.take(&Step::Look(0, 0, (0, 60 + u16::from(n)), Look::Plain)).unwrap();
    }
    assert_eq!(world.unchanged, unchanged + 3);
}
