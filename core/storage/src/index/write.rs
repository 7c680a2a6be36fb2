//! Writing the index of a segment.

use hashbrown::HashMap;
use sereno_model::SeriesKey;
use std::borrow::Borrow;

use super::footer::Footer;
use super::table::TableWriter;
use super::{entry, postings};
use crate::checksum::Seed;

/// Appends the index of `entries` to `out`: series in order of their keys, each with a payload of at most 64 bytes that
/// the index does not look at. `base_offset` is where in the file the first appended byte will stand.
///
/// Cost: linear in series and labels, and as much memory as the postings, 4 bytes a label of a series.
pub(crate) fn write<K, P>(entries: &[(K, P)], base_offset: u64, seed: &Seed, out: &mut Vec<u8>)
where
    K: Borrow<SeriesKey>,
    P: AsRef<[u8]>,
{
    debug_assert!(entries.is_sorted_by(|a, b| a.0.borrow() < b.0.borrow()), "the caller sorts");
    debug_assert!(entries.iter().all(|(_, payload)| payload.as_ref().len() <= entry::PAYLOAD_BYTES_MAX));
    let shift = base_offset.wrapping_sub(out.len() as u64);
    let series = entries.len() as u32;
    let start = out.len();

    let mut keys = TableWriter::new(seed, shift, out);
    for (key, payload) in entries {
        keys.push(key.borrow().canonical().as_bytes(), payload.as_ref(), out);
    }
    let key_directory = keys.finish(out);
    let keys_end = out.len();

    let (mut terms, mut stored) = (TableWriter::new(seed, shift, out), Stored::default());
    let (mut text, mut payload) = (Vec::new(), Vec::new());
    for ((label, value), docs) in terms_of(entries) {
        text.clear();
        text.extend_from_slice(label.as_bytes());
        text.push(0);
        text.extend_from_slice(value.as_bytes());
        payload.clear();
        postings::encode(&docs, series, &mut payload, |list| stored.push(list));
        terms.push(&text, &payload, out);
    }
    let term_directory = terms.finish(out);
    let terms_end = out.len();

    for list in stored.lists {
        let start = out.len();
        out.extend_from_slice(&list);
        seed.seal(out, start, shift);
    }
    let postings_end = out.len();

    let mut directory_bytes = [0; 2];
    for (bytes, directory) in directory_bytes.iter_mut().zip([key_directory, term_directory]) {
        let start = out.len();
        out.extend_from_slice(&directory);
        seed.seal(out, start, shift);
        *bytes = (out.len() - start) as u32;
    }
    let footer = Footer {
        series,
        key_bytes: (keys_end - start) as u64,
        term_bytes: (terms_end - keys_end) as u64,
        posting_bytes: (postings_end - terms_end) as u64,
        key_directory_bytes: directory_bytes[0],
        term_directory_bytes: directory_bytes[1],
    };
    footer.write(seed, shift, out);
}

/// Lists that stand in the postings section.
#[derive(Default)]
struct Stored {
    lists: Vec<Vec<u8>>,
    bytes: u64,
}

impl Stored {
    fn push(&mut self, list: &[u8]) -> u64 {
        let offset = self.bytes;
        self.bytes += (list.len() + super::table::CRC_BYTES) as u64;
        self.lists.push(list.to_vec());
        offset
    }
}

type Term<'a> = (&'a str, &'a str);

/// Label, value and documents of every term, in order.
fn terms_of<K: Borrow<SeriesKey>, P>(entries: &[(K, P)]) -> Vec<(Term<'_>, Vec<u32>)> {
    let mut terms: Vec<(Term<'_>, Vec<u32>)> = Vec::new();
    let mut by_term: HashMap<Term<'_>, usize> = HashMap::new();
    // The terms of the key before, place by place: neighbours in order share many.
    let mut before: Vec<usize> = Vec::new();
    for (doc, (key, _)) in entries.iter().enumerate() {
        let key: &SeriesKey = key.borrow();
        for (place, term) in std::iter::once(("", key.name())).chain(key.labels()).enumerate() {
            let same = before.get(place).filter(|index| terms[**index].0 == term);
            let index = same.copied().unwrap_or_else(|| {
                *by_term.entry(term).or_insert_with(|| {
                    terms.push((term, Vec::new()));
                    terms.len() - 1
                })
            });
            terms[index].1.push(doc as u32);
            match before.get_mut(place) {
                Some(before) => *before = index,
                None => before.push(index),
            }
        }
    }
    // The order of the bytes `label 0x00 value`: no name holds a byte as low as 0x00.
    terms.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    terms
}
