//! The bytes of a file in pages of 4 KiB, shared between copies of a tree until one of them writes.

use std::ops::Range;
use std::sync::Arc;

pub(super) const PAGE_BYTES: u64 = 4_096;

/// Bytes of a file. A clone costs one reference count; a write after it copies the pages that it touches.
///
/// Invariant: all pages but the last are full, and none is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    size: u64,
    pages: Arc<Vec<Arc<Vec<u8>>>>,
}

impl Pages {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Cuts to `size`, or grows to it with zeros.
    pub(super) fn resize(&mut self, size: u64) {
        if size == self.size {
            return;
        }
        let pages = Arc::make_mut(&mut self.pages);
        // The page that was last is filled up if others follow; the one that becomes last is cut.
        if let Some(last) = pages.last_mut()
            && size > self.size
        {
            let full = (last.len() as u64 + size - self.size).min(PAGE_BYTES);
            Arc::make_mut(last).resize(full as usize, 0);
        }
        let count = size.div_ceil(PAGE_BYTES);
        pages.resize_with(count as usize, || Arc::new(vec![0; PAGE_BYTES as usize]));
        if let Some(last) = pages.last_mut() {
            let bytes = (size - (count - 1) * PAGE_BYTES) as usize;
            if last.len() != bytes {
                Arc::make_mut(last).resize(bytes, 0);
            }
        }
        self.size = size;
    }

    /// Overwrites from `offset`; grows if need be.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.resize(self.size.max(offset + bytes.len() as u64));
        let pages = Arc::make_mut(&mut self.pages);
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let within = (at % PAGE_BYTES) as usize;
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES as usize - within));
            let page = Arc::make_mut(&mut pages[(at / PAGE_BYTES) as usize]);
            page[within..within + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
    }

    /// Fills `buffer` from `offset`; `false` if the file ends before.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return false;
        }
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let page = &self.pages[(at / PAGE_BYTES) as usize][(at % PAGE_BYTES) as usize..];
            let bytes = page.len().min(buffer.len() - done);
            buffer[done..done + bytes].copy_from_slice(&page[..bytes]);
            done += bytes;
        }
        true
    }

    /// The bytes of `range`, with zeros for what lies beyond the end.
    pub(super) fn padded(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let there = self.size.min(range.end).saturating_sub(range.start) as usize;
        self.read(range.start, &mut bytes[..there]);
        bytes
    }

    /// All bytes.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size as usize);
        for page in self.pages.iter() {
            bytes.extend_from_slice(page);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::Rng;

    #[test]
    fn pages_equal_a_plain_vector() {
        let mut rng = Rng::new(1);
        let (mut pages, mut plain) = (Pages::default(), Vec::<u8>::new());
        for _ in 0..3_000 {
            let copy = pages.clone();
            let before = plain.clone();
            let place = rng.below(20_000) as usize;
            if rng.below(3) == 0 {
                plain.resize(place, 0);
                pages.resize(place as u64);
            } else {
                let bytes: Vec<u8> = (0..rng.below(9_000)).map(|_| rng.next() as u8).collect();
                plain.resize(plain.len().max(place + bytes.len()), 0);
                plain[place..place + bytes.len()].copy_from_slice(&bytes);
                pages.write(place as u64, &bytes);
            }
            assert_eq!((pages.to_vec() == plain, pages.size()), (true, plain.len() as u64));
            assert!(copy.to_vec() == before, "a copy is a copy");
            let (from, bytes) = (rng.below(20_000) as usize, rng.below(9_000) as usize);
            let mut buffer = vec![7; bytes];
            let inside = from + bytes <= plain.len();
            assert_eq!(pages.read(from as u64, &mut buffer), inside);
            assert!(!inside || buffer == plain[from..from + bytes]);
        }
    }
}
