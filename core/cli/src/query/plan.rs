//! From what was typed to what is asked: periods, windows, groups.

use std::time::Duration;

use sereno_client::messages::{self, Alignment, Grouping, Param};
use sereno_model::Timestamp;

use super::args::{Align, Args, Window};
use crate::output::number::Unit;
use crate::{Exit, Failure};

/// The period when nothing says another.
const PERIOD: Duration = Duration::from_secs(3_600);
/// The most windows of `auto`.
const WINDOWS: f64 = 60.0;

/// A question, and what its answer needs to be shown.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) query: messages::Query,
    /// What the values are: the aggregation, or `None` for samples.
    pub(super) aggregation: Option<String>,
    pub(super) window: Duration,
    pub(super) step: Duration,
    /// What is added to times before they are shown.
    pub(super) offset: Duration,
    /// The period as it is shown, without the offset. Without a start: all there is.
    pub(super) start: Option<Timestamp>,
    pub(super) end: Timestamp,
}

impl Plan {
    pub(super) fn of(args: &Args, now: Timestamp) -> Result<Self, Failure> {
        let as_of = args.as_of.map(|time| time.resolve(now));
        // Whoever looks back looks from there.
        let now = as_of.unwrap_or(now);
        let kind = Kind::of(args);
        let (start, end) = period(args, &kind, now)?;
        let window = kind.window(start, end.unwrap_or(now))?;
        let step = step(args, window)?;
        let offset = args.offset.unwrap_or_default();
        // A shifted period needs an end, or it would reach until now; and one window over all of a period would become
        // two, if the server's now were a little later.
        let ends = end.is_some() || !offset.is_zero() || matches!(kind, Kind::Whole(_));
        let asked_end = ends.then(|| end.unwrap_or(now) - offset);
        let (grouping, by) = grouping(args)?;
        let query = messages::Query {
            selector: args.selector.clone(),
            aggregation: kind.aggregation().unwrap_or_default().to_owned(),
            params: params(args),
            window: nanos(window),
            step: if step == window { 0 } else { nanos(step) },
            alignment: alignment(args, &kind).into(),
            grouping: grouping.into(),
            by,
            across: args.across.clone().unwrap_or_default(),
            start: start.map(|start| (start - offset).nanos()),
            end: asked_end.map(Timestamp::nanos),
            as_of: as_of.map(Timestamp::nanos),
            series_max: args.limit_series,
            points_max: args.limit_points,
            ..Default::default()
        };
        let aggregation = kind.aggregation().map(str::to_owned);
        Ok(Self { query, aggregation, window, step, offset, start, end: end.unwrap_or(now) })
    }

    /// A time of the answer as it is shown.
    pub(super) fn shown(&self, time: i64) -> i64 {
        (Timestamp::from_nanos(time) + self.offset).nanos()
    }

    /// What the values of a metric are measured in.
    pub(super) fn unit(&self, name: &str) -> Unit {
        Unit::of(name, self.aggregation.as_deref().unwrap_or_default())
    }

    /// The head of the column of values.
    pub(super) fn value_name(&self) -> &str {
        self.aggregation.as_deref().unwrap_or("value")
    }
}

/// What is asked for.
enum Kind<'a> {
    Samples,
    /// One window over all of the period.
    Whole(&'a str),
    Auto(&'a str),
    Windows(&'a str, Duration),
}

impl<'a> Kind<'a> {
    fn of(args: &'a Args) -> Self {
        let aggregation = args.aggregation().unwrap_or("mean");
        match args.window() {
            Some(Window::Samples) => Self::Samples,
            Some(Window::Auto) => Self::Auto(aggregation),
            Some(Window::Length(length)) => Self::Windows(aggregation, length),
            // Samples cannot be joined; whoever asks for groups wants to see how they go.
            None if args.aggregation().is_none() && args.is_grouped() => Self::Auto(aggregation),
            None if args.aggregation().is_none() => Self::Samples,
            None => Self::Whole(aggregation),
        }
    }

    fn aggregation(&self) -> Option<&'a str> {
        match self {
            Self::Samples => None,
            Self::Whole(aggregation) | Self::Auto(aggregation) | Self::Windows(aggregation, _) => {
                Some(aggregation)
            }
        }
    }

    /// Zero for samples. A period without a start has a window only if its length was given.
    fn window(&self, start: Option<Timestamp>, end: Timestamp) -> Result<Duration, Failure> {
        let whole = start.map_or(Duration::ZERO, |start| end.since(start));
        match self {
            Self::Samples => Ok(Duration::ZERO),
            Self::Windows(_, length) => Ok(*length),
            _ if whole.is_zero() => Err(Failure::new(Exit::Usage, "the period is empty")
                .hint("`--start` is the same as `--end`, or later than now")),
            Self::Whole(_) => Ok(whole),
            Self::Auto(_) => {
                let secs = Unit::Seconds.step(whole.as_secs_f64() / WINDOWS);
                Ok(Duration::try_from_secs_f64(secs).unwrap_or(whole).max(Duration::from_nanos(1)))
            }
        }
    }
}

/// Start and end, the start by default.
fn period(
    args: &Args,
    kind: &Kind<'_>,
    now: Timestamp,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Failure> {
    let (start, end) = args.period.resolve(now)?;
    // A window tells what is wanted of everything; so does its 0.
    let all = matches!(kind, Kind::Windows(..)) || args.window() == Some(Window::Samples);
    Ok((start.or_else(|| (!all).then(|| end.unwrap_or(now) - PERIOD)), end))
}

fn step(args: &Args, window: Duration) -> Result<Duration, Failure> {
    match args.step {
        Some(_) if window.is_zero() => {
            Err(Failure::new(Exit::Usage, "`--step` goes from window to window, but there are none")
                .hint("give an aggregation and the length of a window: `mean 1m --step 10s`"))
        }
        step => Ok(step.unwrap_or(window)),
    }
}

fn alignment(args: &Args, kind: &Kind<'_>) -> Alignment {
    match (args.align, kind) {
        (_, Kind::Whole(_)) | (Align::Start, _) => Alignment::Start,
        (Align::First, _) => Alignment::FirstSample,
        (Align::Epoch, _) => Alignment::Unspecified,
    }
}

fn grouping(args: &Args) -> Result<(Grouping, Vec<String>), Failure> {
    let by: Vec<&str> = args.by.iter().map(|label| label.trim()).collect();
    match by.as_slice() {
        _ if args.total => Ok((Grouping::All, Vec::new())),
        [] | ["*"] => Ok((Grouping::Unspecified, Vec::new())),
        [""] => Ok((Grouping::All, Vec::new())),
        by if by.iter().any(|label| label.is_empty() || *label == "*") => {
            Err(Failure::new(Exit::Usage, "`--by` is a list of labels, or `*` alone")
                .hint("`--by host,env`; `--by '*'` for every series; `--total` for all in one"))
        }
        by => Ok((Grouping::Labels, by.iter().map(|label| (*label).to_owned()).collect())),
    }
}

fn params(args: &Args) -> Vec<Param> {
    let params = args.params.iter().cloned();
    params.map(|(name, value)| Param { name, value: Some(value) }).collect()
}

/// What is longer than i64 was refused where it was read.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
