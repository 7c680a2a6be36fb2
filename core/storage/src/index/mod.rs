//! The index of a segment: which series it holds, in order of their keys, each with a payload that says where its data
//! is, and which of them a selector means. It is written once and dies with its segment. Bytes: `INDEX.md`.
//!
//! ```text
//!  select ─► directory of terms (in memory) ─► block of terms ─► postings ─► documents
//!  entries ─► directory of keys (in memory) ─► block of keys ─► key, payload
//! ```
//!
//! Invariants:
//! * documents are numbered in order of the keys, so what a selection finds is in that order;
//! * every byte that is used is covered by a checksum that knows the file and the offset; a damaged byte gives an error
//!   that names the offset, and what does not touch it stays readable;
//! * opening reads the footer and the two directories, about one byte in a hundred.
//!
//! Not here: reading files and caching what was read ([`ReadAt`] is given), what a payload means.

mod entry;
mod footer;
mod postings;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod varint;
mod write;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use sereno_model::{Selector, SeriesKey};

pub(crate) use self::source::ReadAt;
pub(crate) use self::write::write;

use self::footer::{FOOTER_BYTES, Footer};
use self::postings::{Place, Posting};
use self::source::Source;
use self::table::{CRC_BYTES, Here, Table, Visit};
use crate::checksum::Seed;
use crate::labels::{self, Docs, Terms};

