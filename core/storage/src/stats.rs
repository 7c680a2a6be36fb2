//! What the store holds, and what it is doing.

use std::sync::atomic::Ordering;

use sereno_model::Timestamp;

use crate::maintain::{Activity, Maintenance};
use crate::shared::Shared;

/// One moment's figures of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Live series.
    pub series: u32,
    /// Samples in the head.
    pub head_samples: u64,
    /// Memory of the head, in bytes.
    pub head_bytes: u64,
    /// Files of the log.
    pub wal_files: usize,
    /// Bytes of the log.
    pub wal_bytes: u64,
    /// Segments by level: 0 as flushed, 1 merged within their day, 2 whole days.
    pub levels: Vec<LevelStats>,
    /// The oldest and the newest sample in segments.
    pub span: Option<(Timestamp, Timestamp)>,
    /// What maintenance is doing.
    pub activity: Activity,
    /// Whether the log is still being read back.
    pub recovering: bool,
}

/// The segments of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LevelStats {
    /// How many.
    pub segments: u64,
    /// Series, counted once per segment.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes, rows and indices included.
    pub bytes: u64,
}

impl LevelStats {
    /// Bytes a sample; `None` without samples.
    #[must_use]
    pub fn bytes_per_sample(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.bytes as f64 / self.samples as f64)
    }
}

impl Stats {
    pub(crate) fn of(shared: &Shared, maintenance: &Maintenance) -> Self {
        let version = shared.version.load();
        let mut levels = vec![LevelStats::default(); 3];
        for segment in &version.segments {
            let Some(level) = levels.get_mut(segment.meta.level as usize) else { continue };
            level.segments += 1;
            level.series += segment.meta.series;
            level.samples += segment.meta.samples;
            level.bytes += segment.meta.bytes;
        }
        let metas = || version.segments.iter().map(|segment| &segment.meta);
        let oldest = metas().map(|meta| meta.time_min).min();
        let newest = metas().map(|meta| meta.time_max).max();
        Self {
            series: shared.registry.count(),
            head_samples: version.generations.iter().map(|generation| generation.samples()).sum(),
            head_bytes: shared.head_bytes(),
            wal_files: maintenance.wal.inventory.count(),
            wal_bytes: maintenance.wal.inventory.bytes(),
            levels,
            span: oldest.zip(newest).map(|(a, b)| (Timestamp::from_nanos(a), Timestamp::from_nanos(b))),
            activity: maintenance.activity(),
            recovering: shared.recovering.load(Ordering::Acquire),
        }
    }

    /// All segments together.
    #[must_use]
    pub fn segments(&self) -> LevelStats {
        self.levels.iter().fold(LevelStats::default(), |all, level| LevelStats {
            segments: all.segments + level.segments,
            series: all.series + level.series,
            samples: all.samples + level.samples,
            bytes: all.bytes + level.bytes,
        })
    }
}
