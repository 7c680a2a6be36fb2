//! What answers look like, in every form.

use clap::Parser;
use sereno_client::Group;
use sereno_model::Timestamp;

use super::*;
use crate::console::Console;
use crate::output::testing::{console, written};
use crate::query::args::Args;

/// 2017-07-14T02:40:00Z.
const NOW: i64 = 1_500_000_000_000_000_000;
const MINUTE: i64 = 60_000_000_000;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn args(text: &str) -> Args {
    Typed::try_parse_from(std::iter::once("query").chain(text.split(' '))).expect(text).args
}

fn group(name: &str, labels: &[(&str, &str)], values: &[f64]) -> Group {
    let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let times = (0..values.len() as i64).map(|i| NOW - 60 * MINUTE + i * MINUTE).collect();
    Group { name: name.into(), labels, times, values: values.to_vec(), columns: vec![] }
}

fn one() -> Vec<Group> {
    vec![group("foo", &[], &[1.0, 2.0, 6.0])]
}

fn two() -> Vec<Group> {
    vec![
        group("cpu.load", &[("host", "a")], &[0.5, f64::NAN, 1e9 / 3.0]),
        group("cpu.load", &[("host", "b, \"c\"")], &[1.25, f64::NEG_INFINITY]),
    ]
}

fn several_values() -> Vec<Group> {
    let columns = vec![
        ("p50".to_owned(), vec![Some(1.0), Some(2.0), None]),
        ("p99".to_owned(), vec![Some(10.0), None, Some(30.5)]),
    ];
    vec![Group { values: vec![], columns, ..group("", &[("host", "a")], &[0.0; 3]) }]
}

/// A slow wave with an outage.
fn long(name: &str, labels: &[(&str, &str)], middle: f64) -> Group {
    let values: Vec<f64> = (0..60).map(|i| middle + 5.0 * (f64::from(i) / 9.0).sin()).collect();
    let mut group = group(name, labels, &values);
    group.times.drain(20..30);
    group.values.drain(20..30);
    group
}

/// What `sereno query ASKED` prints for an answer.
fn told(asked: &str, groups: Vec<Group>, console: Console) -> String {
    let args = args(asked);
    let plan = Plan::of(&args, Timestamp::from_nanos(NOW)).expect("a plan");
    let shown = groups.into_iter().flat_map(|group| Shown::of(group, |time| plan.shown(time))).collect();
    let view =
        View { plan: &plan, as_of: NOW + 250_000_000, exact: true, series: 2, across: "pool".into(), shown };
    written(
        |console| match args.output {
            Some(crate::output::Form::Plain) => plain(&view, &mut console.out),
            Some(crate::output::Form::Csv) => csv(&view, &mut console.out),
            Some(crate::output::Form::Json) => json(&view, &mut console.out),
            Some(crate::output::Form::Ndjson) => {
                view.shown.iter().try_for_each(|one| ndjson(one, &mut console.out))
            }
            _ => table(&view, &args, console),
        },
        console,
    )
}

fn pipe(asked: &str, groups: Vec<Group>) -> String {
    told(asked, groups, console(100))
}

fn terminal(asked: &str, groups: Vec<Group>) -> String {
    told(asked, groups, Console { out_is_tty: true, ..console(80) })
}

