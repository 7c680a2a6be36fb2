//! Batches: gauges in hundredths that wander, every 10 s, as machines send them.

use sereno_protocol::v2::messages::Ack;
use sereno_protocol::v2::write::{Definition, Times, WriteFrame};

/// Ids are counted from here, so that each takes five bytes.
pub const FIRST_ID: u64 = 1 << 28;
/// From sample to sample, in nanoseconds.
const STEP: i64 = 10_000_000_000;

/// Makes the batches of one connection, one after the other, each later than the one before.
pub struct Batches {
    names: Vec<[String; 2]>,
    refs: Vec<u32>,
    counts: Vec<u32>,
    per_series: usize,
    times: Vec<i64>,
    values: Vec<f64>,
    wander: Vec<f64>,
    step: i64,
    first_time: i64,
    id: u64,
    pub ack: Ack,
}

impl Batches {
    /// Batches of `series` series of their own with `per_series` samples each, the first at `first_time`.
    pub fn new(connection: usize, series: usize, per_series: usize, first_time: i64) -> Self {
        let host = |index: usize| [format!("host-{connection}-{}", index / 10), format!("{}", index % 10)];
        // A random walk; where it is read from differs by series.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut level = 5_000_i64;
        let wander = (0..16_384).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            level += (state >> 60) as i64 - 7;
            level as f64 / 100.0
        });
        Self {
            names: (0..series).map(host).collect(),
            refs: (0..series as u32).collect(),
            counts: if per_series == 1 { Vec::new() } else { vec![per_series as u32; series] },
            per_series,
            times: Vec::new(),
            values: Vec::new(),
            wander: wander.collect(),
            step: 0,
            first_time,
            id: FIRST_ID,
            ack: Ack::Os,
        }
    }

    /// Samples in a batch.
    pub fn samples(&self) -> usize {
        self.refs.len() * self.per_series
    }

    /// Appends the frame of the next batch.
    pub fn put(&mut self, frame: &mut Vec<u8>) {
        let (step, count) = (self.step, self.per_series as i64);
        self.step += count;
        self.id += 1;
        self.values.clear();
        for series in 0..self.refs.len() {
            let from = (series * 37 + step as usize) % (self.wander.len() - self.per_series);
            self.values.extend_from_slice(&self.wander[from..from + self.per_series]);
        }
        let time = |step: i64| self.first_time + step * STEP;
        let times = if count == 1 {
            Times::One(time(step))
        } else {
            self.times.clear();
            for _ in 0..self.refs.len() {
                self.times.extend((step..step + count).map(time));
            }
            Times::Each(&self.times)
        };
        let first = if step == 0 { self.names.as_slice() } else { &[] };
        let series: Vec<Definition<'_>> =
            (0..).zip(first).map(|(reference, names)| define(reference, names)).collect();
        let batch = WriteFrame {
            id: self.id,
            series: &series,
            refs: &self.refs,
            counts: &self.counts,
            times,
            values: &self.values,
            ack: self.ack,
            number: 0,
            resent: false,
        };
        batch.put(frame);
    }
}

fn define(reference: u32, [host, cpu]: &[String; 2]) -> Definition<'_> {
    Definition { reference, name: "cpu.load", labels: vec![("host", host), ("cpu", cpu)] }
}

/// Thirty days ago.
pub fn a_month_ago() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = now.as_nanos() as i64;
    (now - now % STEP) - 30 * 86_400_000_000_000
}
