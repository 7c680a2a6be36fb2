//! Stores that earlier programs wrote are read for ever: every sample, every summary, every selection, bit for bit. They
//! lie in `testdata/`, whose README says what is in them; nothing ever writes them again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Sample, Selector, SeriesKey, TimeRange, Timestamp};
use sereno_runtime::{Disk, ManualClock, RealDisk};
use sereno_storage::{
    Config, DAY_NANOS, HOUR_NANOS, MINUTE_NANOS, Reads, Recovery, Row, Series, Store, Summary, Want, Windows,
    verify,
};

use crate::{config, key, open_at};

const SECOND: i64 = 1_000_000_000;
/// 2023-11-14, of one flush.
const MONDAY: i64 = 19_675 * DAY_NANOS;
/// A day that is over and merged.
const TUESDAY: i64 = MONDAY + DAY_NANOS;
/// The day that goes on.
const WEDNESDAY: i64 = TUESDAY + DAY_NANOS;
const NOW: Timestamp = Timestamp::from_nanos(WEDNESDAY + 20 * HOUR_NANOS);

/// What both versions are asked for beside their series.
const SELECTORS: [&str; 12] = [
    "*",
    "many",
    "temp*",
    r#"many{rack="3"}"#,
    r#"many{half="1"}"#,
    r#"many{host=~"h-0.*7"}"#,
    r#"many{rack!="3",half="0"}"#,
    r#"*{room=~".+"}"#,
    r#"*{room!~"a|b"}"#,
    r#"long{text=~".*7"}"#,
    r#"*{disk="3"}"#,
    "no.such",
];

pub fn testdata(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata").join(version)
}

/// Opens, flushes, merges and reopens a copy of a golden store, and compares all answers at each step. Gives what the
/// first start found.
pub fn check(version: &str, inspect: impl Fn(&Path, &Store)) -> Recovery {
    let expected = fs::read_to_string(testdata(version).join("expected.txt")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    copy(&testdata(version), &path);
    verify_good(&path);
    let (store, recovery) = open(&path, 1);
    assert!(!recovery.is_damaged() && recovery.torn_bytes == 0, "{recovery:?}");
    compare(&store, &expected, "as it was written");
    inspect(&path, &store);
    store.flush().unwrap();
    compare(&store, &expected, "flushed");
    store.compact().unwrap();
    compare(&store, &expected, "merged");
    store.close();
    drop(store);
    verify_good(&path);
    compare(&open(&path, 3).0, &expected, "reopened");
    recovery
}

/// The version that a file says it has, behind its magic.
pub fn version_of(file: &Path) -> u32 {
    u32::from_le_bytes(fs::read(file).unwrap()[8..12].try_into().unwrap())
}

pub fn versions_in(folder: &Path) -> Vec<u32> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| version_of(file)).collect()
}

#[test]
fn version_2_is_read_for_ever() {
    let golden = testdata("store-v2");
    assert_eq!(version_of(&golden.join("STORE")), 2);
    assert_eq!(versions_in(&golden.join("wal")), [2, 2, 2]);
    assert_eq!(versions_in(&golden.join("manifest")), [1, 1]);
    let segments = versions_in(&golden.join("segments"));
    assert!(segments.iter().all(|version| *version == 1), "{segments:?}");
    let recovery = check("store-v2", |_, store| {
        let stats = store.stats();
        let per_level: Vec<_> = stats.levels.iter().map(|level| level.segments).collect();
        assert_eq!(per_level.iter().sum::<u64>(), segments.len() as u64);
        assert!(per_level.iter().all(|segments| *segments > 0), "each level is there: {per_level:?}");
        // Rows are compared too, not only the samples that they stand for.
        let snapshot = store.snapshot();
        let hours = Windows::new(TimeRange::new(Timestamp::from_nanos(TUESDAY), NOW), HOUR_NANOS as u64);
        let mut reads = Reads::default();
        for series in snapshot.select(&"second.*".parse().unwrap(), TimeRange::ALL).unwrap() {
            series.fold(hours, Want::Values, &mut reads, |_, _| {}).unwrap();
        }
        assert!(reads.rows > 5 && reads.samples == 0, "{reads:?}");
    });
    assert_eq!(recovery.files, 3);
}

