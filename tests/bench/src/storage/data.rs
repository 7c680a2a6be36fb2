//! The samples: the same ones at every run.

use std::f64::consts::{E, TAU};

use sereno_model::SeriesKey;

/// The splitmix64 generator.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `0..end`.
    pub fn below(&mut self, end: u32) -> i64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as i64
    }

    /// Uniform in `(0, 1]`.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// By Box and Muller, the cosine alone.
    fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        mean + deviation * (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }
}

/// What the values of a series are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A walk from 50.00 by uniform steps of at most 0.50, in hundredths.
    Gauge,
    /// A sum of uniform whole steps of 0 to 100.
    Counter,
    /// One value for ever, another for each series.
    Constant,
    /// Normal with mean 50 and deviation 7, in all bits of the mantissa.
    Noisy,
}

const NOISY_DEVIATION: f64 = 7.0;

impl Kind {
    /// Bytes a value that no code can do without.
    pub fn entropy(self) -> f64 {
        match self {
            // 101 steps, equally likely.
            Self::Gauge | Self::Counter => 101_f64.log2() / 8.0,
            Self::Constant => 0.0,
            // A normal variable in steps of 2^-47 (numbers from 32 to 64) has log2(deviation * sqrt(2 pi e)) + 47 bits;
            // the few beyond 64 have one less, those below 32 one more.
            Self::Noisy => (NOISY_DEVIATION.log2() + (TAU * E).log2() / 2.0 + 47.0 - 0.0228 + 0.0051) / 8.0,
        }
    }
}

/// How many milliseconds a jittered sample may be late, all equally likely.
const JITTER_MILLIS: u32 = 20;

/// The same for a jittered time on a known grid.
pub fn jitter_entropy() -> f64 {
    f64::from(JITTER_MILLIS).log2() / 8.0
}

/// The values and delays of one series.
pub struct Source {
    kind: Kind,
    state: i64,
    random: Random,
}

impl Source {
    pub fn new(kind: Kind, series: u32) -> Self {
        let state = match kind {
            Kind::Gauge => 5_000,
            Kind::Counter | Kind::Noisy => 0,
            Kind::Constant => series.into(),
        };
        let mut seeds = Random::new(u64::from(series) << 8 | kind as u64);
        Self { kind, state, random: Random::new(seeds.next()) }
    }

    pub fn value(&mut self) -> f64 {
        match self.kind {
            Kind::Gauge => {
                self.state += self.random.below(101) - 50;
                self.state as f64 / 100.0
            }
            Kind::Counter => {
                self.state += self.random.below(101);
                self.state as f64
            }
            Kind::Constant => self.state as f64,
            Kind::Noisy => self.random.normal(50.0, NOISY_DEVIATION),
        }
    }

    /// How late the next sample is, in nanoseconds.
    pub fn delay_nanos(&mut self) -> i64 {
        self.random.below(JITTER_MILLIS) * 1_000_000
    }
}

/// A key with two labels: a host of its own, and one of ten regions.
pub fn key(series: u32) -> SeriesKey {
    let labels = [("host", format!("host-{series:04}")), ("region", format!("r-{}", series % 10))];
    known_good(SeriesKey::new("bench.gauge", labels))
}

/// A key with three: a region and a service meet in a hundredth of all series.
pub fn crossed_key(series: u32) -> SeriesKey {
    let labels = [
        ("host", format!("host-{series:06}")),
        ("region", format!("r-{}", series % 10)),
        ("service", format!("s-{}", series / 10 % 10)),
    ];
    known_good(SeriesKey::new("bench.gauge", labels))
}

fn known_good<E: std::fmt::Display>(key: Result<SeriesKey, E>) -> SeriesKey {
    key.unwrap_or_else(|error| unreachable!("names and values are fixed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        let mut random = Random::new(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn values_are_what_the_goals_are_about() {
        let mut gauge = Source::new(Kind::Gauge, 7);
        let mut before = 50.0;
        for value in (0..10_000).map(|_| gauge.value()) {
            assert!((value - before).abs() < 0.505 && value == (value * 100.0).round() / 100.0);
            before = value;
        }
        let mut noisy = Source::new(Kind::Noisy, 7);
        let mean = (0..10_000).map(|_| noisy.value()).sum::<f64>() / 10_000.0;
        assert!((mean - 50.0).abs() < 0.5, "{mean}");
    }
}
