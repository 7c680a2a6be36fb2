//! Times as they are printed: RFC 3339, UTC.

use std::time::{Duration, UNIX_EPOCH};

use sereno_model::Timestamp;

/// How fine the times of a table are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Precision {
    /// `2017-07-14T02:40:00Z`
    #[default]
    Seconds,
    /// `2017-07-14T02:40:00.250Z`
    Millis,
    /// `2017-07-14T02:40:00.250000001Z`
    Nanos,
}

impl Precision {
    /// The coarsest that tells all of a time, in nanoseconds since the epoch.
    pub(crate) fn of(time: i64) -> Self {
        match time {
            _ if time % 1_000_000 != 0 => Self::Nanos,
            _ if time % 1_000_000_000 != 0 => Self::Millis,
            _ => Self::Seconds,
        }
    }

    /// The time with so many digits. A time before 1970 is told in seconds since then.
    pub(crate) fn format(self, time: i64) -> String {
        let Ok(nanos) = u64::try_from(time) else { return Timestamp::from_nanos(time).to_string() };
        let time = UNIX_EPOCH + Duration::from_nanos(nanos);
        match self {
            Self::Seconds => humantime::format_rfc3339_seconds(time).to_string(),
            Self::Millis => humantime::format_rfc3339_millis(time).to_string(),
            Self::Nanos => humantime::format_rfc3339_nanos(time).to_string(),
        }
    }
}

/// A time with every digit it has, milliseconds at least.
pub(crate) fn exact(time: i64) -> String {
    Precision::of(time).max(Precision::Millis).format(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_that_they_need() {
        let second = 1_500_000_000_000_000_000;
        assert_eq!(Precision::of(second).format(second), "2017-07-14T02:40:00Z");
        assert_eq!(exact(second), "2017-07-14T02:40:00.000Z");
        assert_eq!(exact(second + 250_000_000), "2017-07-14T02:40:00.250Z");
        assert_eq!(exact(second + 1), "2017-07-14T02:40:00.000000001Z");
        assert_eq!(
            (exact(-1_500_000_000), exact(i64::MAX)),
            ("-1.5".into(), "2262-04-11T23:47:16.854775807Z".into())
        );
    }
}
