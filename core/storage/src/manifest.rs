//! The manifest: which segments there are, and up to where the log is in them. Bytes: `FORMAT.md`.
//!
//! A manifest is a blob of its own number, written whole under a name that must be free: of two owners of one store,
//! one finds its number taken. The highest number counts, and no other: what the one before it names may be gone. If it
//! does not verify, the segments tell of themselves, and the one before it of what can only have grown since.

use std::io;

use crate::blobs::{Blobs, SealError};
use crate::bytes::Reader;
use crate::checksum::Seed;
use crate::segment::Meta;

const MAGIC: &[u8; 8] = b"SERENO-M";
/// The version without a memory, which is written as long as there is none.
const VERSION: u32 = 1;
const VERSION_WITH_MEMORY: u32 = 2;
const META_BYTES: usize = 88;
/// How many manifests before the present one are kept.
const KEPT: u64 = 1;

/// What is true of the store, besides its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub number: u64,
    /// No segment has this id or a higher one.
    pub next_segment: u64,
    /// WAL files with ids from this on may exist.
    pub next_wal_file: u64,
    /// The number of the last flush.
    pub sequence: u64,
    /// Time as retention sees it: the wall clock without unconfirmed jumps ahead; nanoseconds.
    pub trusted_time: i64,
    /// The WAL file whose memory of numbered batches counts; 0 for none.
    pub memory_file: u64,
    /// Per queue, the commit position up to which everything is in segments.
    pub marks: Vec<u64>,
    pub segments: Vec<Meta>,
}

/// What was found of manifests.
#[derive(Debug)]
pub(crate) enum Found {
    /// None: the store is new, or has never flushed.
    None,
    Intact(Manifest),
    /// The highest number does not verify; it is this one. The one before it may.
    Damaged(u64, Option<Manifest>),
}

fn name(number: u64) -> String {
    format!("{number:016x}.manifest")
}

fn number_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".manifest")?, 16).ok()
}

impl Manifest {
    /// Reads the manifest that counts.
    pub(crate) fn load(blobs: &dyn Blobs, store_id: &[u8; 16]) -> io::Result<Found> {
        let mut numbers: Vec<u64> = blobs.list()?.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        let Some(number) = numbers.pop() else { return Ok(Found::None) };
        if let Some(manifest) = Self::read(blobs, store_id, number)? {
            return Ok(Found::Intact(manifest));
        }
        let before = numbers.pop().map(|number| Self::read(blobs, store_id, number)).transpose()?;
        Ok(Found::Damaged(number, before.flatten()))
    }

    fn read(blobs: &dyn Blobs, store_id: &[u8; 16], number: u64) -> io::Result<Option<Self>> {
        let blob = blobs.open(&name(number))?;
        let size = usize::try_from(blob.size()).unwrap_or(usize::MAX);
        Ok(Self::decode(&blob.read_at(0, size)?, store_id, number))
    }

    /// Writes the next manifest, and removes those of no more use. When it returns, it counts; when it fails, it may.
    pub(crate) fn store(&self, blobs: &dyn Blobs, store_id: &[u8; 16]) -> Result<(), SealError> {
        let mut writer = blobs.create(&name(self.number))?;
        writer.write(&self.encode(store_id))?;
        writer.seal()?;
        // What is left too long is read by nobody.
        for old in blobs.list().unwrap_or_default().iter().filter_map(|name| number_of(name)) {
            if old + KEPT < self.number
                && let Err(error) = blobs.remove(&name(old))
            {
                tracing::debug!(manifest = old, %error, "An old manifest stays.");
            }
        }
        Ok(())
    }

