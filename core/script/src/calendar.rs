//! The time of day at a place, for rules that differ by night and day. Time zones come with the binary, so that a rule
//! means the same on every machine.

use std::fmt;

use jiff::tz::TimeZone;
use rhai::{Dynamic, Engine};
use sereno_model::Timestamp;
use sereno_runtime::units::parse_duration;

use crate::convert::{Outcome, number_argument};
use crate::lint::suggest;

/// A time zone, such as `Europe/Madrid` or `UTC`.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

/// There is no time zone of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ZoneError {
    /// The name.
    pub name: String,
    /// A zone that may be meant.
    pub near: Option<String>,
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no time zone `{}`; ", self.name)?;
        match &self.near {
            Some(near) => write!(f, "did you mean `{near}`?"),
            None => f.write_str("zones are like `Europe/Madrid` and `UTC`"),
        }
    }
}

impl Zone {
    /// The zone of this name.
    ///
    /// # Errors
    /// [`ZoneError`] if there is none.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        TimeZone::get(name).map(Self).map_err(|_| {
            let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
            let near = suggest(name, known.iter().map(String::as_str)).map(str::to_owned);
            ZoneError { name: name.to_owned(), near }
        })
    }

    /// The hour of the day there, 0 to 23.
    #[must_use]
    pub fn hour(&self, time: Timestamp) -> u32 {
        u32::try_from(self.at(time).hour()).unwrap_or(0)
    }

    /// The day of the week there, 1 for Monday to 7 for Sunday.
    #[must_use]
    pub fn weekday(&self, time: Timestamp) -> u32 {
        u32::try_from(self.at(time).weekday().to_monday_one_offset()).unwrap_or(1)
    }

    /// The date there: `2026-11-27`.
    #[must_use]
    pub fn date(&self, time: Timestamp) -> String {
        self.at(time).date().to_string()
    }

    fn at(&self, time: Timestamp) -> jiff::civil::DateTime {
        // Every time that can be told lies within the years that the calendar knows.
        let time = jiff::Timestamp::from_nanosecond(i128::from(time.nanos())).unwrap_or_default();
        self.0.to_datetime(time)
    }
}

pub(crate) fn register(engine: &mut Engine) {
    engine.register_fn("dur", |text: &str| -> Outcome<f64> {
        match parse_duration(text) {
            Ok(duration) => Ok(duration.as_secs_f64()),
            Err(why) => Err(format!("`dur` wants a duration such as \"5m\": `{text}`: {why}").into()),
        }
    });
    engine.register_fn("hour", |time: Dynamic, zone: &str| -> Outcome<i64> {
        at("hour", &time, zone, |zone, time| zone.hour(time).into())
    });
    engine.register_fn("weekday", |time: Dynamic, zone: &str| -> Outcome<i64> {
        at("weekday", &time, zone, |zone, time| zone.weekday(time).into())
    });
    engine.register_fn("date", |time: Dynamic, zone: &str| -> Outcome<String> {
        at("date", &time, zone, Zone::date)
    });
}

fn at<T>(function: &str, time: &Dynamic, zone: &str, read: impl FnOnce(&Zone, Timestamp) -> T) -> Outcome<T> {
    let secs = number_argument(function, time)?;
    let zone = Zone::named(zone).map_err(|error| error.to_string())?;
    match Timestamp::from_secs_f64(secs) {
        Some(time) => Ok(read(&zone, time)),
        None => Err(format!("`{function}`: NaN is no time").into()),
    }
}
