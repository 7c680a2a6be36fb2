//! `sereno ramp`: what is sent, and what is told of it.

use sereno_cli::Exit;

use crate::site::{Caller, Site};

#[test]
fn a_ramp_sends_exactly_what_its_rates_come_to() {
    let site = Site::start();
    let done = site.run("ramp linear load 0.2 1000 5000");
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""));
    let rows: Vec<&str> = done.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(rows, ["600", "ok", "round", "avg", "min", "max", "p50", "p90", "p95", "p99"]);
    let values: Vec<String> = (1..=600).map(|value| value.to_string()).collect();
    assert_eq!(site.values("load"), values.join(" "));
}

#[test]
fn series_batches_and_connections_divide_the_load_and_lose_nothing() {
    let site = Site::start();
    let done = site.run(
        "ramp constant load{env=\"test\"} 0.1 10010 0 --series 7 --label dc=eu --batch 10 --connections 3 --in-flight 5 -o json",
    );
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""));
    let figures: serde_json::Value = serde_json::from_str(&done.out).expect("an object");
    assert_eq!((&figures["metrics"], &figures["requests"]), (&1_001.into(), &101.into()));
    assert_eq!(figures["statuses"], serde_json::json!({ "ok": 1_001 }));
    assert_eq!(figures["offered_per_second"], 10_010.0);
    assert!(figures["achieved_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{figures}");
    let mut values: Vec<u32> =
        site.values("load").split(' ').map(|value| value.parse().expect("a number")).collect();
    values.sort_unstable();
    assert_eq!(values, (1..=1_001).collect::<Vec<_>>());
}

#[test]
fn a_ramp_counts_what_was_refused() {
    let site = Site::with(|config, _| config.storage.series_max = 5);
    let done = site.run("ramp constant busy 0.01 10000 0 --series 100 --batch 10");
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert!(done.out.contains("series_limit"), "{}", done.out);
    assert!(done.err.contains("of 100 metrics"), "{}", done.err);
}

#[test]
fn what_means_nothing_is_said() {
    let told = |args: &str| Caller::default().run(&args.split(' ').collect::<Vec<_>>()).told();
    insta::assert_snapshot!(
        [
            told("ramp exponential foo 10 0 100"),
            told("ramp linear foo{a=~\"1\"} 10 0 100"),
            told("ramp linear foo 0 0 100"),
            told("ramp linear foo 10 0 1e10"),
            told("ramp linear foo 10 0 100 --batch 0"),
            told("ramp linear foo 10 0 100 --label env"),
            told("ramp sideways foo 10 0 100"),
        ]
        .join("\n\n"),
        @r#"
        Usage
        --- out
        --- err
        error: an exponential ramp cannot start or end at 0 per second
          hint:  start at a small rate, like 0.1, or use `linear`

        Usage
        --- out
        --- err
        error: invalid value 'foo{a=~"1"}' for '<METRIC>': `foo{a=~"1"}` selects series; one series is wanted, with `=` only and no `*` or `?`

        For more information, try '--help'.

        Usage
        --- out
        --- err
        error: invalid value '0' for '<DURATION>': it is a time longer than 0, like `15s`, `1m`, `0.5`

        For more information, try '--help'.

        Usage
        --- out
        --- err
        error: these rates come to 50000000000 metrics in 10 s
          hint:  choose rates and a duration that come to 1 to 4294967295 metrics

        Usage
        --- out
        --- err
        error: invalid value '0' for '--batch <COUNT>': 0 is not in 1..=1000000

        For more information, try '--help'.

        Usage
        --- out
        --- err
        error: invalid value 'env' for '--label <NAME=VALUE>': it is a label like `env=prod`

        For more information, try '--help'.

        Usage
        --- out
        --- err
        error: invalid value 'sideways' for '<STRATEGY>'
          [possible values: constant, linear, exponential]

        For more information, try '--help'.
        "#
    );
    let site = Site::start();
    insta::assert_snapshot!(site.run("ramp linear foo 10 0 100 --label a=1 --label a=2").told(), @"
    Usage
    --- out
    --- err
    error: label `a` is given twice
    ");
}
