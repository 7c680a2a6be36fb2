//! The period of a question, as all that ask about stored data take it.

use std::time::Duration;

use sereno_model::Timestamp;

use crate::parse::{self, When};
use crate::{Exit, Failure};

#[derive(clap::Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Period")]
pub(crate) struct Period {
    /// The start of the period: RFC 3339, Unix seconds, `now`, or `-1h`
    #[arg(long, value_name = "TIME", value_parser = parse::when, allow_hyphen_values = true)]
    start: Option<When>,
    /// The end of the period, exclusive
    #[arg(long, value_name = "TIME", value_parser = parse::when, allow_hyphen_values = true)]
    end: Option<When>,
    /// The last stretch of time until now, like `1h`
    #[arg(long, value_name = "TIME", value_parser = parse::span, conflicts_with_all = ["start", "end"])]
    last: Option<Duration>,
}

impl Period {
    /// Start and end, as far as they are given.
    pub(crate) fn resolve(self, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>), Failure> {
        let start = self.start.map(|start| start.resolve(now)).or(self.last.map(|last| now - last));
        let end = self.end.map(|end| end.resolve(now));
        match (start, end) {
            (Some(start), Some(end)) if end < start => {
                Err(Failure::new(Exit::Usage, "the period ends before it starts")
                    .hint("swap `--start` and `--end`"))
            }
            period => Ok(period),
        }
    }

    /// Whether anything limits it.
    pub(crate) const fn is_limited(self) -> bool {
        self.start.is_some() || self.end.is_some() || self.last.is_some()
    }
}