#[test]
fn one_series_is_plain_values_and_several_have_their_names() {
    assert_eq!(pipe("foo mean 1m -o plain", one()), "1\n2\n6\n");
    insta::assert_snapshot!(pipe("cpu.load mean 1m -o plain", two()), @r#"
    cpu.load{host="a"}	2017-07-14T01:40:00.000Z	0.5
    cpu.load{host="a"}	2017-07-14T01:41:00.000Z	NaN
    cpu.load{host="a"}	2017-07-14T01:42:00.000Z	333333333.3333333
    cpu.load{host="b, \"c\""}	2017-07-14T01:40:00.000Z	1.25
    cpu.load{host="b, \"c\""}	2017-07-14T01:41:00.000Z	-Inf
    "#);
    insta::assert_snapshot!(pipe("cpu.load quantiles 1m -o plain", several_values()), @r#"
    {host="a"}	2017-07-14T01:40:00.000Z	p50	1
    {host="a"}	2017-07-14T01:41:00.000Z	p50	2
    {host="a"}	2017-07-14T01:40:00.000Z	p99	10
    {host="a"}	2017-07-14T01:42:00.000Z	p99	30.5
    "#);
}

#[test]
fn csv_has_labels_as_columns() {
    insta::assert_snapshot!(pipe("foo mean 1m -o csv", one()), @"
    name,time,value
    foo,2017-07-14T01:40:00.000Z,1
    foo,2017-07-14T01:41:00.000Z,2
    foo,2017-07-14T01:42:00.000Z,6
    ");
    insta::assert_snapshot!(pipe("cpu.load mean 1m -o csv", two()), @r#"
    name,host,time,value
    cpu.load,a,2017-07-14T01:40:00.000Z,0.5
    cpu.load,a,2017-07-14T01:41:00.000Z,NaN
    cpu.load,a,2017-07-14T01:42:00.000Z,333333333.3333333
    cpu.load,"b, ""c""",2017-07-14T01:40:00.000Z,1.25
    cpu.load,"b, ""c""",2017-07-14T01:41:00.000Z,-Inf
    "#);
    insta::assert_snapshot!(pipe("cpu.load quantiles 1m -o csv", several_values()), @"
    host,column,time,value
    a,p50,2017-07-14T01:40:00.000Z,1
    a,p50,2017-07-14T01:41:00.000Z,2
    a,p99,2017-07-14T01:40:00.000Z,10
    a,p99,2017-07-14T01:42:00.000Z,30.5
    ");
    let odd = group("foo", &[("value", "v"), ("name", "n")], &[1.0]);
    insta::assert_snapshot!(pipe("foo -o csv", vec![odd]), @"
    name,label_name,label_value,time,value
    foo,n,v,2017-07-14T01:40:00.000Z,1
    ");
}

#[test]
fn json_has_all_there_is_to_know() {
    insta::assert_snapshot!(pipe("foo --last 1h -o json", one()), @r#"{"schema_version":1,"selector":"foo","aggregation":null,"window_seconds":0.0,"step_seconds":0.0,"offset_seconds":0.0,"across":"pool","as_of":"2017-07-14T02:40:00.250Z","exact":true,"matched_series":2,"series":[{"series":"foo","name":"foo","labels":{},"points":[{"time":"2017-07-14T01:40:00.000Z","value":1.0},{"time":"2017-07-14T01:41:00.000Z","value":2.0},{"time":"2017-07-14T01:42:00.000Z","value":6.0}]}]}"#);
    insta::assert_snapshot!(pipe("cpu.load mean 1m --step 30s --offset 7d -o json", two()), @r#"{"schema_version":1,"selector":"cpu.load","aggregation":"mean","window_seconds":60.0,"step_seconds":30.0,"offset_seconds":604800.0,"across":"pool","as_of":"2017-07-14T02:40:00.250Z","exact":true,"matched_series":2,"series":[{"series":"cpu.load{host=\"a\"}","name":"cpu.load","labels":{"host":"a"},"points":[{"time":"2017-07-21T01:40:00.000Z","value":0.5},{"time":"2017-07-21T01:41:00.000Z","value":"NaN"},{"time":"2017-07-21T01:42:00.000Z","value":333333333.3333333}]},{"series":"cpu.load{host=\"b, \\\"c\\\"\"}","name":"cpu.load","labels":{"host":"b, \"c\""},"points":[{"time":"2017-07-21T01:40:00.000Z","value":1.25},{"time":"2017-07-21T01:41:00.000Z","value":"-Inf"}]}]}"#);
    insta::assert_snapshot!(pipe("cpu.load quantiles 1m -o json", several_values()), @r#"{"schema_version":1,"selector":"cpu.load","aggregation":"quantiles","window_seconds":60.0,"step_seconds":60.0,"offset_seconds":0.0,"across":"pool","as_of":"2017-07-14T02:40:00.250Z","exact":true,"matched_series":2,"series":[{"series":"{host=\"a\"}","labels":{"host":"a"},"column":"p50","points":[{"time":"2017-07-14T01:40:00.000Z","value":1.0},{"time":"2017-07-14T01:41:00.000Z","value":2.0}]},{"series":"{host=\"a\"}","labels":{"host":"a"},"column":"p99","points":[{"time":"2017-07-14T01:40:00.000Z","value":10.0},{"time":"2017-07-14T01:42:00.000Z","value":30.5}]}]}"#);
}

#[test]
fn json_lines_are_what_can_be_sent_again() {
    insta::assert_snapshot!(pipe("cpu.load mean 1m -o ndjson", two()), @r#"
    {"name":"cpu.load","labels":{"host":"a"},"time":"2017-07-14T01:40:00.000Z","value":0.5}
    {"name":"cpu.load","labels":{"host":"a"},"time":"2017-07-14T01:41:00.000Z","value":"NaN"}
    {"name":"cpu.load","labels":{"host":"a"},"time":"2017-07-14T01:42:00.000Z","value":333333333.3333333}
    {"name":"cpu.load","labels":{"host":"b, \"c\""},"time":"2017-07-14T01:40:00.000Z","value":1.25}
    {"name":"cpu.load","labels":{"host":"b, \"c\""},"time":"2017-07-14T01:41:00.000Z","value":"-Inf"}
    "#);
    insta::assert_snapshot!(pipe("cpu.load quantiles 1m -o ndjson", several_values()), @r#"
    {"labels":{"host":"a"},"column":"p50","time":"2017-07-14T01:40:00.000Z","value":1.0}
    {"labels":{"host":"a"},"column":"p50","time":"2017-07-14T01:41:00.000Z","value":2.0}
    {"labels":{"host":"a"},"column":"p99","time":"2017-07-14T01:40:00.000Z","value":10.0}
    {"labels":{"host":"a"},"column":"p99","time":"2017-07-14T01:42:00.000Z","value":30.5}
    "#);
}

#[test]
fn a_table_in_a_pipe_has_every_value() {
    insta::assert_snapshot!(pipe("foo mean 0 -o table", one()), @"
    ╭──────────────────────────────╮
    │ time                   value │
    ╞══════════════════════════════╡
    │ 2017-07-14T01:40:00Z       1 │
    │ 2017-07-14T01:41:00Z       2 │
    │ 2017-07-14T01:42:00Z       6 │
    ╰──────────────────────────────╯
    ");
    insta::assert_snapshot!(pipe("cpu.load mean 1m -o table", two()), @r#"
    ╭────────────────────────────────────────────────────╮
    │ time                    host="a"   host="b, \"c\"" │
    ╞════════════════════════════════════════════════════╡
    │ 2017-07-14T01:40:00Z         0.5              1.25 │
    │ 2017-07-14T01:41:00Z         NaN              -Inf │
    │ 2017-07-14T01:42:00Z   333333333                   │
    ╰────────────────────────────────────────────────────╯
    "#);
    insta::assert_snapshot!(pipe("cpu.load quantiles 1m -o table", several_values()), @"
    ╭───────────────────────────────────╮
    │ time                   p50    p99 │
    ╞═══════════════════════════════════╡
    │ 2017-07-14T01:40:00Z     1     10 │
    │ 2017-07-14T01:41:00Z     2        │
    │ 2017-07-14T01:42:00Z         30.5 │
    ╰───────────────────────────────────╯
    ");
    insta::assert_snapshot!(pipe("foo mean 1m --last 1h --offset 7d -o table", one()), @"
    ╭─────────────────────────────╮
    │ time +7days            mean │
    ╞═════════════════════════════╡
    │ 2017-07-21T01:40:00Z      1 │
    │ 2017-07-21T01:41:00Z      2 │
    │ 2017-07-21T01:42:00Z      6 │
    ╰─────────────────────────────╯
    ");
    let wide = |i: i32| group("requests", &[("route", &format!("/a/rather/long/route/{i}"))], &[1.0]);
    insta::assert_snapshot!(pipe("requests mean 1m -o table", (0..4).map(wide).collect()), @r#"
    ╭──────────────────────────────────────────────────────────────╮
    │ series                           time                   mean │
    ╞══════════════════════════════════════════════════════════════╡
    │ route="/a/rather/long/route/0"   2017-07-14T01:40:00Z      1 │
    │ route="/a/rather/long/route/1"   2017-07-14T01:40:00Z      1 │
    │ route="/a/rather/long/route/2"   2017-07-14T01:40:00Z      1 │
    │ route="/a/rather/long/route/3"   2017-07-14T01:40:00Z      1 │
    ╰──────────────────────────────────────────────────────────────╯
    "#);
}

#[test]
fn times_of_a_table_are_as_fine_as_they_must_be() {
    let first_times = |offsets: &[i64]| {
        let mut odd = group("foo", &[], &[1.0, 2.0]);
        odd.times = offsets.iter().map(|offset| NOW + offset).collect();
        let text = pipe("foo mean 0 -o table", vec![odd]);
        text.lines().nth(3).and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned)
    };
    assert_eq!(first_times(&[0, MINUTE]).as_deref(), Some("2017-07-14T02:40:00Z"));
    assert_eq!(first_times(&[1, MINUTE]).as_deref(), Some("2017-07-14T02:40:00.000Z"));
    assert_eq!(first_times(&[1, 2]).as_deref(), Some("2017-07-14T02:40:00.000000001Z"));
}

#[test]
fn numbers_of_a_table_have_the_units_of_their_names() {
    let bytes = group("memory_bytes", &[], &[1234.0, 5e9]);
    let seconds = group("latency_seconds", &[], &[0.000_25, 90.0]);
    insta::assert_snapshot!(pipe("*_* mean 1m -o table", vec![bytes, seconds]), @"
    ╭───────────────────────────────────────────────────────╮
    │ time                   memory_bytes   latency_seconds │
    ╞═══════════════════════════════════════════════════════╡
    │ 2017-07-14T01:40:00Z       1.21 KiB             250µs │
    │ 2017-07-14T01:41:00Z       4.66 GiB             1m30s │
    ╰───────────────────────────────────────────────────────╯
    ");
}

#[test]
fn a_short_answer_on_a_terminal_is_a_plot_and_a_table() {
    insta::assert_snapshot!(terminal("foo mean 0", one()), @"
    6 ┤                                                                       ⣀⡠⠤⠔⠒⠉
      │                                                                ⢀⣀⠤⠔⠒⠊⠉
      │                                                          ⣀⡠⠤⠒⠊⠉⠁
    4 ┤                                                   ⣀⣀⠤⠔⠒⠉⠉
      │                                            ⢀⣀⠤⠤⠒⠊⠉
    2 ┤                                   ⢀⣀⣀⣀⡠⠤⠒⠒⠉⠁
      │          ⣀⣀⣀⣀⣀⣀⡠⠤⠤⠤⠤⠤⠔⠒⠒⠒⠒⠒⠒⠉⠉⠉⠉⠉⠉⠁
      │⠒⠒⠒⠊⠉⠉⠉⠉⠉⠉
    0 ┤
      └┬──────────────────┬──────────────────┬──────────────────┬───────────────────
    01:40:00          01:40:30           01:41:00           01:41:30
    ━ foo
    ╭──────────────────────────────╮
    │ time                   value │
    ╞══════════════════════════════╡
    │ 2017-07-14T01:40:00Z       1 │
    │ 2017-07-14T01:41:00Z       2 │
    │ 2017-07-14T01:42:00Z       6 │
    ╰──────────────────────────────╯
    ");
    insta::assert_snapshot!(terminal("foo mean 0 --no-graph", one()), @"
    ╭──────────────────────────────╮
    │ time                   value │
    ╞══════════════════════════════╡
    │ 2017-07-14T01:40:00Z       1 │
    │ 2017-07-14T01:41:00Z       2 │
    │ 2017-07-14T01:42:00Z       6 │
    ╰──────────────────────────────╯
    ");
    insta::assert_snapshot!(terminal("foo max", vec![group("foo", &[], &[6.0])]), @"
    ╭────────────────────────────╮
    │ time                   max │
    ╞════════════════════════════╡
    │ 2017-07-14T01:40:00Z     6 │
    ╰────────────────────────────╯
    ");
}

#[test]
fn a_long_answer_on_a_terminal_is_summed_up() {
    let groups = || vec![long("cpu.load", &[("host", "a")], 10.0), long("cpu.load", &[("host", "b")], 13.0)];
    insta::assert_snapshot!(terminal("cpu.load", groups()), @r#"
    20 +
       |           ++++++++++++++
       |      +++++
    15 + +++++   ****************                                                ++
       |+   *****                             +                             +++++
    10 +****                                   +++++                    ++++  *****
       |                                      ***   ++++++++++++++++++++  ****
       |                                         *****               *****
     5 +                                              ***************
       ++------------+-----------+------------+-----------+------------+------------
      01:40        01:50       02:00        02:10       02:20        02:30
    * host="a" + host="b"
    ╭─────────────────────────────────────────────────────────────────────────╮
    │ series        last                     at       min       max   samples │
    ╞═════════════════════════════════════════════════════════════════════════╡
    │ host="a"   11.3451   2017-07-14T02:39:00Z   5.00523   14.9994        50 │
    │ host="b"   14.3451   2017-07-14T02:39:00Z   8.00523   17.9994        50 │
    ╰─────────────────────────────────────────────────────────────────────────╯
    "#);
    insta::assert_snapshot!(terminal("cpu.load mean 1m --last 1h --plot blocks", groups()[..1].to_vec()), @r#"
    15 ┤           ▄▄▄▄▀▀▀▀▀▀▀▄▄▖
       │       ▗▄▄▀
       │     ▄▀▘
       │  ▗▞▀                                                                   ▗▄▘
    10 ┤▄▀▘                                                                   ▄▞▘
       │                                      ▚▄                           ▗▄▀
       │                                        ▀▄▖                     ▄▄▞▘
       │                                          ▝▀▀▄              ▄▄▞▀
     5 ┤                                              ▀▀▀▀▄▄▄▄▄▄▄▞▀▀
       └┬────────────┬───────────┬────────────┬───────────┬────────────┬────────────
      01:40        01:50       02:00        02:10       02:20        02:30
    ━ cpu.load{host="a"}
    ╭──────────────────────────────────────────────────────────────────────────────╮
    │ series             last                     at       min       max   windows │
    ╞══════════════════════════════════════════════════════════════════════════════╡
    │ cpu.load{hos…   11.3451   2017-07-14T02:39:00Z   5.00523   14.9994        50 │
    ╰──────────────────────────────────────────────────────────────────────────────╯
    "#);
    let ascii = Console { utf8: false, out_is_tty: true, ..console(60) };
    insta::assert_snapshot!(told("cpu.load mean 1m --last 1h", groups(), ascii), @r#"
    20 +
       |        ++++++++++
       |     +++
    15 + ++++ ************                                   ++
       |+  ****                     +                     +++
    10 +***                         ++++               +++ ****
       |                            **  +++++++++++++++  **
       |                              ****           ****
     5 +                                  ***********
       +-----+------------+-------------+-------------+---------
           01:45        02:00         02:15         02:30
    * host="a" + host="b"
    +-------------------------------------------------------------------------+
    | series        last                     at       min       max   windows |
    +=========================================================================+
    | host="a"   11.3451   2017-07-14T02:39:00Z   5.00523   14.9994        50 |
    | host="b"   14.3451   2017-07-14T02:39:00Z   8.00523   17.9994        50 |
    +-------------------------------------------------------------------------+
    "#);
    let colored = Console { color: true, out_is_tty: true, ..console(60) };
    insta::assert_snapshot!(told("cpu.load mean 1m --last 1h", groups(), colored).replace('\x1b', "^"), @r#"
    20 ┤
       │       ^[33m⢀⣀⡠⠒⠒⠒⠒⠒⠒⠤⠤^[0m
       │   ^[33m⢀⡠⠔⠊⠁^[0m
    15 ┤ ^[33m⣀⠤⠊^[0m  ^[36m⢀⡠⠤⠔⠉⠉⠉⠉⠉⠉⠒⠒^[0m                                   ^[33m⡠⠔^[0m
       │^[33m⠉^[0m  ^[36m⢠⠔⠊⠁^[0m                     ^[33m⡀^[0m                     ^[33m⢀⠤⠊^[0m
    10 ┤^[36m⣀⠤⠒⠁^[0m                        ^[33m⠈⠒⠤⣀^[0m               ^[33m⣀⠤⠒⠁^[0m ^[36m⢀⠔⠊^[0m
       │                            ^[36m⢄^[0m   ^[33m⠉⠒⢄⣀⡀^[0m     ^[33m⢀⣀⡠⠔⠊^[0m   ^[36m⡠⠒⠁^[0m
       │                             ^[36m⠉⠒⠤⣀^[0m   ^[33m⠈⠉⠉⠉⠉⠉⠁^[0m   ^[36m⢀⠤⠒⠉^[0m
     5 ┤                                 ^[36m⠉⠢⠤⢄⣀⣀⣀⣀⣀⡠⠤⠔⠊⠁^[0m
       └─────┬────────────┬─────────────┬─────────────┬─────────
           01:45        02:00         02:15         02:30
    ^[36m━^[0m host="a" ^[33m━^[0m host="b"
    ╭─────────────────────────────────────────────────────────────────────────╮
    │ series        last                     at       min       max   windows │
    ╞═════════════════════════════════════════════════════════════════════════╡
    │ host="a"   11.3451   2017-07-14T02:39:00Z   5.00523   14.9994        50 │
    │ host="b"   14.3451   2017-07-14T02:39:00Z   8.00523   17.9994        50 │
    ╰─────────────────────────────────────────────────────────────────────────╯
    "#);
}

#[test]
fn of_many_series_the_first_are_shown_and_the_others_counted() {
    let groups = (0..30).map(|i| long("cpu.load", &[("host", &format!("h{i:02}"))], f64::from(i)));
    let text = terminal("cpu.load mean 1m --last 1h", groups.collect());
    assert!(text.contains("host=\"h19\"") && !text.contains("host=\"h20\""), "{text}");
    assert!(text.ends_with("and 10 more series; `-o table` shows every value of each\n"), "{text}");
}

#[test]
fn what_steers_a_terminal_is_escaped_everywhere() {
    for form in ["table", "plain", "csv", "json", "ndjson"] {
        let evil = || group("evil\x1b[2J", &[("l\x07", "v\x1b[0m")], &[1.0, 2.0]);
        let text = terminal(&format!("foo mean 0 -o {form}"), vec![evil(), evil()]);
        assert!(!text.contains(['\x1b', '\x07']), "{form}: {text}");
    }
}
