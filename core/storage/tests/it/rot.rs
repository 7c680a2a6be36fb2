//! Every byte of every file of a small store rots, and every file is cut at every length. Nothing wrong is ever answered,
//! nothing is lost in silence, and what the damaged part does not hold stays readable.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Selector, TimeRange, Timestamp};
use sereno_runtime::Metrics;
use sereno_runtime::sim_disk::SimDisk;
use sereno_storage::{
    Config, HOUR_NANOS, OpenError, ReadError, Reads, Recovery, Row, Store, Summary, Want, Windows,
};

use crate::journal::{DAY, open_on};
use crate::power::disk_with_directory;
use crate::{NOW, clock, config, key, thorough};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn rot_config() -> Config {
    let never = Duration::from_secs(86_400 * 365);
    Config { queues: 1, sync_interval: never, wal_reserve_bytes: 0, ..config(Path::new("/store")) }
}

/// A merged segment of one day, two of another, a log that was closed and one that was not.
fn small_store() -> SimDisk {
    let (disk, config) = (disk_with_directory(), rot_config());
    let (mut store, _) = open_on(&config, &disk, clock());
    let mut value = 0.0;
    let mut send = |store: &Store, day: u32, second: u64, count: u64| {
        for (shift, name) in (0..).zip(NAMES) {
            let id = store.series(&key(name)).unwrap();
            let time = |n| NOW - DAY * day - Duration::from_secs(second + n * 10 + shift);
            let rows = (0..count).map(|n| {
                value += 1.25;
                Row::at(id, time(n), value)
            });
            assert!(store.append(rows.collect()).wait().is_ok());
        }
    };
    send(&store, 2, 0, 9);
    store.flush().unwrap();
    send(&store, 2, 35, 3);
    store.flush().unwrap();
    store.compact().unwrap();
    send(&store, 1, 0, 12);
    store.flush().unwrap();
    send(&store, 1, 35, 2);
    store.flush().unwrap();
    send(&store, 0, 0, 2);
    store.close();
    drop(store);
    store = open_on(&config, &disk, clock()).0;
    send(&store, 0, 60, 2);
    drop(store);
    disk.kill()
}

/// The samples and hours of one series on one day.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    samples: Vec<(i64, u64)>,
    hours: Vec<(u64, Summary)>,
}

/// By series and day.
type Places = Vec<Result<Place, ReadError>>;

fn places(store: &Store) -> Places {
    let snapshot = store.snapshot();
    let today = NOW.nanos() / DAY.as_nanos() as i64;
    let mut places = Vec::new();
    for name in NAMES {
        for ago in 0..3 {
            let start = |day: i64| Timestamp::from_nanos(day * DAY.as_nanos() as i64);
            let range = TimeRange::new(start(today - ago), start(today - ago + 1));
            places.push(snapshot.select(&Selector::exact(name), range).and_then(|series| {
                let mut place = Place { samples: Vec::new(), hours: Vec::new() };
                for series in series {
                    let read = series.read(range, &mut Reads::default())?;
                    place.samples.extend(read.iter().map(|s| (s.time.nanos(), s.value.to_bits())));
                    let windows = Windows::new(range, HOUR_NANOS as u64);
                    series.fold(windows, Want::All, &mut Reads::default(), |n, hour| {
                        place.hours.push((n, *hour))
                    })?;
                }
                Ok(place)
            }));
        }
    }
    places
}

fn is_same(a: &Place, b: &Place) -> bool {
    // NaN is not equal to itself.
    a.samples == b.samples && format!("{:?}", a.hours) == format!("{:?}", b.hours)
}

/// What became of the places.
#[derive(Debug, Default)]
struct Toll {
    whole: usize,
    failed: usize,
    partly: usize,
    samples_lost: usize,
}