#[test]
fn version_1_is_read_and_upgraded() {
    let golden = testdata("store-v1");
    assert_eq!(version_of(&golden.join("STORE")), 1);
    assert_eq!(versions_in(&golden.join("wal")), [1, 1, 1, 1]);
    let identity = |store: &Path| fs::read(store.join("STORE")).unwrap()[12..40].to_vec();
    let recovery = check("store-v1", |path, _| {
        assert_eq!(version_of(&path.join("STORE")), 2, "a program that knows the log only must not take it");
        assert_eq!(identity(path), identity(&golden), "its queues, its id and its age are what they were");
    });
    assert_eq!(recovery.files, 4);
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.file_name().and_then(|name| name.to_str()) {
            Some("LOCK" | "expected.txt") => {}
            _ if path.is_dir() => copy(&path, &target),
            _ => fs::write(target, fs::read(path).unwrap()).unwrap(),
        }
    }
}

fn verify_good(path: &Path) {
    let report = verify(path, &(Arc::new(RealDisk) as Arc<dyn Disk>)).unwrap();
    assert!(report.is_good() && report.lost_samples() == 0, "{report}");
}

fn golden_config(path: &Path, writers: u32) -> Config {
    // Merges what is due at once; the clock stands still, so no flush is.
    Config { writers, flush_interval: Duration::from_millis(10), ..config(path) }
}

pub fn open(path: &Path, writers: u32) -> (Store, Recovery) {
    open_at(&golden_config(path, writers), Arc::new(ManualClock::new(NOW)))
}

/// Names the first line that differs, not two walls of text.
fn compare(store: &Store, expected: &str, when: &str) {
    let found = answers_of(store);
    let (mut found, mut expected) = (found.lines(), expected.lines());
    let mut series = "";
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return,
            (found, wanted) => {
                series = wanted.filter(|line| !line.starts_with(' ')).unwrap_or(series);
                assert_eq!(found, wanted, "{when}: {series}");
            }
        }
    }
}

/// What the store answers, in the words of `expected.txt`.
pub fn answers_of(store: &Store) -> String {
    let snapshot = store.snapshot();
    let select = |text: &str| snapshot.select(&text.parse().unwrap(), TimeRange::ALL).unwrap();
    let mut text = String::new();
    for selector in SELECTORS {
        let keys: Vec<_> = select(selector).iter().map(|series| series.key().clone()).collect();
        put_selection(&mut text, selector, &keys);
    }
    for series in select("*") {
        let samples = series.read(TimeRange::ALL, &mut Reads::default()).unwrap();
        put_series(&mut text, series.key(), &samples, |length| folded(&series, &samples, length));
    }
    text
}

fn put_selection(text: &mut String, selector: &str, keys: &[SeriesKey]) {
    let mut crc = crc32fast::Hasher::new();
    keys.iter().for_each(|key| crc.update(format!("{key}\n").as_bytes()));
    writeln!(text, "select {selector}\n  {} series {:08x}", keys.len(), crc.finalize()).unwrap();
}

/// A window's start and what is in it.
type Folds = Vec<(i64, Summary)>;

fn put_series(text: &mut String, key: &SeriesKey, samples: &[Sample], folds: impl Fn(i64) -> Folds) {
    let mut crc = crc32fast::Hasher::new();
    for sample in samples {
        crc.update(&sample.time.nanos().to_le_bytes());
        crc.update(&sample.value.to_bits().to_le_bytes());
    }
    let end = |sample: &Sample| format!("{}={:016x}", sample.time.nanos(), sample.value.to_bits());
    let (first, last) = (end(&samples[0]), end(&samples[samples.len() - 1]));
    writeln!(text, "series {key}\n  {} samples {:08x} {first} {last}", samples.len(), crc.finalize())
        .unwrap();
    let [hours, minutes] = [HOUR_NANOS, MINUTE_NANOS].map(&folds);
    let crcs = [crc_of(&hours), crc_of(&minutes)];
    writeln!(text, "  {} hours {:08x}, {} minutes {:08x}", hours.len(), crcs[0], minutes.len(), crcs[1])
        .unwrap();
}

