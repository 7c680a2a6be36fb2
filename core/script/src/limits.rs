//! What a script may use up. Every limit is set, and set alike in debug and release builds.

use std::time::Duration;

use serde::Deserialize;
use sereno_runtime::units;

/// The limits on scripts, as configured under `scripts.limits`. A change takes effect at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Operations of one call of a script, about 50 ns each. Default 2,000,000.
    pub operations_max: u64,
    /// Operations of all the calls for one rule at one tick. Default 20,000,000.
    pub operations_per_tick_max: u64,
    /// Samples that one rule may decode or look at in one tick, each time they are looked at. Rows of minutes and hours
    /// that stand for samples are free. Default 50,000,000.
    pub samples_max: u64,
    /// How long one call may take. Default 1 s.
    #[serde(with = "units::duration")]
    pub deadline: Duration,
    /// How deep functions may call each other. Default 16; lowered so that the product with `expression_depth_max` is
    /// at most 1,024, which is what fits the stack.
    pub call_depth_max: usize,
    /// How deep an expression may nest, 8 to 64; 32 is enough for a sum of 28 terms, or 24 times `else if`. Default 32.
    pub expression_depth_max: usize,
    /// The longest text, in bytes. Default 65,536.
    pub string_bytes_max: usize,
    /// The most entries of an array, those of arrays inside it included; at most 1,000. Default 1,000.
    pub array_len_max: usize,
    /// The most entries of a map, those of maps inside it included; at most 1,000. Default 1,000.
    pub map_len_max: usize,
    /// What an instance may remember between ticks, in bytes, roughly. Default 16,384.
    pub memory_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations_max: 2_000_000,
            operations_per_tick_max: 20_000_000,
            samples_max: 50_000_000,
            deadline: Duration::from_secs(1),
            call_depth_max: 16,
            expression_depth_max: 32,
            string_bytes_max: 65_536,
            array_len_max: 1_000,
            map_len_max: 1_000,
            memory_bytes_max: 16_384,
        }
    }
}