fn compare(found: &Places, whole: &Places, what: &str) -> Toll {
    let mut toll = Toll::default();
    for (found, whole) in found.iter().zip(whole) {
        let whole = whole.as_ref().expect("the whole store is well");
        match found {
            Ok(found) if is_same(found, whole) => toll.whole += 1,
            Ok(found) => {
                let wrong = found.samples.iter().find(|sample| !whole.samples.contains(sample));
                assert_eq!(wrong, None, "{what}: a wrong value");
                let counted: u64 = found.hours.iter().map(|(_, hour)| hour.count).sum();
                assert_eq!(counted, found.samples.len() as u64, "{what}: rows tell of other samples");
                toll.partly += 1;
                toll.samples_lost += whole.samples.len() - found.samples.len();
            }
            Err(ReadError::Damaged(damage)) => {
                assert!(!damage.to_string().is_empty());
                toll.failed += 1;
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    toll
}

fn try_open(disk: &SimDisk) -> Result<(Store, Recovery), OpenError> {
    let store = Store::open(&rot_config(), Arc::new(disk.clone()), clock(), &Metrics::default())?;
    let recovery = store.wait_recovered();
    Ok((store, recovery))
}

/// Damages a file, and gives what was found and what it cost; `None` if the store does not open, which it need not
/// without its identity.
fn damaged(
    disk: &SimDisk,
    path: &Path,
    whole: &Places,
    damage: impl Fn(&SimDisk),
    what: &str,
) -> Option<(Recovery, Toll)> {
    let disk = disk.fork();
    damage(&disk);
    match try_open(&disk) {
        Ok((store, recovery)) => {
            let found = places(&store);
            let toll = compare(&found, whole, what);
            if toll.failed == 0 && toll.partly == 0 {
                return Some((recovery, toll));
            }
            // What cannot be read does not keep the rest from being written, merged and read.
            let id = store.series(&key("other")).unwrap();
            assert!(store.append(vec![Row::at(id, NOW, 1.0)]).wait().is_ok(), "{what}");
            store.flush().unwrap_or_else(|error| panic!("{what}: {error}"));
            store.compact().unwrap_or_else(|error| panic!("{what}: {error}"));
            let again = compare(&places(&store), whole, what);
            // Merging may even mend: it needs no terms of the index.
            assert!(
                again.whole >= toll.whole && again.failed <= toll.failed,
                "{what}: then {toll:?}, now {again:?}"
            );
            Some((recovery, toll))
        }
        Err(OpenError::Superblock { .. }) if path.ends_with("STORE") => None,
        Err(error) => panic!("{what}: {error}"),
    }
}

fn check(path: &Path, recovery: &Recovery, toll: &Toll, is_cut: bool, what: &str) {
    let reported = recovery.is_damaged() || recovery.torn_bytes > 0 || toll.failed > 0;
    let lost = toll.samples_lost > 0 || toll.failed > 0;
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    match folder {
        "manifest" => assert!(!lost, "{what}: segments tell of themselves: {toll:?}, {recovery:?}"),
        "segments" => {
            assert!(reported, "{what}: not noticed, {toll:?}");
            // One of three days; of the one with two segments, only one is hurt.
            assert!(toll.whole >= 6, "{what}: another day is hurt: {toll:?}");
            assert!(toll.failed == 0 || toll.partly == 0, "{what}: {toll:?}");
        }
        "wal" => {
            // A log that ends between two frames ends well, as far as anyone can tell.
            assert!(reported || is_cut, "{what}: not noticed, {toll:?}");
            assert!(toll.whole >= 6 && toll.failed == 0 && toll.samples_lost <= 6, "{what}: {toll:?}");
            let in_commit = recovery.damaged_regions == 1 && recovery.undefined_samples == 0;
            assert!(!in_commit || toll.samples_lost <= 2, "{what}: a neighbour is lost: {toll:?}");
        }
        _ => panic!("{what}: the store opens without its identity"),
    }
}

fn each_file(check: impl Fn(&SimDisk, &Path, u64, &Places) + Sync) {
    let disk = small_store();
    let (store, recovery) = try_open(&disk.fork()).unwrap();
    assert!(!recovery.is_damaged());
    let whole = places(&store);
    let files: Vec<(PathBuf, u64)> =
        disk.files().into_iter().map(|(path, bytes)| (path, bytes.len() as u64)).collect();
    let count = |folder: &str| files.iter().filter(|(path, _)| path.starts_with(folder)).count();
    let counts = ["/store/segments", "/store/wal", "/store/manifest"].map(count);
    assert_eq!(counts, [3, 2, 2], "{files:?}");
    for (path, length) in files.iter().filter(|(path, length)| *length > 0 && !path.ends_with("LOCK")) {
        check(&disk, path, *length, &whole);
    }
}

#[test]
fn every_byte_rots() {
    let masks: &[u8] = &[0x01, 0x10, 0x80, 0xff];
    each_file(|disk, path, length, whole| {
        let mut data_parts = 0;
        for offset in 0..length {
            for mask in masks
                .iter()
                .skip(if thorough() { 0 } else { offset as usize % 4 })
                .take(if thorough() { 4 } else { 1 })
            {
                let what = format!("`{}` byte {offset} mask {mask:#x}", path.display());
                let flip = |disk: &SimDisk| disk.flip(path, offset, *mask);
                let Some((recovery, toll)) = damaged(disk, path, whole, flip, &what) else { continue };
                check(path, &recovery, &toll, false, &what);
                data_parts += usize::from(toll.failed == 1);
            }
        }
        let is_segment = path.starts_with("/store/segments");
        assert!(
            !is_segment || data_parts > 50,
            "{}: damage in the data hurts one series: {data_parts}",
            path.display()
        );
    });
}

#[test]
fn every_file_is_cut_at_every_length() {
    each_file(|disk, path, length, whole| {
        for at in (0..length).step_by(if thorough() { 1 } else { 2 }).chain([length - 1]) {
            let what = format!("`{}` cut at {at}", path.display());
            let cut = |disk: &SimDisk| disk.cut(path, at);
            let Some((recovery, toll)) = damaged(disk, path, whole, cut, &what) else { continue };
            check(path, &recovery, &toll, true, &what);
        }
    });
}