fn crc_of(folds: &Folds) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for (start, window) in folds {
        crc.update(&start.to_le_bytes());
        crc.update(&window.count.to_le_bytes());
        crc.update(&window.falls.to_le_bytes());
        let Summary { sum, min, max, first, last, dropped, .. } = *window;
        for number in [sum, min, max, first, last, dropped] {
            // Arithmetic may give NaN any bits.
            let bits = if number.is_nan() { u64::MAX } else { number.to_bits() };
            crc.update(&bits.to_le_bytes());
        }
    }
    crc.finalize()
}

fn folded(series: &Series, samples: &[Sample], length: i64) -> Folds {
    let (first, last) = (samples[0].time.nanos(), samples[samples.len() - 1].time.nanos());
    let start = first.div_euclid(length) * length;
    let range = TimeRange::new(Timestamp::from_nanos(start), Timestamp::from_nanos(last + 1));
    let mut folds = Folds::new();
    let windows = Windows::new(range, length as u64);
    series
        .fold(windows, Want::All, &mut Reads::default(), |index, window| {
            folds.push((start + index as i64 * length, *window));
        })
        .unwrap();
    folds
}

/// How the golden store of version 2 was made, and its answers without it: from a map of all that was sent.
mod make {
    use super::*;

    type Model = BTreeMap<SeriesKey, BTreeMap<i64, f64>>;

    /// The fold as the contract words it.
    fn folded(samples: &[Sample], length: i64) -> Folds {
        let slot = |sample: &Sample, length: i64| sample.time.nanos().div_euclid(length);
        let same = |length| move |a: &Sample, b: &Sample| slot(a, length) == slot(b, length);
        let window = |samples: &[Sample]| {
            let mut window = Summary::EMPTY;
            for minute in samples.chunk_by(same(MINUTE_NANOS)) {
                let mut whole = Summary::EMPTY;
                minute.iter().for_each(|sample| whole.push(sample.value));
                window.append(&whole);
            }
            window
        };
        // A window of an hour or less is that of its one hour: 0 + x is x, but for -0.
        let outer = |samples: &[Sample]| {
            let mut outer = Summary::EMPTY;
            outer.append(&window(samples));
            outer
        };
        samples.chunk_by(same(length)).map(|part| (slot(&part[0], length) * length, outer(part))).collect()
    }

    fn expected(model: &Model) -> String {
        let mut text = String::new();
        for selector in SELECTORS {
            let parsed: Selector = selector.parse().unwrap();
            let keys: Vec<_> = model.keys().filter(|key| parsed.matches(key)).cloned().collect();
            put_selection(&mut text, selector, &keys);
        }
        for (key, samples) in model {
            let sample =
                |(time, value): (&i64, &f64)| Sample { time: Timestamp::from_nanos(*time), value: *value };
            let samples: Vec<_> = samples.iter().map(sample).collect();
            put_series(&mut text, key, &samples, |length| folded(&samples, length));
        }
        text
    }

    struct Maker {
        store: Store,
        model: Model,
        random: u64,
    }

    impl Maker {
        fn send(&mut self, series: &str, samples: impl IntoIterator<Item = (i64, f64)>) {
            let id = self.store.series(&key(series)).unwrap();
            let samples: Vec<_> = samples.into_iter().collect();
            for part in samples.chunks(1_000) {
                let row = |(time, value): &(i64, f64)| Row::at(id, Timestamp::from_nanos(*time), *value);
                assert!(self.store.append(part.iter().map(row).collect()).wait().is_ok());
            }
            self.model.entry(key(series)).or_default().extend(samples);
        }

