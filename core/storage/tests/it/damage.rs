//! Damage is reported, never answered, and never stops the store.

use std::fs;
use std::path::{Path, PathBuf};

use sereno_model::Sample;

use crate::{config, dump, open, send};

/// A store of two files whose content is known; gives its log files.
fn small_store(directory: &Path) -> (Vec<PathBuf>, Vec<(String, Vec<Sample>)>) {
    let config = config(directory);
    for round in 0..2 {
        let (store, _) = open(&config);
        for value in 0..4 {
            assert!(send(&store, "foo", [f64::from(value + 10 * round)]).is_ok());
            assert!(send(&store, r#"bar{host="a"}"#, [f64::from(value)]).is_ok());
        }
        store.close();
    }
    let (store, _) = open(&config);
    let mut files: Vec<_> = fs::read_dir(directory.join("wal")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let content = dump(&store.snapshot());
    (files, content)
}

/// Every sample that is there was there before.
fn is_part_of(found: &[(String, Vec<Sample>)], whole: &[(String, Vec<Sample>)]) -> bool {
    found.iter().all(|(key, samples)| {
        let before = whole.iter().find(|(other, _)| other == key);
        before.is_some_and(|(_, before)| samples.iter().all(|sample| before.contains(sample)))
    })
}

#[test]
fn every_flipped_byte_is_noticed_and_its_neighbours_stay() {
    let origin = tempfile::tempdir().unwrap();
    let (files, whole) = small_store(origin.path());
    let samples =
        |found: &[(String, Vec<Sample>)]| found.iter().map(|(_, samples)| samples.len()).sum::<usize>();
    let bytes = fs::read(&files[0]).unwrap();
    for place in 0..bytes.len() {
        let directory = tempfile::tempdir().unwrap();
        copy(origin.path(), directory.path());
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        fs::write(directory.path().join("wal").join(files[0].file_name().unwrap()), &damaged).unwrap();
        let (store, recovery) = open(&config(directory.path()));
        let found = dump(&store.snapshot());
        assert!(is_part_of(&found, &whole), "byte {place}: a wrong value");
        assert!(recovery.is_damaged() || recovery.torn_bytes > 0, "byte {place}: not noticed");
        // A definition takes the samples of its series in that file with it; the other file is not touched.
        assert!(samples(&found) >= 8, "byte {place}: {found:?}");
        let in_commits = recovery.damaged_regions == 1 && recovery.undefined_samples == 0;
        assert!(!in_commits || samples(&found) >= 15, "byte {place}: a neighbour is lost: {found:?}");
    }
}

#[test]
fn every_truncation_leaves_what_stands_before_it() {
    let origin = tempfile::tempdir().unwrap();
    let (files, whole) = small_store(origin.path());
    let bytes = fs::read(&files[1]).unwrap();
    for length in 0..bytes.len() {
        let directory = tempfile::tempdir().unwrap();
        copy(origin.path(), directory.path());
        let path = directory.path().join("wal").join(files[1].file_name().unwrap());
        fs::write(&path, &bytes[..length]).unwrap();
        let (store, first) = open(&config(directory.path()));
        let found = dump(&store.snapshot());
        assert!(is_part_of(&found, &whole), "cut at {length}: a wrong value");
        assert!(send(&store, "foo", [99.0]).is_ok(), "the store goes on");
        drop(store);
        let (_store, second) = open(&config(directory.path()));
        assert_eq!(second.torn_bytes, 0, "a tail is cut once: {first:?}, then {second:?}");
    }
}

#[test]
fn a_store_without_its_identity_is_not_taken_for_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    small_store(directory.path());
    fs::remove_file(directory.path().join("STORE")).unwrap();
    let disk = std::sync::Arc::new(sereno_runtime::RealDisk);
    let opened = sereno_storage::Store::open(
        &config(directory.path()),
        disk,
        crate::clock(),
        &sereno_runtime::Metrics::default(),
    );
    let error = opened.expect_err("refused").to_string();
    assert!(error.contains("STORE` is missing"), "{error}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("wal")).unwrap();
    fs::copy(from.join("STORE"), to.join("STORE")).unwrap();
    for file in fs::read_dir(from.join("wal")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&file, to.join("wal").join(file.file_name().unwrap())).unwrap();
    }
}
