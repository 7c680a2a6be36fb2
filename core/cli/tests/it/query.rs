//! `sereno query` through the wire, against a real server whose clock stands still.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use sereno_cli::{Console, Exit, run};
use sereno_model::Timestamp;

use crate::site::{Caller, Done, Site};

/// 2017-07-14T02:40:00Z.
const NOW_SECS: i64 = 1_500_000_000;
const WEEK_SECS: i64 = 7 * 86_400;

/// A server that holds an hour of `cpu.load` of three hosts, a sample a minute, and `foo` = 1, 2, 6 in the last minutes.
fn site() -> Site {
    let site = Site::at(Timestamp::from_millis(NOW_SECS * 1_000));
    let mut lines = String::new();
    for minute in 0..60 {
        let time = NOW_SECS - 3_600 + minute * 60;
        for (host, env, base) in [("a", "prod", 100), ("b", "prod", 200), ("c", "test", 300)] {
            lines += &format!("cpu.load{{env=\"{env}\",host=\"{host}\"}} {} {time}\n", base + minute);
        }
    }
    for (age, value) in [(180, 1), (120, 2), (60, 6)] {
        lines += &format!("foo {value} {}\n", NOW_SECS - age);
    }
    lines += &format!("foo 70 {}\n", NOW_SECS - WEEK_SECS - 90);
    store(&site, "lines.txt", &lines);
    site
}

fn store(site: &Site, name: &str, lines: &str) {
    let path = site.file(name, lines);
    let done = site.run_words(&["send", "--file", &path.display().to_string()]);
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
}

/// What a query prints that has nothing to complain about.
fn out(site: &Site, args: &str) -> String {
    let done = site.run(&format!("query {args}"));
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""), "{args}");
    done.out
}

/// What stands under the first line of a command's help, without what all commands share.
pub(crate) fn help(command: &str) -> String {
    let done = Caller::default().run(&[command, "-h"]);
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""));
    let lines: Vec<&str> = done.out.lines().map(str::trim_end).collect();
    let server = lines.iter().position(|line| *line == "Server:").expect("a section");
    let behind = lines[server..].iter().position(|line| line.is_empty()).expect("examples");
    [&lines[..server], &lines[server + behind + 1..]].concat().join("\n")
}

