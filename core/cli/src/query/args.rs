//! What `sereno query` takes.

use std::time::Duration;

use sereno_client::messages::param::Value;
use sereno_model::Selector;

use super::period::Period;
use crate::output::Form;
use crate::parse::{self, When};
use crate::plot::Style;

const EXAMPLES: &str = "\
Without AGG and WINDOW the answer is the samples themselves, or the means of groups in windows of a
round length; with AGG alone, one window over all of the period. Without a period it is the last
hour; with a WINDOW, everything that there is.

Windows are right-open, named by their start, and start at multiples of the step since 1970: the
first and the last may reach beyond the period, and hold less. `--align first` begins with the first
sample instead.

Series are joined in two stages: AGG over time within each series, then `--across` the series of one
group; `pool` reduces the union of their samples.

In JSON, numbers that it does not have are the texts \"NaN\", \"+Inf\" and \"-Inf\". The CSV and the JSON
lines of series can be sent again.

Examples:
  sereno query cpu.load                             the last hour, plotted on a terminal
  sereno query 'cpu.load{env=\"prod\"}' p95 1m --last 6h --by host --across max
  sereno query 'http.*' rate auto --last 1d --total     one line of 60 windows at most
  sereno query requests rate 5m --last 1d --offset 7d   the same day, a week ago
  sereno query cpu.load mean 10s --last 5m --watch
  sereno query cpu.load -o ndjson | sereno --server other:5678 send - --format jsonl";

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which series: `cpu.load`, `cpu.load{host="a"}`, `cpu.*{env!="test",host=~"web.*"}`
    #[arg(value_parser = selector)]
    pub(super) selector: String,
    /// `mean`, `min`, `max`, `count`, `p95`, or any other aggregation that the server has
    #[arg(value_name = "AGG")]
    pub(super) aggregation: Option<String>,
    /// The length of a window, like `15s`, `1m`, or plain seconds; `auto` for a round length, so that
    /// they are 60 at most; 0 for the samples themselves
    #[arg(value_name = "WINDOW", value_parser = window, allow_negative_numbers = true)]
    pub(super) window: Option<Window>,
    /// The same as AGG
    #[arg(long = "agg", value_name = "AGG", conflicts_with = "aggregation")]
    aggregation_option: Option<String>,
    /// The same as WINDOW; its aggregation is the mean unless AGG says another
    #[arg(long = "window", value_name = "WINDOW", value_parser = window, conflicts_with = "window")]
    window_option: Option<Window>,
    /// From the start of a window to that of the next; the length of a window if it is not given
    #[arg(long, value_name = "TIME", value_parser = parse::span)]
    pub(super) step: Option<Duration>,
    /// Where windows start: at multiples of the step since 1970, at the start of the period, or at the first sample
    #[arg(long, value_name = "PLACE", default_value = "epoch")]
    pub(super) align: Align,
    /// A parameter of the aggregation; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    pub(super) params: Vec<(String, Value)>,

    /// The labels whose values make a group, `host,env`; `*`: every series is a group of its own, which is the default
    #[arg(long, value_name = "LABELS", value_delimiter = ',', help_heading = "Groups")]
    pub(super) by: Vec<String>,
    /// All series are one group
    #[arg(long, conflicts_with = "by", help_heading = "Groups")]
    pub(super) total: bool,
    /// How the series of a group are joined; what suits the aggregation if it is not given
    #[arg(long, value_name = "HOW", value_parser = ["sum", "mean", "min", "max", "count", "pool"], help_heading = "Groups")]
    pub(super) across: Option<String>,

    #[command(flatten)]
    pub(super) period: Period,
    /// Ask for what was so long before the period, and show it as if it were in the period
    #[arg(long, value_name = "TIME", value_parser = parse::span, help_heading = "Period")]
    pub(super) offset: Option<Duration>,
    /// See the store as it was at this time, which is then also `now`
    #[arg(long, value_name = "TIME", value_parser = parse::when, allow_hyphen_values = true, help_heading = "Period")]
    pub(super) as_of: Option<When>,

    /// The form of the answer
    #[arg(short, long, value_name = "FORM", help_heading = "Output")]
    pub(super) output: Option<Form>,
    /// Draw a plot even if the answer is not on a terminal
    #[arg(long, overrides_with = "no_graph", help_heading = "Output")]
    pub(super) graph: bool,
    /// Draw none
    #[arg(long, help_heading = "Output")]
    pub(super) no_graph: bool,
    /// What a plot is made of; braille if the locale is UTF-8
    #[arg(long, value_name = "STYLE", help_heading = "Output")]
    pub(super) plot: Option<Style>,
    /// Ask again and again, every 2s or as said; Ctrl-C ends
    #[arg(short, long, value_name = "TIME", value_parser = parse::span, num_args = 0..=1,
          default_missing_value = "2s", help_heading = "Output")]
    pub(super) watch: Option<Duration>,
    /// Refuse to answer if more series match
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Output"
    )]
    pub(super) limit_series: u64,
    /// Refuse to answer with more values
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Output"
    )]
    pub(super) limit_points: u64,
}

impl Args {
    pub(super) fn aggregation(&self) -> Option<&str> {
        self.aggregation.as_deref().or(self.aggregation_option.as_deref())
    }

    pub(super) fn window(&self) -> Option<Window> {
        self.window.or(self.window_option)
    }

    /// Whether series are to be joined.
    pub(super) fn is_grouped(&self) -> bool {
        let each = self.by.is_empty() || self.by == ["*"];
        self.total || self.across.is_some() || !each
    }
}

/// The length of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// Windows so long.
    Length(Duration),
    /// A round length, a sixtieth of the period or a little more.
    Auto,
    /// No windows: the samples themselves.
    Samples,
}

/// Where windows start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Align {
    /// At multiples of the step since 1970
    Epoch,
    /// At the start of the period
    Start,
    /// At the first sample
    First,
}

/// A selector, in the form in which the server prints it.
pub(crate) fn selector(text: &str) -> Result<String, String> {
    match text.parse::<Selector>() {
        Ok(selector) => Ok(selector.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn window(text: &str) -> Result<Window, String> {
    if text == "auto" {
        return Ok(Window::Auto);
    }
    let secs = parse::window(text)?;
    match Duration::try_from_secs_f64(secs) {
        _ if secs == 0.0 => Ok(Window::Samples),
        // What rounds to nothing is not meant as 0.
        Ok(length) if i64::try_from(length.as_nanos()).is_ok() => {
            Ok(Window::Length(length.max(Duration::from_nanos(1))))
        }
        _ => Err("it is longer than 292 years".into()),
    }
}

/// `name=value`; a number, `true`, `false`, or a text.
fn param(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("it is NAME=VALUE, like `q=0.99`")?;
    let value = match (value.parse::<f64>(), value) {
        (Ok(number), _) => Value::Number(number),
        (_, "true" | "false") => Value::Flag(value == "true"),
        _ => Value::Text(value.to_owned()),
    };
    Ok((name.to_owned(), value))
}
