use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::labels::testing;

/// A file in memory that counts what is read of it.
#[derive(Debug, Default)]
struct Memory {
    bytes: Vec<u8>,
    read: AtomicUsize,
}

impl ReadAt for Memory {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.read.fetch_add(len, Ordering::Relaxed);
        let read = self.bytes.get(offset as usize..).and_then(|bytes| bytes.get(..len));
        read.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn seed() -> Seed {
    Seed::new(&[7; 16], 42)
}

/// Where in the file the tests' indexes begin.
const BASE: u64 = 100;

fn written(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = vec![0xEE; BASE as usize];
    write(entries, BASE, &seed(), &mut bytes);
    bytes
}

fn open(bytes: Vec<u8>) -> Result<SealedIndex, IndexError> {
    let range = BASE..bytes.len() as u64;
    SealedIndex::open(Arc::new(Memory { bytes, ..Memory::default() }), range, seed())
}

fn entries(count: Range<usize>) -> impl Strategy<Value = Vec<Entry>> {
    let entry = |key: SeriesKey| (Just(key), prop::collection::vec(any::<u8>(), 0..65));
    testing::keys(count).prop_flat_map(move |keys| keys.into_iter().map(entry).collect::<Vec<_>>())
}

/// Key `i` of many: ten of each host.
fn key(i: u32) -> SeriesKey {
    let (host, env) = (format!("host-{:05}", i / 10), format!("e{}", i.wrapping_mul(2_654_435_761) >> 29));
    SeriesKey::new(&format!("m{}", i % 10), [("host", host), ("env", env)]).unwrap()
}

fn many(count: u32) -> Vec<Entry> {
    let mut entries: Vec<Entry> = (0..count).map(|i| (key(i), i.to_le_bytes().to_vec())).collect();
    entries.sort();
    entries
}

fn check_all(index: &SealedIndex, entries: &[Entry]) -> Result<(), IndexError> {
    assert_eq!(index.len() as usize, entries.len());
    let mut all = Vec::new();
    index.for_each(|doc, key, payload| {
        assert_eq!(doc as usize, all.len());
        all.push((key, payload.to_vec()));
        Ok::<_, IndexError>(())
    })?;
    assert_eq!(all, entries);
    for (doc, (key, payload)) in entries.iter().enumerate() {
        assert_eq!(index.find(key)?, Some((doc as u32, payload.clone())));
    }
    Ok(())
}

fn wanted(entries: &[Entry], selector: &Selector) -> Vec<u32> {
    (0..).zip(entries).filter(|(_, (key, _))| selector.matches(key)).map(|(doc, _)| doc).collect()
}

proptest! {
    /// What was written is read: by number, by key, by selector.
    #[test]
    fn an_index_gives_back_what_was_written(
        entries in entries(0..60),
        selectors in prop::collection::vec(testing::selector(), 6),
        absent in testing::key(),
        some in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let index = open(written(&entries)).unwrap();
        check_all(&index, &entries).unwrap();
        index.verify().unwrap();
        let known = entries.iter().any(|(key, _)| *key == absent);
        prop_assert_eq!(index.find(&absent).unwrap().is_some(), known);
        for selector in selectors {
            prop_assert_eq!(index.select(&selector).unwrap(), wanted(&entries, &selector), "{}", selector);
        }
        if !entries.is_empty() {
            let mut docs: Vec<u32> = some.iter().map(|index| index.index(entries.len()) as u32).collect();
            docs.sort_unstable();
            docs.dedup();
            let expected: Vec<_> = docs.iter().map(|doc| entries[*doc as usize].clone()).collect();
            prop_assert_eq!(index.entries(&docs).unwrap(), expected);
        }
        prop_assert!(index.entry(entries.len() as u32).is_err());
    }
}

/// Several blocks of keys and terms, lists of every form.
#[test]
fn a_larger_index_gives_back_what_was_written() {
    let entries = many(5_000);
    let index = open(written(&entries)).unwrap();
    assert!(index.keys.blocks() > 5 && index.terms.blocks() > 1);
    check_all(&index, &entries).unwrap();
    index.verify().unwrap();
    let selectors = [
        "m7",
        "*",
        "m?{env=\"e1\"}",
        "m3{env!=\"e1\",host=~\"host-00.*\"}",
        "*{host=~\"host-0012.|host-00131\"}",
        "*{host=\"host-00042\"}",
        "m1{host!~\".*[13579]\"}",
        "*{host=~\".+7\",env=~\"e[12]\"}",
        "*{rack=\"\",host=\"host-00499\"}",
    ];
    for text in selectors {
        let selector: Selector = text.parse().unwrap();
        assert_eq!(index.select(&selector).unwrap(), wanted(&entries, &selector), "{text}");
    }
    let every_third: Vec<u32> = (0..5_000).step_by(3).collect();
    let found = index.entries(&every_third).unwrap();
    assert!(found.iter().zip(entries.iter().step_by(3)).all(|(a, b)| a == b));
}

/// A damaged byte gives an error or, where it is not needed, the right answer; never another one.
#[test]
fn every_flipped_byte_is_noticed_where_it_matters() {
    let entries = many(60);
    let bytes = written(&entries);
    let selectors = ["m1", "*{env=\"e1\"}", "m*{host=~\"host-.*3\"}", "*{env!~\"e[12]\"}"];
    let selectors = selectors.map(|text| text.parse::<Selector>().unwrap());
    let answers = selectors.each_ref().map(|selector| wanted(&entries, selector));
    for at in BASE as usize..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let Ok(index) = open(damaged) else { continue };
        let verified = index.verify().unwrap_err().to_string();
        assert!(verified.contains("damaged at offset"), "byte {at}: {verified}");
        drop(check_all(&index, &entries));
        for (selector, answer) in selectors.iter().zip(&answers) {
            if let Ok(found) = index.select(selector) {
                assert_eq!(found, *answer, "byte {at}, {selector}");
            }
        }
    }
}