        /// The next of splitmix64.
        fn bits(&mut self) -> u64 {
            self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        }

        fn below(&mut self, end: u64) -> i64 {
            (self.bits() % end) as i64
        }

        /// Normal, about: mean 0, deviation 1.
        fn normal(&mut self) -> f64 {
            (0..12).map(|_| (self.bits() >> 11) as f64 / 9_007_199_254_740_992.0).sum::<f64>() - 6.0
        }

        fn walk(&mut self, count: usize, step: impl Fn(&mut Self) -> f64, unit: f64) -> Vec<f64> {
            let mut sum = 0.0;
            let mut next = || {
                sum += step(self);
                sum / unit
            };
            (0..count).map(|_| next()).collect()
        }

        fn list(&mut self, count: usize, value: impl Fn(&mut Self, usize) -> f64) -> Vec<f64> {
            (0..count).map(|index| value(self, index)).collect()
        }

        /// What both halves of Tuesday have: one series for each way to write values, and times.
        fn tuesday(&mut self, start: i64) {
            let every = |step: i64| (0..).map(move |n| start + n * step * SECOND);
            let hundredths = self.walk(1_080, |m| (m.below(101) - 50) as f64, 100.0);
            self.send(r#"temp.walk{room="a"}"#, every(10).zip(hundredths));
            let noise = self.list(600, |m, _| (m.normal() * 700.0) as i64 as f64 / 100.0);
            self.send(r#"temp.noise{room="b"}"#, every(30).zip(noise));
            let counter = self.walk(600, |m| m.below(101) as f64, 1.0);
            let resets = counter.iter().enumerate().map(|(n, value)| value - counter[n / 200 * 200]);
            self.send("counter.resets", every(30).zip(resets));
            self.send("counter.even", every(15).zip((0..600).map(|n| f64::from(n) * 0.5)));
            self.send("counter.grows", every(15).zip((0..300).map(|n| f64::from(n * n))));
            self.send("constant", every(60).zip([21.5; 200]));
            self.send("constant.nan", every(60).zip([f64::NAN; 100]));
            self.send("constant.third", every(60).zip([1.0 / 3.0; 100]));
            let fives = self.list(300, |m, _| (m.below(20) * 5) as f64);
            self.send("fives", every(60).zip(fives));
            let spikes = self.list(400, |m, n| if n % 90 == 7 { 1e9 + n as f64 } else { m.below(2) as f64 });
            self.send("spikes", every(15).zip(spikes));
            let special = [
                0x7FF8_0000_0000_0ABC,
                0xFFF0_0000_0000_0000,
                0x8000_0000_0000_0000,
                1,
                0x7FEF_FFFF_FFFF_FFFF,
            ];
            let stale = self.list(300, |m, n| match n % 25 {
                3 => f64::from_bits(special[n / 25 % 5]),
                _ => m.below(1_000) as f64 / 10.0,
            });
            self.send(r#"temp.stale{room="c"}"#, every(15).zip(stale));
            let normal = self.list(400, |m, _| 50.0 + m.normal());
            self.send("floats.normal", every(15).zip(normal));
            let single = self.list(400, |m, _| f64::from(m.normal() as f32));
            self.send("floats.single", every(15).zip(single));
            let multiples = self.walk(400, |m| (m.below(9) - 4) as f64 * 0.0037, 1.0);
            self.send("floats.multiples", every(15).zip(multiples));
            let tenths = self.walk(400, |_| 0.1, 1.0);
            self.send("floats.tenths", every(15).zip(tenths));
            let drift = self.walk(400, |m| m.normal() / 1e5, 0.7);
            self.send("floats.drift", every(15).zip(drift));
            let any = self.list(150, |m, _| f64::from_bits(m.bits()));
            self.send("floats.any", every(15).zip(any));
            let uniform = self.list(150, |m, _| 1.0 + (m.bits() >> 11) as f64 / 9_007_199_254_740_992.0);
            self.send("floats.uniform", every(15).zip(uniform));
            let jitter: Vec<_> = every(10).take(400).map(|time| time + self.below(20) * 1_000_000).collect();
            self.send("times.jitter", jitter.into_iter().zip((0..).map(f64::from)));
            let bell: Vec<_> = every(10).take(400).map(|time| time + (self.normal() * 3e6) as i64).collect();
            self.send("times.bell", bell.into_iter().zip((0..).map(f64::from)));
            let gaps =
                every(10).take(500).enumerate().filter(|(n, _)| !(100..140).contains(n) && n % 97 != 5);
            let gaps: Vec<_> = gaps.map(|(n, time)| (time + self.below(3), n as f64)).collect();
            self.send("times.gaps", gaps);
            let irregular = self.walk(300, |m| m.below(90 * SECOND as u64) as f64, 1.0);
            self.send("times.irregular", irregular.into_iter().map(|off| (start + 1 + off as i64, off)));
        }

        /// Every second: minutes have rows.
        fn seconds(&mut self, start: i64) {
            let every = || (0..).map(move |n| start + n * SECOND);
            self.send("second.even", every().zip((0..5_000).map(f64::from)));
            let walk = self.walk(3_600, |m| (m.below(7) - 3) as f64, 10.0);
            self.send("second.walk", every().zip(walk));
            let counter = self.walk(2_400, |m| m.below(9) as f64, 8.0);
            let resets = counter.iter().enumerate().map(|(n, value)| value - counter[n / 500 * 500]);
            self.send(r#"second.counter{room="d"}"#, every().zip(resets));
            let floats = self.list(900, |m, _| m.normal() / 3.0);
            self.send("second.floats", every().zip(floats));
            let huge = self.list(600, |_, n| if n / 120 == 2 { f64::MAX } else { n as f64 });
            self.send("huge", every().zip(huge));
        }

        /// Keys for each form of posting, of one group, so that they meet in one index.
        fn many(&mut self, time: i64) {
            let of_group = |text: &String| key(text).queue(8) % 4 == 1;
            let host = |n| format!(r#"many{{half="{}",host="h-{n:04}",rack="{}"}}"#, n % 2, n % 9);
            for (n, series) in (0..1_000).map(host).filter(of_group).enumerate() {
                self.send(&series, [(time + n as i64, n as f64)]);
            }
            for n in 0..9 {
                let text: String = (0..600).map(|_| char::from(b'a' + self.below(26) as u8)).collect();
                let series =
                    (0..).map(|m| format!(r#"long{{m="{m}",text="{text}{n}"}}"#)).find(of_group).unwrap();
                self.send(&series, [(time, f64::from(n))]);
            }
            self.send(r#"temp.walk{room="kitchen \"é\""}"#, [(time, -273.15)]);
            self.send("ancient", [(-2_051_222_400 * SECOND - 7, 1.5), (-1, -0.0), (0, 2.5)]);
        }
    }

    fn finish_merging(store: &Store, level: usize) {
        while store.stats().levels[level].segments < 4 {
            std::thread::yield_now();
        }
    }

    #[test]
    #[ignore = "made the golden store once; a store of a later version gets a folder of its own"]
    fn store() {
        let target = std::env::var_os("SERENO_GOLDEN_TARGET").expect("a folder that does not exist yet");
        let target = Path::new(&target);
        assert!(!target.exists(), "golden stores are never written again");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let mut maker = Maker { store: open(&path, 1).0, model: Model::new(), random: 2 };
        maker.many(MONDAY + 7 * HOUR_NANOS);
        maker.send(r#"temp.walk{room="a"}"#, (0..50).map(|n| (MONDAY + n * 10 * SECOND, n as f64 / 8.0)));
        maker.store.flush().unwrap();
        maker.tuesday(TUESDAY);
        maker.seconds(TUESDAY + 9 * HOUR_NANOS);
        maker.store.flush().unwrap();
        maker.tuesday(TUESDAY + 12 * HOUR_NANOS);
        // Late, between the others, and in place of them.
        maker.send("constant", (0..20).map(|n| (TUESDAY + n * 45 * SECOND, 22.5)));
        maker.store.flush().unwrap();
        maker.store.compact().unwrap();
        assert!(maker.store.stats().levels[2].segments >= 4, "{:?}", maker.store.stats());
        // Too few to rewrite the day for.
        maker.send("constant", [(TUESDAY, 0.25), (TUESDAY + 7, 0.5), (TUESDAY + 11 * HOUR_NANOS, 0.75)]);
        for flush in 0..8 {
            for disk in 0..12 {
                let start = WEDNESDAY + flush * HOUR_NANOS;
                let used = maker.list(20, |m, _| (m.below(3_000) + disk) as f64 / 1_000.0);
                maker.send(
                    &format!(r#"disk.used{{disk="{disk}"}}"#),
                    (0..).map(|n| start + n * 60 * SECOND).zip(used),
                );
            }
            maker.store.flush().unwrap();
        }
        finish_merging(&maker.store, 1);
        maker.seconds(WEDNESDAY + 9 * HOUR_NANOS);
        let stale = maker.list(100, |m, n| if n % 9 == 0 { f64::NAN } else { m.below(50) as f64 });
        maker.send(r#"temp.stale{room="c"}"#, (0..).map(|n| WEDNESDAY + n * 300 * SECOND).zip(stale));
        let times: Vec<_> =
            (0..200).map(|n| WEDNESDAY + n * 30 * SECOND + maker.below(9) * 1_000_000).collect();
        let normal = maker.list(200, |m, _| m.normal());
        maker.send("floats.normal", times.into_iter().zip(normal));
        maker.store.flush().unwrap();
        tail(&mut maker, WEDNESDAY + 19 * HOUR_NANOS);
        maker.store.close();
        drop(maker.store);
        maker.store = open(&path, 2).0;
        tail(&mut maker, WEDNESDAY + 19 * HOUR_NANOS + 300 * SECOND);
        maker.send("constant.third", [(TUESDAY + 60 * SECOND, 2.0 / 3.0)]);
        // As a process leaves it that is killed: the last files are not closed.
        copy(&path, target);
        let expected = expected(&maker.model);
        compare(&maker.store, &expected, "the store and the map");
        fs::write(target.join("expected.txt"), expected).unwrap();
        println!("{:?}", maker.store.stats());
    }

    /// What is in the log only.
    fn tail(maker: &mut Maker, start: i64) {
        for disk in 0..12 {
            let samples = (0..8).map(|n| (start + n * 60 * SECOND, (n + disk) as f64 / 4.0));
            maker.send(&format!(r#"disk.used{{disk="{disk}"}}"#), samples);
        }
        // Many series at one time, which the log writes once.
        let rows: Vec<_> = (0..30).map(|n| (format!(r#"one.time{{n="{n}"}}"#), f64::from(n))).collect();
        let ids: Vec<_> = rows.iter().map(|(series, _)| maker.store.series(&key(series)).unwrap()).collect();
        let row = |(id, (_, value)): (&_, &(String, f64))| Row::at(*id, Timestamp::from_nanos(start), *value);
        assert!(maker.store.append(ids.iter().zip(&rows).map(row).collect()).wait().is_ok());
        rows.iter().for_each(|(series, value)| {
            maker.model.entry(key(series)).or_default().insert(start, *value);
        });
        // Stamped by the store: the clock, and a nanosecond more for each.
        let id = maker.store.series(&key("stamped")).unwrap();
        assert!(maker.store.append((0..5).map(|n| Row::now(id, f64::from(n))).collect()).wait().is_ok());
        let stamped = maker.model.entry(key("stamped")).or_default();
        let first = stamped.keys().next_back().map_or(NOW.nanos(), |last| last + 1);
        stamped.extend((0..5).map(|n| (first + i64::from(n), f64::from(n))));
        maker.send(r#"temp.walk{room="a"}"#, [(TUESDAY + 10 * SECOND, 99.5), (start, f64::INFINITY)]);
    }
}
