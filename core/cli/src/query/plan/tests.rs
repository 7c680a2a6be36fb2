//! What is asked for what is typed.

use clap::Parser;

use super::*;

/// 2017-07-14T02:40:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_500_000_000_000);
const SECOND: i64 = 1_000_000_000;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn plan(text: &str) -> Result<Plan, String> {
    let words = std::iter::once("query").chain(text.split(' '));
    let typed = Typed::try_parse_from(words).map_err(|error| error.to_string())?;
    Plan::of(&typed.args, NOW).map_err(|failure| failure.to_string())
}

/// What reaches the server, in short: aggregation, window, step, alignment, and the period in seconds from now.
fn asked(text: &str) -> String {
    let query = match plan(text) {
        Ok(plan) => plan.query,
        Err(error) => return format!("{text}: {}", error.lines().next().unwrap_or_default()),
    };
    let since = |time: Option<i64>| {
        time.map_or("-".to_owned(), |time| format!("{}", (time - NOW.nanos()) as f64 / SECOND as f64))
    };
    let (window, step) = (Duration::from_nanos(query.window), Duration::from_nanos(query.step));
    let what = if query.window == 0 { "samples".into() } else { query.aggregation.clone() };
    let alignment = query.alignment().as_str_name().replace("ALIGNMENT_", "");
    let period = format!("{}..{}", since(query.start), since(query.end));
    format!("{text}: {what} {window:?}/{step:?} {alignment} {period}")
}