#[test]
fn help_says_what_there_is_to_ask() {
    insta::assert_snapshot!(help("query"), @r#"
    Ask for samples or their aggregates, window by window

    Usage: sereno query [OPTIONS] <SELECTOR> [AGG] [WINDOW]

    Arguments:
      <SELECTOR>  Which series: `cpu.load`, `cpu.load{host="a"}`, `cpu.*{env!="test",host=~"web.*"}`
      [AGG]       `mean`, `min`, `max`, `count`, `p95`, or any other aggregation that the server has
      [WINDOW]    The length of a window, like `15s`, `1m`, or plain seconds; `auto` for a round length,
                  so that they are 60 at most; 0 for the samples themselves

    Options:
          --agg <AGG>           The same as AGG
          --window <WINDOW>     The same as WINDOW; its aggregation is the mean unless AGG says another
          --step <TIME>         From the start of a window to that of the next; the length of a window
                                if it is not given
          --align <PLACE>       Where windows start: at multiples of the step since 1970, at the start
                                of the period, or at the first sample [default: epoch] [possible values:
                                epoch, start, first]
          --param <NAME=VALUE>  A parameter of the aggregation; may be repeated
      -h, --help                Print help (see more with '--help')

    Groups:
          --by <LABELS>   The labels whose values make a group, `host,env`; `*`: every series is a group
                          of its own, which is the default
          --total         All series are one group
          --across <HOW>  How the series of a group are joined; what suits the aggregation if it is not
                          given [possible values: sum, mean, min, max, count, pool]

    Period:
          --start <TIME>   The start of the period: RFC 3339, Unix seconds, `now`, or `-1h`
          --end <TIME>     The end of the period, exclusive
          --last <TIME>    The last stretch of time until now, like `1h`
          --offset <TIME>  Ask for what was so long before the period, and show it as if it were in the
                           period
          --as-of <TIME>   See the store as it was at this time, which is then also `now`

    Output:
      -o, --output <FORM>         The form of the answer [possible values: table, json, ndjson, csv,
                                  plain]
          --graph                 Draw a plot even if the answer is not on a terminal
          --no-graph              Draw none
          --plot <STYLE>          What a plot is made of; braille if the locale is UTF-8 [possible
                                  values: braille, blocks, ascii]
      -w, --watch [<TIME>]        Ask again and again, every 2s or as said; Ctrl-C ends
          --limit-series <COUNT>  Refuse to answer if more series match
          --limit-points <COUNT>  Refuse to answer with more values

    Without AGG and WINDOW the answer is the samples themselves, or the means of groups in windows of a
    round length; with AGG alone, one window over all of the period. Without a period it is the last
    hour; with a WINDOW, everything that there is.

    Windows are right-open, named by their start, and start at multiples of the step since 1970: the
    first and the last may reach beyond the period, and hold less. `--align first` begins with the first
    sample instead.

    Series are joined in two stages: AGG over time within each series, then `--across` the series of one
    group; `pool` reduces the union of their samples.

    In JSON, numbers that it does not have are the texts "NaN", "+Inf" and "-Inf". The CSV and the JSON
    lines of series can be sent again.

    Examples:
      sereno query cpu.load                             the last hour, plotted on a terminal
      sereno query 'cpu.load{env="prod"}' p95 1m --last 6h --by host --across max
      sereno query 'http.*' rate auto --last 1d --total     one line of 60 windows at most
      sereno query requests rate 5m --last 1d --offset 7d   the same day, a week ago
      sereno query cpu.load mean 10s --last 5m --watch
      sereno query cpu.load -o ndjson | sereno --server other:5678 send - --format jsonl
    "#);
}

#[test]
fn the_form_of_before_means_what_it_meant() {
    let site = site();
    assert_eq!(out(&site, "foo mean 0 --last 1h"), "1\n2\n6\n", "0 asks for the samples");
    assert_eq!(out(&site, "foo mean 0"), "70\n1\n2\n6\n", "without a period it is everything");
    assert_eq!(out(&site, "foo"), "1\n2\n6\n", "without a window it is the last hour");
    assert_eq!(out(&site, "foo max 1h --last 1h --align first"), "6\n");
    assert_eq!(out(&site, "foo mean 2m --last 4m"), "1\n4\n");
    assert_eq!(out(&site, "foo mean"), "3\n", "an aggregation alone has one window");
    assert_eq!(out(&site, "foo count 120 --last 4m"), "1\n2\n", "plain numbers are seconds");
}

#[test]
fn an_answer_comes_in_the_form_that_was_asked_for() {
    let site = site();
    let told = |form: &str| out(&site, &format!("cpu.load{{env=\"prod\"}} mean 20m --last 1h -o {form}"));
    insta::assert_snapshot!(told("plain"), @r#"
    cpu.load{env="prod",host="a"}	2017-07-14T01:40:00.000Z	109.5
    cpu.load{env="prod",host="a"}	2017-07-14T02:00:00.000Z	129.5
    cpu.load{env="prod",host="a"}	2017-07-14T02:20:00.000Z	149.5
    cpu.load{env="prod",host="b"}	2017-07-14T01:40:00.000Z	209.5
    cpu.load{env="prod",host="b"}	2017-07-14T02:00:00.000Z	229.5
    cpu.load{env="prod",host="b"}	2017-07-14T02:20:00.000Z	249.5
    "#);
    insta::assert_snapshot!(told("csv"), @"
    name,env,host,time,value
    cpu.load,prod,a,2017-07-14T01:40:00.000Z,109.5
    cpu.load,prod,a,2017-07-14T02:00:00.000Z,129.5
    cpu.load,prod,a,2017-07-14T02:20:00.000Z,149.5
    cpu.load,prod,b,2017-07-14T01:40:00.000Z,209.5
    cpu.load,prod,b,2017-07-14T02:00:00.000Z,229.5
    cpu.load,prod,b,2017-07-14T02:20:00.000Z,249.5
    ");
    insta::assert_snapshot!(told("ndjson"), @r#"
    {"name":"cpu.load","labels":{"env":"prod","host":"a"},"time":"2017-07-14T01:40:00.000Z","value":109.5}
    {"name":"cpu.load","labels":{"env":"prod","host":"a"},"time":"2017-07-14T02:00:00.000Z","value":129.5}
    {"name":"cpu.load","labels":{"env":"prod","host":"a"},"time":"2017-07-14T02:20:00.000Z","value":149.5}
    {"name":"cpu.load","labels":{"env":"prod","host":"b"},"time":"2017-07-14T01:40:00.000Z","value":209.5}
    {"name":"cpu.load","labels":{"env":"prod","host":"b"},"time":"2017-07-14T02:00:00.000Z","value":229.5}
    {"name":"cpu.load","labels":{"env":"prod","host":"b"},"time":"2017-07-14T02:20:00.000Z","value":249.5}
    "#);
    insta::assert_snapshot!(told("table"), @r#"
    ╭────────────────────────────────────────────╮
    │ time                   host="a"   host="b" │
    ╞════════════════════════════════════════════╡
    │ 2017-07-14T01:40:00Z      109.5      209.5 │
    │ 2017-07-14T02:00:00Z      129.5      229.5 │
    │ 2017-07-14T02:20:00Z      149.5      249.5 │
    ╰────────────────────────────────────────────╯
    "#);
    let json: serde_json::Value = serde_json::from_str(&told("json")).expect("JSON");
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["matched_series"], 2);
    assert_eq!(json["series"][1]["labels"]["host"], "b");
    assert_eq!(json["series"][1]["points"][0]["value"], 209.5);
}

#[test]
fn groups_are_joined_as_asked() {
    let site = site();
    insta::assert_snapshot!(out(&site, "cpu.load last --by env --across max -o csv"), @"
    env,time,value
    prod,2017-07-14T01:40:00.000Z,259
    test,2017-07-14T01:40:00.000Z,359
    ");
    insta::assert_snapshot!(out(&site, "cpu.load last --by env,host --across max -o plain"), @r#"
    {env="prod",host="a"}	2017-07-14T01:40:00.000Z	159
    {env="prod",host="b"}	2017-07-14T01:40:00.000Z	259
    {env="test",host="c"}	2017-07-14T01:40:00.000Z	359
    "#);
    insta::assert_snapshot!(out(&site, "cpu.load sum --total"), @"41310");
    insta::assert_snapshot!(out(&site, "cpu.* max 30m --step 15m --align start --last 1h --by= --across max"), @"
    329
    344
    359
    359
    ");
}

#[test]
fn a_terminal_shows_the_last_hour() {
    let site = site();
    insta::assert_snapshot!(site.run_on_terminal("query cpu.load").told().replace('\x1b', "^"), @r#"
    Ok
    --- out
    400 ┤
        │                                                        ^[35m⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⡠⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠂^[0m
        │  ^[35m⢀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠔⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠊⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉^[0m
    300 ┤^[35m⠉⠉⠁^[0m
        │                                                   ^[33m⢀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⡠⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠊⠁^[0m
    200 ┤^[33m⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠔⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠁^[0m
        │
        │                                                ^[36m⢀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠊⠉⠉⠉⠉⠉⠁^[0m
    100 ┤^[36m⣀⣀⣀⣀⣀⣀⣀⡠⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠁^[0m
        └┬───────────────┬──────────────┬───────────────┬───────────────┬──────────────┬────────────────
       01:40           01:50          02:00           02:10           02:20          02:30
    ^[36m━^[0m env="prod",host="a" ^[33m━^[0m env="prod",host="b" ^[35m━^[0m env="test",host="c"
    ╭─────────────────────────────────────────────────────────────────────────╮
    │ series                last                     at   min   max   samples │
    ╞═════════════════════════════════════════════════════════════════════════╡
    │ env="prod",host="a"    159   2017-07-14T02:39:00Z   100   159        60 │
    │ env="prod",host="b"    259   2017-07-14T02:39:00Z   200   259        60 │
    │ env="test",host="c"    359   2017-07-14T02:39:00Z   300   359        60 │
    ╰─────────────────────────────────────────────────────────────────────────╯
    --- err
    "#);
    insta::assert_snapshot!(site.run_on_terminal("query cpu.load{host=\"a\"} mean --no-graph").told(), @"
    Ok
    --- out
    ╭──────────────────────────────╮
    │ time                    mean │
    ╞══════════════════════════════╡
    │ 2017-07-14T01:40:00Z   129.5 │
    ╰──────────────────────────────╯
    --- err
    ");
}

#[test]
fn an_offset_shows_the_past_as_if_it_were_now() {
    let site = site();
    insta::assert_snapshot!(out(&site, "foo last 1m --last 5m --offset 7d -o csv"), @"
    name,time,value
    foo,2017-07-14T02:38:00.000Z,70
    ");
    insta::assert_snapshot!(out(&site, "foo last 1m --last 5m --offset 7d -o table"), @"
    ╭─────────────────────────────╮
    │ time +7days            last │
    ╞═════════════════════════════╡
    │ 2017-07-14T02:38:00Z     70 │
    ╰─────────────────────────────╯
    ");
}

#[test]
fn a_long_answer_is_streamed_and_every_line_of_it_is_whole() {
    let site = site();
    let lines = (0..30_000)
        .map(|i| format!("big{{host=\"a\"}} {i} {}\n", NOW_SECS as f64 - 3_000.0 + f64::from(i) / 10.0));
    store(&site, "big.txt", &lines.collect::<String>());
    let streamed = out(&site, "big -o ndjson");
    let mut values = Vec::new();
    for line in streamed.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!((&object["name"], &object["labels"]["host"]), (&"big".into(), &"a".into()));
        values.push(object["value"].as_f64().expect("a number"));
    }
    assert_eq!(values, (0..30_000).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn what_was_asked_can_be_sent_elsewhere() {
    let (from, to) = (site(), Site::at(Timestamp::from_millis(NOW_SECS * 1_000)));
    store(&to, "part1.jsonl", &out(&from, "cpu.load -o ndjson"));
    store(&to, "part2.csv", &out(&from, "foo mean 0 -o csv"));
    for query in ["cpu.load", "foo mean 0", "* count 7m"] {
        let query = format!("{query} -o json");
        let series =
            |text: String| serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["series"].clone();
        assert_eq!(series(out(&from, &query)), series(out(&to, &query)), "{query}");
    }
}

#[test]
fn no_value_is_told_with_the_next_thing_to_do() {
    let site = site();
    let told = |args: &str| format!("{args}\n{}", site.run(&format!("query {args}")).told());
    insta::assert_snapshot!(
        [
            told("cpu.laod"),
            told("nope mean 0 -o ndjson"),
            told("load mean 1m"),
            told("cpu.load{host=\"z\"}"),
            told("nope*"),
            told("foo --start -50d --end -40d"),
        ]
        .join("\n\n"), @r#"
    cpu.laod
    Negative
    --- out
    --- err
    error: `SERVER` has no metric `cpu.laod`
      hint:  did you mean `cpu.load`?

    nope mean 0 -o ndjson
    Negative
    --- out
    --- err
    error: `SERVER` has no metric `nope`
      hint:  check its spelling, or send it first: `sereno send nope 1`

    load mean 1m
    Negative
    --- out
    --- err
    error: `SERVER` has no metric `load`
      hint:  did you mean `cpu.load`?

    cpu.load{host="z"}
    Negative
    --- out
    --- err
    error: `SERVER` has no series `cpu.load{host="z"}`
      hint:  the labels do not match; `sereno series cpu.load` lists what there is

    nope*
    Negative
    --- out
    --- err
    error: `SERVER` has no series `nope*`
      hint:  `sereno names` lists the metrics

    foo --start -50d --end -40d
    Negative
    --- out
    --- err
    error: `foo` has no sample in the period
      hint:  widen `--start` and `--end`, or `--last`
    "#);
}

#[test]
fn what_the_server_will_not_do_is_told() {
    let site = site();
    let told = |args: &str| format!("{args}\n{}", site.run(&format!("query {args}")).told());
    insta::assert_snapshot!(
        [
            told("foo meen 1m"),
            told("cpu.load --limit-points 10"),
            told("cpu.load --limit-series 2"),
            told("cpu.load last 1m --total"),
        ]
        .join("\n\n"), @"
    foo meen 1m
    Negative
    --- out
    --- err
    error: `SERVER` answered: there is no aggregation `meen`
      hint:  did you mean `mean`?

    cpu.load --limit-points 10
    Refused
    --- out
    --- err
    error: `SERVER` answered: more samples to read than the 10 that one query may
      hint:  ask for a shorter period or fewer series

    cpu.load --limit-series 2
    Refused
    --- out
    --- err
    error: `SERVER` answered: 3 series match, more than the 2 that one query may read
      hint:  select fewer by their labels

    cpu.load last 1m --total
    Usage
    --- out
    --- err
    error: `SERVER` answered: 3 series are matched
      hint:  say how to join them with `across`: `sum`, `mean`, `min`, `max`, `count` or `pool`
    ");
}

#[test]
fn the_store_of_a_moment_that_is_gone_is_told_to_be_inexact() {
    let site = site();
    let done = site.run("query foo --as-of -2m");
    insta::assert_snapshot!(done.told(), @"
    Ok
    --- out
    1
    2
    --- err
    note: the store as it was at 2017-07-14T02:38:00.000Z is gone; this is what it has now up to then, late samples included
    ");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let site = site();
    for form in ["plain", "csv", "json", "ndjson", "table"] {
        let args = format!("sereno --server {} query foo mean 0 -o {form}", site.address);
        let console = Console { out: Box::new(Gone), ..Caller::default().console() };
        let exit = run(args.split(' ').map(Into::into), console, &sereno_runtime::SystemClock::new());
        assert_eq!(exit, Exit::Ok, "{form}");
    }
}

#[test]
fn watching_asks_again_and_ends_without_a_failure() {
    let site = Site::start();
    let Done { exit, err, .. } = site.run("send foo 5");
    assert_eq!(exit, Exit::Ok, "{err}");
    let mut watching = site.executable(&["query", "foo", "mean", "0", "--watch=10ms"]);
    let mut lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    for _ in 0..3 {
        assert_eq!(lines.next().expect("a line").expect("UTF-8"), "5");
    }
    let told = Command::new("kill").args(["-INT", &watching.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
    // Until it ends: what it still had to say.
    assert!(lines.all(|line| line.expect("UTF-8") == "5"));
    assert_eq!(watching.wait().expect("it ended").code(), Some(0));
}

#[test]
fn watching_waits_for_what_is_not_there_yet() {
    let site = Site::start();
    let mut watching = site.executable(&["query", "foo", "mean", "0", "--watch=10ms"]);
    let mut messages = BufReader::new(watching.stderr.take().expect("a pipe")).lines();
    let first = messages.next().expect("a line").expect("UTF-8");
    assert!(first.contains("has no metric `foo`"), "{first}");
    let mut lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    std::thread::scope(|scope| {
        // It goes on saying so; somebody has to listen, or it would wait for room.
        scope.spawn(move || messages.count());
        assert_eq!(site.run("send foo 5").exit, Exit::Ok);
        assert_eq!(lines.next().expect("a line").expect("UTF-8"), "5");
        watching.kill().expect("it runs");
    });
    watching.wait().expect("it ended");
}