    fn encode(&self, store_id: &[u8; 16]) -> Vec<u8> {
        let mut out = Vec::with_capacity(80 + self.marks.len() * 8 + self.segments.len() * META_BYTES);
        out.extend_from_slice(MAGIC);
        let version = if self.memory_file == 0 { VERSION } else { VERSION_WITH_MEMORY };
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&(self.marks.len() as u32).to_le_bytes());
        for number in [self.number, self.next_segment, self.next_wal_file, self.sequence] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.trusted_time.to_le_bytes());
        out.extend_from_slice(&(self.segments.len() as u64).to_le_bytes());
        if self.memory_file != 0 {
            out.extend_from_slice(&self.memory_file.to_le_bytes());
        }
        self.marks.iter().for_each(|mark| out.extend_from_slice(&mark.to_le_bytes()));
        for meta in &self.segments {
            out.extend_from_slice(&meta.id.to_le_bytes());
            out.extend_from_slice(&meta.group.to_le_bytes());
            out.extend_from_slice(&u32::from(meta.level).to_le_bytes());
            for number in [meta.day, meta.time_min, meta.time_max] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            let numbers = [meta.sequence_first, meta.sequence_last, meta.series, meta.samples, meta.bytes];
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            out.extend_from_slice(&[0; 8]);
        }
        let crc = Seed::new(store_id, self.number).checksum(0, &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8], store_id: &[u8; 16], number: u64) -> Option<Self> {
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc != Seed::new(store_id, number).checksum(0, body).to_le_bytes() {
            return None;
        }
        let mut reader = Reader(body.strip_prefix(MAGIC)?);
        let version = reader.u32()?;
        if !(VERSION..=VERSION_WITH_MEMORY).contains(&version) {
            return None;
        }
        let queues = reader.u32()? as usize;
        let mut manifest = Self { number: reader.u64()?, next_segment: reader.u64()?, ..Self::default() };
        manifest.next_wal_file = reader.u64()?;
        manifest.sequence = reader.u64()?;
        manifest.trusted_time = reader.i64()?;
        let segments = usize::try_from(reader.u64()?).ok()?;
        if version == VERSION_WITH_MEMORY {
            manifest.memory_file = reader.u64()?;
        }
        if reader.0.len() != queues.checked_mul(8)?.checked_add(segments.checked_mul(META_BYTES)?)? {
            return None;
        }
        for _ in 0..queues {
            manifest.marks.push(reader.u64()?);
        }
        for _ in 0..segments {
            manifest.segments.push(Meta {
                id: reader.u64()?,
                group: reader.u32()?,
                level: u8::try_from(reader.u32()?).ok()?,
                day: reader.i64()?,
                time_min: reader.i64()?,
                time_max: reader.i64()?,
                sequence_first: reader.u64()?,
                sequence_last: reader.u64()?,
                series: reader.u64()?,
                samples: reader.u64()?,
                bytes: reader.u64()?,
            });
            reader.u64()?;
        }
        (manifest.number == number).then_some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_damage_does_not() {
        for memory_file in [0, 6] {
            check(memory_file);
        }
    }

    fn check(memory_file: u64) {
        let meta = Meta {
            id: 7,
            group: 3,
            day: -2,
            level: 1,
            sequence_first: 4,
            sequence_last: 9,
            time_min: -5,
            time_max: 8,
            series: 10,
            samples: 11,
            bytes: 12,
        };
        let manifest = Manifest {
            number: 5,
            next_segment: 8,
            next_wal_file: 2,
            sequence: 9,
            trusted_time: 77,
            memory_file,
            marks: vec![1, 2, 3],
            segments: vec![meta.clone(), meta],
        };
        let bytes = manifest.encode(&[1; 16]);
        assert_eq!(bytes[8], if memory_file == 0 { 1 } else { 2 }, "the version");
        assert_eq!(Manifest::decode(&bytes, &[1; 16], 5), Some(manifest));
        assert_eq!(Manifest::decode(&bytes, &[2; 16], 5), None, "of another store");
        assert_eq!(Manifest::decode(&bytes, &[1; 16], 6), None, "under another number");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Manifest::decode(&damaged, &[1; 16], 5), None);
            assert_eq!(Manifest::decode(&bytes[..at], &[1; 16], 5), None);
        }
    }
}
