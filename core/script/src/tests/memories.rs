//! Memory as bytes, and from one version of a script to the next.

use proptest::prelude::*;
use rhai::{Dynamic, Map};

use super::*;
use crate::{Budget, ErrorKind, Memory, MemoryError, ScriptError};

const ROOM: usize = 1 << 20;

fn memory(value: Dynamic) -> Memory {
    let mut memory = Memory::default();
    memory.set(value, ROOM).unwrap();
    memory
}

fn value() -> impl Strategy<Value = Dynamic> {
    let leaf = prop_oneof![
        Just(Dynamic::UNIT),
        any::<bool>().prop_map(Dynamic::from_bool),
        any::<i64>().prop_map(Dynamic::from_int),
        any::<u64>().prop_map(|bits| Dynamic::from_float(f64::from_bits(bits))),
        ".{0,12}".prop_map(Dynamic::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let map = prop::collection::btree_map("[a-z]{0,6}", inner.clone(), 0..8);
        prop_oneof![
            prop::collection::vec(inner, 0..8).prop_map(Dynamic::from_array),
            map.prop_map(|map| {
                Dynamic::from_map(map.into_iter().map(|(name, value)| (name.into(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_memory_comes_back_from_its_bytes(value in value()) {
        let memory = memory(value);
        let bytes = memory.to_bytes();
        let back = Memory::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&back, &memory);
        prop_assert_eq!(back.to_bytes(), bytes);
        prop_assert!(!back.is_empty());
    }

    /// Whatever the bytes: no panic, and what is accepted is written as it was read.
    #[test]
    fn bytes_are_a_memory_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = [&[1][..], &bytes].concat();
        if let Ok(memory) = Memory::from_bytes(&bytes) {
            prop_assert_eq!(memory.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_cut_or_changed_memory_is_noticed_or_another(value in value(), cut: prop::sample::Index) {
        let bytes = memory(value).to_bytes();
        let cut = cut.index(bytes.len());
        if cut > 0 {
            prop_assert!(Memory::from_bytes(&bytes[..cut]).is_err());
        }
        prop_assert!(Memory::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn numbers_survive_to_the_bit() {
    let numbers = [f64::NAN, -f64::NAN, f64::INFINITY, -0.0, 0.0, 5e-324, 0.1];
    let memory_of = |number: f64| memory(Dynamic::from_float(number));
    for number in numbers {
        let back = Memory::from_bytes(&memory_of(number).to_bytes()).unwrap();
        assert_eq!(back.get().unwrap().as_float().unwrap().to_bits(), number.to_bits());
    }
    assert_ne!(memory_of(0.0), memory_of(-0.0));
    assert_ne!(memory(Dynamic::from_int(1)), memory_of(1.0));
    assert_eq!(Memory::default().to_bytes(), Vec::<u8>::new());
    assert!(Memory::from_bytes(&[]).unwrap().is_empty());
    assert_ne!(Memory::default(), memory(Dynamic::UNIT), "nothing remembered is not `()` remembered");
}

#[test]
fn bytes_that_no_memory_has_are_refused() {
    let error = |bytes: &[u8]| Memory::from_bytes(bytes).unwrap_err();
    assert_eq!(error(&[9, 0]), MemoryError::Version(9));
    assert_eq!(error(&[1]), MemoryError::Length);
    assert_eq!(
        error(&[1, 6, 255, 255, 255, 255]),
        MemoryError::Length,
        "no allocation for what is not there"
    );
    assert_eq!(error(&[1, 8]), MemoryError::Damaged("there is no such kind of value"));
    assert_eq!(error(&[1, 5, 1, 0, 0, 0, 255]), MemoryError::Damaged("a text is not UTF-8"));
    let twice = [&[1, 7, 2, 0, 0, 0][..], &[1, 0, 0, 0, b'a', 0], &[1, 0, 0, 0, b'a', 0]].concat();
    assert_eq!(error(&twice), MemoryError::Damaged("the names of a map do not rise"));
    let nested = [&[1][..], &[6, 1, 0, 0, 0].repeat(33), &[0]].concat();
    assert_eq!(error(&nested), MemoryError::Damaged("it is nested too deep"));
    let fits = [&[1][..], &[6, 1, 0, 0, 0].repeat(32), &[0]].concat();
    assert!(Memory::from_bytes(&fits).is_ok());
}

#[test]
fn what_is_remembered_is_flat_enough_to_be_read_back() {
    let nest = |depth| (0..depth).fold(Dynamic::UNIT, |inner, _| Dynamic::from_array(vec![inner]));
    assert!(Memory::default().set(nest(33), ROOM).unwrap_err().contains("is nested deeper than 32"));
    let deepest = memory(nest(32));
    assert_eq!(Memory::from_bytes(&deepest.to_bytes()).unwrap(), deepest);
}

/// The memory after `migrate` of a script with this text.
fn migrated(text: &str, old: Dynamic) -> Result<Memory, (Memory, ScriptError)> {
    let script = library(&[("rules/x.rhai", text)]).rule("x.rhai").unwrap();
    let mut memory = memory(old);
    match script.migrate(&mut memory, 1, &mut Budget::default()) {
        Ok(()) => Ok(memory),
        Err(error) => Err((memory, error)),
    }
}

#[test]
fn an_older_memory_is_reshaped() {
    let old = || Dynamic::from_map(Map::from_iter([("n".into(), Dynamic::from_int(3))]));
    let text = "fn check(s) { true } fn migrate(old, from) { #{ count: old.n + from } }";
    let expected = Dynamic::from_map(Map::from_iter([("count".into(), Dynamic::from_int(4))]));
    assert_eq!(migrated(text, old()).unwrap(), memory(expected));
    assert!(migrated("fn check(s) { true }", old()).unwrap().is_empty(), "who cannot reshape it starts anew");
    let failing = "fn check(s) { true } fn migrate(old, from) { old.nothing }";
    let (kept, error) = migrated(failing, old()).unwrap_err();
    assert_eq!((kept, error.kind), (memory(old()), ErrorKind::Failed));
    let (kept, error) = migrated("fn check(s) { true } fn migrate(old, from) { |x| x }", old()).unwrap_err();
    assert_eq!((kept, error.kind), (memory(old()), ErrorKind::Answer));
    let script = library(&[("rules/x.rhai", failing)]).rule("x.rhai").unwrap();
    let mut empty = Memory::default();
    script.migrate(&mut empty, 1, &mut Budget::default()).unwrap();
    assert!(empty.is_empty() && script.has_migrate() && !script.has_message());
}
