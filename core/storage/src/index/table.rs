//! A sorted string table: blocks of entries, and a directory of the blocks. Bytes: `INDEX.md`.

use std::ops::Range;

use super::entry::{Decoder, Encoder};
use super::source::Source;
use super::varint::{self, Reader};
use super::{IndexError, damaged};
use crate::checksum::Seed;

/// A block ends with the entry that brings it to so many bytes.
const BLOCK_BYTES: usize = 4_096;
/// Bytes of the checksum behind blocks, directories and lists.
pub(super) const CRC_BYTES: usize = 4;
/// Neighbouring blocks are read together up to so many bytes.
const READ_BYTES: usize = 256 << 10;

/// Writes a table; entries come in order.
pub(super) struct TableWriter<'a> {
    seed: &'a Seed,
    /// What an index of `out` must be moved by to be an offset of the file.
    shift: u64,
    block_start: usize,
    entries: u32,
    encoder: Encoder,
    last: Vec<u8>,
    /// What leads to the open block: no more of its first text than tells it from the one before.
    separator: Vec<u8>,
    directory: Vec<u8>,
    directory_encoder: Encoder,
}

impl<'a> TableWriter<'a> {
    /// A table that begins at the end of `out`, which is so far from the start of the file as `shift` and its length.
    pub(super) fn new(seed: &'a Seed, shift: u64, out: &[u8]) -> Self {
        Self {
            seed,
            shift,
            block_start: out.len(),
            entries: 0,
            encoder: Encoder::default(),
            last: Vec::new(),
            separator: Vec::new(),
            directory: Vec::new(),
            directory_encoder: Encoder::default(),
        }
    }

    pub(super) fn push(&mut self, text: &[u8], payload: &[u8], out: &mut Vec<u8>) {
        if self.entries == 0 {
            let shared = self.last.iter().zip(text).take_while(|(a, b)| a == b).count();
            let enough = if self.last.is_empty() { 0 } else { (shared + 1).min(text.len()) };
            self.separator.clear();
            self.separator.extend_from_slice(&text[..enough]);
        }
        self.encoder.push(text, payload, out);
        self.entries += 1;
        self.last.clear();
        self.last.extend_from_slice(text);
        if out.len() - self.block_start >= BLOCK_BYTES {
            self.end_block(out);
        }
    }

    fn end_block(&mut self, out: &mut Vec<u8>) {
        if self.entries == 0 {
            return;
        }
        self.seed.seal(out, self.block_start, self.shift);
        let mut payload = Vec::new();
        varint::put(&mut payload, (out.len() - self.block_start) as u64);
        varint::put(&mut payload, u64::from(self.entries));
        self.directory_encoder.push(&self.separator, &payload, &mut self.directory);
        self.block_start = out.len();
        self.entries = 0;
        self.encoder.restart();
    }

    /// Ends the last block; gives the directory, to be written somewhere behind.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> Vec<u8> {
        self.end_block(out);
        self.directory
    }
}

/// An open table: its directory is in memory, its blocks are not.
#[derive(Debug)]
pub(super) struct Table {
    separators: Vec<u8>,
    blocks: Vec<Block>,
    entries: u32,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    separator_end: usize,
    offset: u64,
    bytes: usize,
    /// The number of its first entry.
    first: u32,
}

/// Where a visit is.
#[derive(Clone, Copy)]
pub(super) struct Here {
    /// The number of the entry.
    pub entry: u32,
    /// Where its block stands in the file.
    pub offset: u64,
}

/// Whether a visit goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    On,
    Enough,
}

