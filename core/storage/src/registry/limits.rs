//! What a new series must meet. Known series never come here.

use std::time::Duration;

use sereno_model::SeriesKey;

/// Limits on new series; the keys of the configuration have the same names.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Series there may be.
    pub series_max: u32,
    /// New series a minute; 0 for any number.
    pub series_per_minute_max: u32,
    /// Labels of one series.
    pub labels_max: u32,
    /// Bytes of one label's value.
    pub label_value_bytes_max: u32,
}

/// Why a series cannot be created. Known series are not affected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// There are as many series as there may be.
    #[error(
        "there are {max} series already, so `{key}` is refused; raise `storage.series_max` or send fewer"
    )]
    TooMany {
        /// The limit.
        max: u32,
        /// The series that was refused.
        key: String,
    },
    /// Series come faster than they may. The same series may be accepted a moment later.
    #[error(
        "more than {max} new series in a minute, so `{key}` is refused for now; raise \
         `storage.series_per_minute_max`, or find the label whose values never repeat"
    )]
    TooFast {
        /// The limit.
        max: u32,
        /// The series that was refused.
        key: String,
    },
    /// The series has too many labels.
    #[error("`{key}` has {count} labels, more than {max}; raise `storage.labels_max` or send fewer labels")]
    TooManyLabels {
        /// The limit.
        max: u32,
        /// How many it has.
        count: u32,
        /// The series that was refused.
        key: String,
    },
    /// The value of a label is too long.
    #[error(
        "label `{label}` of `{name}` has a value of {bytes} bytes, more than {max}; raise \
         `storage.label_value_bytes_max` or shorten it"
    )]
    ValueTooLong {
        /// The limit.
        max: u32,
        /// The label.
        label: String,
        /// The bytes of its value.
        bytes: usize,
        /// The name of the metric.
        name: String,
    },
}

impl Limits {
    /// What a series must meet whatever else there is.
    pub(super) fn check_labels(&self, key: &SeriesKey) -> Result<(), CreateError> {
        let mut count = 0;
        for (label, value) in key.labels() {
            count += 1;
            if value.len() > self.label_value_bytes_max as usize {
                let (label, name) = (label.to_owned(), key.name().to_owned());
                return Err(CreateError::ValueTooLong {
                    max: self.label_value_bytes_max,
                    label,
                    bytes: value.len(),
                    name,
                });
            }
        }
        match count <= self.labels_max {
            true => Ok(()),
            false => Err(CreateError::TooManyLabels { max: self.labels_max, count, key: key.to_string() }),
        }
    }
}

/// A bucket that holds the new series of one minute and fills evenly.
#[derive(Debug)]
pub(super) struct Pace {
    per_minute: u32,
    /// In millionths of a series.
    level: u64,
    filled: Duration,
}

const MILLIONTHS: u64 = 1_000_000;

impl Pace {
    pub(super) fn new(per_minute: u32, now: Duration) -> Self {
        Self { per_minute, level: u64::from(per_minute) * MILLIONTHS, filled: now }
    }

    /// Whether one more may come at `now`; if so, it is counted.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        if self.per_minute == 0 {
            return true;
        }
        let full = u64::from(self.per_minute) * MILLIONTHS;
        let micros = now.saturating_sub(self.filled).min(Duration::from_secs(60)).as_micros() as u64;
        let gained = micros * u64::from(self.per_minute) / 60;
        // What is too little to count stays in the clock.
        if gained > 0 {
            self.level = (self.level + gained).min(full);
            self.filled = now;
        }
        let admitted = self.level >= MILLIONTHS;
        self.level -= if admitted { MILLIONTHS } else { 0 };
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_allows_a_minutes_worth_at_once_and_then_an_even_flow() {
        let mut pace = Pace::new(60, Duration::ZERO);
        let at = |pace: &mut Pace, millis| pace.take(Duration::from_millis(millis));
        assert_eq!((0..100).filter(|_| at(&mut pace, 0)).count(), 60);
        assert!(!at(&mut pace, 999));
        assert!(at(&mut pace, 1_000) && !at(&mut pace, 1_001));
        assert_eq!(
            (0..100).filter(|_| at(&mut pace, 600_000)).count(),
            60,
            "it never holds more than a minute's"
        );
        assert!((0..1_000).all(|_| Pace::new(0, Duration::ZERO).take(Duration::ZERO)), "0 is no limit");
    }
}