/// Why an index, or the part of it that was wanted, cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// The file cannot be read there.
    #[error("failed to read {bytes} bytes of the index at offset {offset}")]
    Io {
        /// Offset in the file.
        offset: u64,
        /// How much was wanted.
        bytes: usize,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not those that were written.
    #[error("the index is damaged at offset {offset}: {what}")]
    Damaged {
        /// Offset in the file of the damaged part.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

fn damaged(offset: u64, what: &'static str) -> IndexError {
    IndexError::Damaged { offset, what }
}

/// A series of the index with its payload.
pub(crate) type Entry = (SeriesKey, Vec<u8>);

/// An index that is open for reading.
#[derive(Debug)]
pub(crate) struct SealedIndex {
    source: Source,
    keys: Table,
    terms: Table,
    postings: Range<u64>,
}

/// So much of the end is read at once: a small index's directories come with its footer.
const TAIL_BYTES: u64 = 4_096;

impl SealedIndex {
    /// Opens the index that fills `range` of a file.
    ///
    /// # Errors
    /// [`IndexError`] if the footer or a directory cannot be read or is damaged; the rest is not looked at.
    pub(crate) fn open(reader: Arc<dyn ReadAt>, range: Range<u64>, seed: Seed) -> Result<Self, IndexError> {
        let source = Source { reader, seed };
        let bytes = range.end.saturating_sub(range.start);
        if bytes < FOOTER_BYTES as u64 {
            return Err(damaged(range.start, "too short for an index"));
        }
        let tail_start = range.end - bytes.min(TAIL_BYTES);
        let tail = source.read(tail_start, (range.end - tail_start) as usize)?;
        let footer_offset = range.end - FOOTER_BYTES as u64;
        let footer = Footer::read(&source, footer_offset, &tail[tail.len() - FOOTER_BYTES..], bytes)?;

        // The footer's lengths fill the range, so none of these sums exceeds its end.
        let terms_start = range.start + footer.key_bytes;
        let postings_start = terms_start + footer.term_bytes;
        let directories = postings_start + footer.posting_bytes;
        let term_directory = directories + u64::from(footer.key_directory_bytes);
        let table = |offset: u64, bytes: u32, start: u64, end: u64| {
            let read;
            let sealed = match offset.checked_sub(tail_start) {
                Some(at) => &tail[at as usize..at as usize + bytes as usize],
                None => {
                    read = source.read(offset, bytes as usize)?;
                    &read[..]
                }
            };
            Table::open(source.verify(offset, sealed)?, offset, start, end)
        };
        let keys = table(directories, footer.key_directory_bytes, range.start, terms_start)?;
        let terms = table(term_directory, footer.term_directory_bytes, terms_start, postings_start)?;
        if keys.entries() != footer.series {
            return Err(damaged(directories, "the directory of keys has another number of series"));
        }
        Ok(Self { source, keys, terms, postings: postings_start..directories })
    }

    /// How many series there are. Their numbers are 0 to this.
    pub(crate) fn len(&self) -> u32 {
        self.keys.entries()
    }

    /// The series that match, in order of their keys.
    ///
    /// # Errors
    /// [`IndexError`]; nothing is known about the answer then.
    pub(crate) fn select(&self, selector: &Selector) -> Result<Vec<u32>, IndexError> {
        labels::select(self, selector)
    }

    /// Key and payload of one series.
    ///
    /// # Errors
    /// [`IndexError`], also if there is no series of this number.
    #[cfg(test)]
    pub(crate) fn entry(&self, doc: u32) -> Result<Entry, IndexError> {
        let entry = self.entries(&[doc])?.pop();
        entry
            .ok_or_else(|| damaged(self.postings.start, "a series is asked for that the index does not have"))
    }

    /// Keys and payloads of some series, whose numbers rise. A block is read once however many are in it, and
    /// neighbouring blocks together.
    ///
    /// # Errors
    /// [`IndexError`], also if there is a number that no series has.
    pub(crate) fn entries(&self, docs: &[u32]) -> Result<Vec<Entry>, IndexError> {
        let mut entries = Vec::with_capacity(docs.len().min(self.len() as usize));
        let mut wanted = docs.iter().copied().peekable();
        self.keys.visit(&self.source, self.blocks_of(docs), |here, text, payload| {
            if wanted.next_if_eq(&here.entry).is_some() {
                entries.push((key_of(here, text)?, payload.to_vec()));
            }
            Ok(if wanted.peek().is_some() { Visit::On } else { Visit::Enough })
        })?;
        match wanted.next() {
            None => Ok(entries),
            Some(_) => {
                Err(damaged(self.postings.start, "a series is asked for that the index does not have"))
            }
        }
    }

    /// Number and payload of a series, if the index has it.
    ///
    /// # Errors
    /// [`IndexError`] if the block that would hold it cannot be read or is damaged.
    pub(crate) fn find(&self, key: &SeriesKey) -> Result<Option<(u32, Vec<u8>)>, IndexError> {
        let (mut found, wanted) = (None, key.canonical().as_bytes());
        let block = self.keys.block_of_text(wanted);
        self.keys.visit(&self.source, [block], |here, text, payload| {
            if text == wanted {
                found = Some((here.entry, payload.to_vec()));
            }
            Ok(if text < wanted { Visit::On } else { Visit::Enough })
        })?;
        Ok(found)
    }

    /// Calls `each` with the number, key and payload of every series, in order of the keys; an error ends it.
    ///
    /// # Errors
    /// [`IndexError`], or what `each` gives.
    pub(crate) fn for_each<E: From<IndexError>>(
        &self,
        mut each: impl FnMut(u32, SeriesKey, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut failed = None;
        self.keys.visit(&self.source, 0..self.keys.blocks(), |here, text, payload| {
            match each(here.entry, key_of(here, text)?, payload) {
                Ok(()) => Ok(Visit::On),
                Err(error) => {
                    failed = Some(error);
                    Ok(Visit::Enough)
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Reads and checks everything: every key, every term, every list.
    ///
    /// # Errors
    /// [`IndexError`], the first damage there is.
    pub(crate) fn verify(&self) -> Result<(), IndexError> {
        self.for_each(|_, _, _| Ok::<_, IndexError>(()))?;
        let mut postings = Vec::new();
        self.terms.visit(&self.source, 0..self.terms.blocks(), |here, _, payload| {
            postings.push(self.posting_of(here, payload)?);
            Ok(Visit::On)
        })?;
        postings.iter().try_for_each(|posting| self.docs(posting).map(drop))
    }

    fn blocks_of(&self, docs: &[u32]) -> Vec<usize> {
        let mut blocks = Vec::new();
        let mut beyond = 0;
        for doc in docs.iter().filter(|doc| **doc < self.len()) {
            if *doc >= beyond {
                let block = self.keys.block_of_entry(*doc);
                beyond = self.keys.first_entry(block + 1);
                blocks.push(block);
            }
        }
        blocks
    }

    fn posting_of(&self, here: Here, payload: &[u8]) -> Result<Posting, IndexError> {
        let malformed = || damaged(here.offset, "the posting of a term is malformed");
        Posting::decode(payload, self.len()).ok_or_else(malformed)
    }

    /// `bytes` bytes of the postings section, if they lie within it.
    fn stored(&self, offset: u64, bytes: usize) -> Result<Vec<u8>, IndexError> {
        let start = self.postings.start.checked_add(offset);
        let fits = |start: &u64| {
            let room = self.postings.end.saturating_sub(*start);
            (bytes as u64).checked_add(CRC_BYTES as u64).is_some_and(|bytes| bytes <= room)
        };
        let start = start.filter(fits).ok_or_else(|| damaged(self.postings.start, "a list lies outside"))?;
        self.source.read_sealed(start, bytes)
    }
}

fn key_of(here: Here, text: &[u8]) -> Result<SeriesKey, IndexError> {
    SeriesKey::from_canonical(text).map_err(|_| damaged(here.offset, "a text in the table of keys is no key"))
}

fn term(label: &str, value: &str) -> Vec<u8> {
    [label, value].join("\0").into_bytes()
}

impl Terms for SealedIndex {
    type Error = IndexError;
    type Posting = Posting;

    fn len(&self) -> u32 {
        self.len()
    }

    fn find(&self, label: &str, value: &str) -> Result<Option<Posting>, IndexError> {
        let (mut found, wanted) = (None, term(label, value));
        self.terms.visit(&self.source, [self.terms.block_of_text(&wanted)], |here, text, payload| {
            if text == wanted {
                found = Some(self.posting_of(here, payload)?);
            }
            Ok(if text < &wanted[..] { Visit::On } else { Visit::Enough })
        })?;
        Ok(found)
    }

    fn find_where(
        &self,
        label: &str,
        prefix: &str,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Posting>, IndexError> {
        let (mut found, begin) = (Vec::new(), term(label, prefix));
        let blocks = self.terms.block_of_text(&begin)..self.terms.blocks();
        let blocks = blocks.take_while(|block| self.terms.may_begin(*block, &begin));
        self.terms.visit(&self.source, blocks, |here, text, payload| {
            if !text.starts_with(&begin) {
                return Ok(if text < &begin[..] { Visit::On } else { Visit::Enough });
            }
            let value = text.get(label.len() + 1..).and_then(|value| str::from_utf8(value).ok());
            let value = value.ok_or_else(|| damaged(here.offset, "the text of a term is not UTF-8"))?;
            if keep(value) {
                found.push(self.posting_of(here, payload)?);
            }
            Ok(Visit::On)
        })?;
        Ok(found)
    }

    fn count(&self, posting: &Posting) -> u32 {
        posting.count
    }

    fn docs<'a>(&'a self, posting: &'a Posting) -> Result<Docs<'a>, IndexError> {
        let malformed = |offset| damaged(self.postings.start + offset, "a list of series is malformed");
        match &posting.place {
            Place::Range { first } => Ok(Docs::Range(*first..*first + posting.count)),
            Place::Inline(list) => Ok(Docs::list(list)),
            Place::List { offset, bytes } => {
                let stored = self.stored(*offset, *bytes)?;
                let list = postings::list(&stored, posting.count, self.len());
                list.map(|list| Docs::List(list.into())).ok_or_else(|| malformed(*offset))
            }
            Place::Bits { offset } => {
                let stored = self.stored(*offset, postings::bit_bytes(self.len()))?;
                postings::bits(&stored, posting.count, self.len()).ok_or_else(|| malformed(*offset))
            }
        }
    }

    fn keys_instead(&self, label: &str) -> u32 {
        // A key is a block to read, if its neighbours are not wanted too; of values, a block has a hundred and more.
        let (from, to) = (term(label, ""), [label, "\u{1}"].concat());
        let last = self.terms.block_of_text(to.as_bytes());
        let values =
            self.terms.first_entry(last + 1) - self.terms.first_entry(self.terms.block_of_text(&from));
        values / 64
    }

    fn check(&self, docs: &[u32], keep: &dyn Fn(&SeriesKey) -> bool) -> Result<Vec<u32>, IndexError> {
        let entries = self.entries(docs)?;
        Ok(docs.iter().zip(entries).filter(|(_, (key, _))| keep(key)).map(|(doc, _)| *doc).collect())
    }
}
