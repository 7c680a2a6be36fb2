//! Checksums that know their place: crc32 (IEEE) over the store's identity, the file's, the offset in it, and the bytes.
//! So bytes that were copied, misplaced, or left behind by an old file do not verify anywhere else.

/// What every checksum of one file starts from.
#[derive(Clone, Debug)]
pub(crate) struct Seed(crc32fast::Hasher);

impl Seed {
    /// The seed of a file of a store.
    pub(crate) fn new(store_id: &[u8; 16], file_id: u64) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(store_id);
        hasher.update(&file_id.to_le_bytes());
        Self(hasher)
    }

    /// The checksum of bytes that stand at `offset` of the file.
    pub(crate) fn checksum(&self, offset: u64, bytes: &[u8]) -> u32 {
        self.checksum_of(offset, &[bytes])
    }

    /// The checksum of parts that stand one after the other from `offset` on.
    pub(crate) fn checksum_of(&self, offset: u64, parts: &[&[u8]]) -> u32 {
        let mut crc = self.0.clone();
        crc.update(&offset.to_le_bytes());
        parts.iter().for_each(|part| crc.update(part));
        crc.finalize()
    }

    /// Appends the checksum of what stands in `out` from `start` on; its offset in the file is `start + shift`.
    pub(crate) fn seal(&self, out: &mut Vec<u8>, start: usize, shift: u64) {
        let crc = self.checksum(start as u64 + shift, &out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }
}