#[test]
fn windows_and_periods_have_sensible_defaults() {
    insta::assert_snapshot!(
        [
            "foo",
            "foo --last 6h",
            "foo --end -1h",
            "foo mean 0",
            "foo mean 10s --last 5m",
            "foo mean 10",
            "foo p95",
            "foo p95 --last 6h",
            "foo --window 1m",
            "foo p95 auto --last 6h",
            "foo --agg p95 --window auto --last 10s",
            "foo max 1m --step 10s --align first",
            "foo max 1m --align start --last 1h",
            "foo rate 5m --last 1d --offset 7d",
            "foo last 1m --start -2h --end -1h --offset 30m",
            "foo mean 1m --last 1h --as-of -1d",
            "foo mean 1e-12",
        ]
        .map(asked)
        .join("\n"), @"
    foo: samples 0ns/0ns UNSPECIFIED -3600..-
    foo --last 6h: samples 0ns/0ns UNSPECIFIED -21600..-
    foo --end -1h: samples 0ns/0ns UNSPECIFIED -7200..-3600
    foo mean 0: samples 0ns/0ns UNSPECIFIED -..-
    foo mean 10s --last 5m: mean 10s/0ns UNSPECIFIED -300..-
    foo mean 10: mean 10s/0ns UNSPECIFIED -..-
    foo p95: p95 3600s/0ns START -3600..0
    foo p95 --last 6h: p95 21600s/0ns START -21600..0
    foo --window 1m: mean 60s/0ns UNSPECIFIED -..-
    foo p95 auto --last 6h: p95 600s/0ns UNSPECIFIED -21600..-
    foo --agg p95 --window auto --last 10s: p95 200ms/0ns UNSPECIFIED -10..-
    foo max 1m --step 10s --align first: max 60s/10s FIRST_SAMPLE -..-
    foo max 1m --align start --last 1h: max 60s/0ns START -3600..-
    foo rate 5m --last 1d --offset 7d: rate 300s/0ns UNSPECIFIED -691200..-604800
    foo last 1m --start -2h --end -1h --offset 30m: last 60s/0ns UNSPECIFIED -9000..-5400
    foo mean 1m --last 1h --as-of -1d: mean 60s/0ns UNSPECIFIED -90000..-
    foo mean 1e-12: mean 1ns/0ns UNSPECIFIED -..-
    ");
}

#[test]
fn what_makes_no_sense_is_told() {
    insta::assert_snapshot!(
        [
            "foo mean 15s --start now --end -1h",
            "foo p95 --start now",
            "foo --step 10s",
            "foo mean 1m --by host,",
            "foo mean 1m --by *,host",
            "foo mean 1e300",
            "foo mean -5",
            "foo{host=a} mean 1m",
            "foo mean 1m --agg p95",
            "foo mean 1m --across median",
            "foo mean 1m --param q",
            "foo mean 1m --by host --total",
        ]
        .map(asked)
        .join("\n"), @"
    foo mean 15s --start now --end -1h: error: the period ends before it starts
    foo p95 --start now: error: the period is empty
    foo --step 10s: error: `--step` goes from window to window, but there are none
    foo mean 1m --by host,: error: `--by` is a list of labels, or `*` alone
    foo mean 1m --by *,host: error: `--by` is a list of labels, or `*` alone
    foo mean 1e300: error: invalid value '1e300' for '[WINDOW]': it is longer than 292 years
    foo mean -5: error: invalid value '-5' for '[WINDOW]': it is 0 or a positive time, like `15s`, `1m`, `0.5`
    foo{host=a} mean 1m: error: invalid value 'foo{host=a}' for '<SELECTOR>': expected a quoted text at character 10 of `foo{host=a}`
    foo mean 1m --agg p95: error: the argument '[AGG]' cannot be used with '--agg <AGG>'
    foo mean 1m --across median: error: invalid value 'median' for '--across <HOW>'
    foo mean 1m --param q: error: invalid value 'q' for '--param <NAME=VALUE>': it is NAME=VALUE, like `q=0.99`
    foo mean 1m --by host --total: error: the argument '--by <LABELS>' cannot be used with '--total'
    ");
}

#[test]
fn groups_without_a_window_are_shown_as_they_go() {
    for text in ["foo --by host", "foo --total", "foo --across max"] {
        assert_eq!(asked(text), format!("{text}: mean 60s/0ns UNSPECIFIED -3600..-"));
    }
    let samples = asked("foo --by *");
    assert!(samples.starts_with("foo --by *: samples"), "{samples}");
}

#[test]
fn groups_and_parameters_reach_the_server() {
    let groups = |text: &str| {
        let query = plan(text).expect(text).query;
        (query.grouping(), query.by, query.across)
    };
    assert_eq!(groups("foo mean 1m"), (Grouping::Unspecified, vec![], String::new()));
    assert_eq!(groups("foo mean 1m --by *"), (Grouping::Unspecified, vec![], String::new()));
    assert_eq!(groups("foo mean 1m --by= --across max"), (Grouping::All, vec![], "max".into()));
    assert_eq!(groups("foo mean 1m --total"), (Grouping::All, vec![], String::new()));
    let by = vec!["host".to_owned(), "env".to_owned(), "zone".to_owned()];
    assert_eq!(groups("foo mean 1m --by host,env --by zone"), (Grouping::Labels, by, String::new()));

    let query =
        plan("foo mean 1m --param q=0.9 --param s=x=y --param f=true --limit-series 7 --limit-points 8");
    let query = query.expect("a plan").query;
    insta::assert_snapshot!(format!("{:?}", query.params), @r#"[Param { name: "q", value: Some(Number(0.9)) }, Param { name: "s", value: Some(Text("x=y")) }, Param { name: "f", value: Some(Flag(true)) }]"#);
    assert_eq!((query.series_max, query.points_max), (7, 8));
}

#[test]
fn shifted_times_are_shown_where_they_were_asked_for() {
    let plan = plan("foo mean 1m --last 1h --offset 7d").expect("a plan");
    assert_eq!(plan.shown(plan.query.start.expect("a start")), (NOW - Duration::from_secs(3_600)).nanos());
    assert_eq!((plan.end, plan.query.end), (NOW, Some((NOW - Duration::from_secs(7 * 86_400)).nanos())));
}