#[test]
fn a_shorter_file_is_no_index() {
    let bytes = written(&many(60));
    for len in 0..bytes.len() {
        let cut = bytes[..len].to_vec();
        assert!(open(cut.clone()).is_err(), "cut to {len}");
        let whole_range = BASE..bytes.len() as u64;
        let file = Memory { bytes: cut, ..Memory::default() };
        assert!(SealedIndex::open(Arc::new(file), whole_range, seed()).is_err(), "cut to {len}");
    }
}

#[test]
fn an_index_of_another_file_or_place_is_refused() {
    let bytes = written(&many(20));
    let file = Arc::new(Memory { bytes: bytes.clone(), ..Memory::default() });
    let range = BASE..bytes.len() as u64;
    assert!(SealedIndex::open(file.clone(), range.clone(), Seed::new(&[7; 16], 43)).is_err());
    assert!(SealedIndex::open(file, range, seed()).is_ok());
    let moved = Arc::new(Memory { bytes: bytes[1..].to_vec(), ..Memory::default() });
    assert!(SealedIndex::open(moved, BASE - 1..bytes.len() as u64 - 1, seed()).is_err());
}

/// A thousand series over four segments cost at most 35 bytes each, payloads of 12 bytes included.
#[test]
fn small_segments_cost_little() {
    let mut segments: [Vec<Entry>; 4] = Default::default();
    for i in 0..1_000 {
        let (host, region) = (format!("host-{i:04}"), format!("r-{}", i % 10));
        let key = SeriesKey::new("bench.gauge", [("host", host), ("region", region)]).unwrap();
        segments[key.queue(4) as usize].push((key, vec![0xAB; 12]));
    }
    let bytes: usize = segments.iter().map(|entries| written(entries).len() - BASE as usize).sum();
    assert!(bytes <= 35_000, "{} bytes a series", bytes as f64 / 1_000.0);
    println!("{} bytes a series", bytes as f64 / 1_000.0);
}

#[test]
fn opening_and_selecting_read_what_they_need() {
    let entries = many(50_000);
    let bytes = written(&entries);
    let (all, range) = (bytes.len(), BASE..bytes.len() as u64);
    let file = Arc::new(Memory { bytes, ..Memory::default() });
    let index = SealedIndex::open(file.clone(), range, seed()).unwrap();
    let opened = file.read.swap(0, Ordering::Relaxed);
    assert!(opened * 50 < all, "{opened} of {all}");
    let docs = index.select(&"m3{host=\"host-00042\"}".parse().unwrap()).unwrap();
    assert_eq!(index.entries(&docs).unwrap().len(), 1);
    let read = file.read.load(Ordering::Relaxed);
    assert!(read < 20_000, "{read} of {all}");
}