impl Table {
    /// Reads a directory whose checksum held. The blocks fill the file from `start` to `end`; `directory_offset` is where
    /// the directory stands, for the words of an error.
    pub(super) fn open(
        directory: &[u8],
        directory_offset: u64,
        start: u64,
        end: u64,
    ) -> Result<Self, IndexError> {
        let malformed = || damaged(directory_offset, "the directory of a table is malformed");
        let mut table = Self { separators: Vec::new(), blocks: Vec::new(), entries: 0 };
        let (mut decoder, mut offset) = (Decoder::new(directory), start);
        while let Some((separator, payload)) = decoder.next().map_err(|_| malformed())? {
            let mut reader = Reader(payload);
            let (bytes, entries) = reader.usize().zip(reader.u32()).ok_or_else(malformed)?;
            if bytes < CRC_BYTES || bytes as u64 > end - offset {
                return Err(malformed());
            }
            table.separators.extend_from_slice(separator);
            let separator_end = table.separators.len();
            table.blocks.push(Block { separator_end, offset, bytes, first: table.entries });
            table.entries = table.entries.checked_add(entries).ok_or_else(malformed)?;
            offset += bytes as u64;
        }
        if offset == end { Ok(table) } else { Err(malformed()) }
    }

    /// How many entries the table has.
    pub(super) fn entries(&self) -> u32 {
        self.entries
    }

    /// How many blocks the table has.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The block that holds `text` if any does.
    pub(super) fn block_of_text(&self, text: &[u8]) -> usize {
        let (mut low, mut high) = (1, self.blocks.len().max(1));
        while low < high {
            let middle = low.midpoint(high);
            if self.separator(middle) <= text { low = middle + 1 } else { high = middle }
        }
        low - 1
    }

    /// The block of an entry by its number.
    pub(super) fn block_of_entry(&self, entry: u32) -> usize {
        self.blocks.partition_point(|block| block.first <= entry).saturating_sub(1)
    }

    /// The number of the first entry of a block; behind the last block, of all entries.
    pub(super) fn first_entry(&self, block: usize) -> u32 {
        self.blocks.get(block).map_or(self.entries, |block| block.first)
    }

    /// Whether a text that begins with `prefix` may stand in a block.
    pub(super) fn may_begin(&self, block: usize, prefix: &[u8]) -> bool {
        let separator = self.separator(block);
        separator <= prefix || separator.starts_with(prefix)
    }

    fn separator(&self, block: usize) -> &[u8] {
        let start = block.checked_sub(1).map_or(0, |before| self.blocks[before].separator_end);
        &self.separators[start..self.blocks[block].separator_end]
    }

    /// Calls `visit` with place, text and payload of each entry of some blocks, which rise; neighbours are read
    /// together.
    pub(super) fn visit(
        &self,
        source: &Source,
        blocks: impl IntoIterator<Item = usize>,
        mut visit: impl FnMut(Here, &[u8], &[u8]) -> Result<Visit, IndexError>,
    ) -> Result<(), IndexError> {
        let mut blocks = blocks.into_iter().peekable();
        while let Some(first) = blocks.next() {
            let (mut last, mut bytes) = (first, self.blocks.get(first).map_or(0, |block| block.bytes));
            while let Some(next) = blocks.next_if(|next| {
                *next == last + 1
                    && self.blocks.get(*next).is_some_and(|next| bytes + next.bytes <= READ_BYTES)
            }) {
                last = next;
                bytes += self.blocks[next].bytes;
            }
            let Some(run) = self.blocks.get(first..=last) else { continue };
            let all = source.read(run[0].offset, bytes)?;
            let mut rest = &all[..];
            for (index, block) in run.iter().enumerate() {
                let (sealed, behind) = rest.split_at(block.bytes);
                rest = behind;
                let entries = block.first..self.first_entry(first + index + 1);
                if visit_block(source, block.offset, sealed, entries, &mut visit)? == Visit::Enough {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn visit_block(
    source: &Source,
    offset: u64,
    sealed: &[u8],
    entries: Range<u32>,
    visit: &mut impl FnMut(Here, &[u8], &[u8]) -> Result<Visit, IndexError>,
) -> Result<Visit, IndexError> {
    let malformed = || damaged(offset, "a block of a table is malformed");
    let mut decoder = Decoder::new(source.verify(offset, sealed)?);
    for entry in entries {
        let (text, payload) = decoder.next().map_err(|_| malformed())?.ok_or_else(malformed)?;
        if visit(Here { entry, offset }, text, payload)? == Visit::Enough {
            return Ok(Visit::Enough);
        }
    }
    match decoder.next() {
        Ok(None) => Ok(Visit::On),
        _ => Err(malformed()),
    }
}
