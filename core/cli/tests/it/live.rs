//! What a running server tells of itself: its rules, its alerts, its store; and notifications as they come.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;

use sereno_cli::Exit;
use sereno_model::Timestamp;
use sereno_server::Config;

use crate::site::{Caller, Site};

/// 2017-07-14T02:40:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_500_000_000_000);

const RULES: &str = "rules:
  - { id: foo_high, metric: foo, by: [host], agg: last, window: 10m, every: 1s, limit: 10 }
  - { id: bar_high, metric: bar, agg: mean, window: 1m, limit: 5 }
";

/// Rules in a file of the server's own folder.
#[expect(clippy::disallowed_methods, reason = "the server reads real files")]
fn with_rules(config: &mut Config, folder: &Path) {
    let rules = folder.join("rules");
    std::fs::create_dir(&rules).and_then(|()| std::fs::write(rules.join("a.yaml"), RULES)).expect("written");
    config.rules.paths = vec![rules];
}

fn told(site: &Site, args: &str) -> String {
    let told = site.run(args).told().replace(&site.folder.path().display().to_string(), "FOLDER");
    format!("{args}\n{told}")
}

/// The connection of the command before may be counted still.
fn whatever_connections(told: &str) -> String {
    (1..9).fold(told.to_owned(), |told, count| {
        let numbers = ["connections  ", "connections ", "\"connections\":"];
        numbers.iter().fold(told, |told, name| told.replace(&format!("{name}{count}"), &format!("{name}N")))
    })
}

/// Waits until all rules were evaluated once.
fn evaluated(site: &Site) {
    while site.run("rules ls").out.contains("\twaiting\t") {}
}

#[test]
fn a_server_tells_how_it_is() {
    let site = Site::at_with(NOW, with_rules);
    site.run("send foo 5");
    insta::assert_snapshot!(whatever_connections(&told(&site, "info")), @"
    info
    Ok
    --- out
    server       serenod 0.1.0 at SERVER
    state        ready
    started      2017-07-14T02:40:00Z, 0s ago
    series       1
    connections  N
    rules        2, generation 1
    alerts       0 firing
    version 1    served
    --- err
    ");
    insta::assert_snapshot!(whatever_connections(&told(&site, "info -o json")), @r#"
    info -o json
    Ok
    --- out
    {"schema_version":1,"address":"SERVER","server":"serenod 0.1.0","time":"2017-07-14T02:40:00.000Z","started":"2017-07-14T02:40:00.000Z","recovering":false,"series":1,"connections":N,"generation":1,"rules":2,"alerts":0,"v1":true}
    --- err
    "#);
    let figures = site.run("info --figures -o json").out;
    assert!(figures.contains(r#""connections_open":"#), "{figures}");
    let figures = site.run("info --figures").out;
    assert!(figures.contains("connections_open"), "{figures}");
}

#[test]
fn a_store_tells_what_it_holds() {
    let site = Site::at_with(NOW, with_rules);
    let sent = [r#"cpu{host="a"}=1"#, r#"cpu{host="b"}=2"#, "foo=3"];
    assert_eq!(site.run_words(&[&["send"], sent.as_slice()].concat()).exit, Exit::Ok);
    // The figures of the log are a matter of the store.
    let lines = |args: &str| {
        let out = site.run(args).out;
        out.lines()
            .filter(|line| !line.contains("head") && !line.contains("log "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(lines("storage"), @"
    ╭───────────────────────────────────────────────────────────────╮
    │                        files   samples   bytes   bytes/sample │
    ╞═══════════════════════════════════════════════════════════════╡
    │ segments, as flushed       0         0     0 B                │
    │ segments, merged           0         0     0 B                │
    │ segments, whole days       0         0     0 B                │
    ╰───────────────────────────────────────────────────────────────╯
    3 live series; the store is idle
    since the server started: 0 flushes, 0 failed, 0 merges
    ╭───────────────────────────────────────╮
    │ metrics with the most series   series │
    ╞═══════════════════════════════════════╡
    │ cpu                                 2 │
    │ foo                                 1 │
    ╰───────────────────────────────────────╯
    ╭───────────────────────────────────────────────╮
    │ labels with the most series   series   values │
    ╞═══════════════════════════════════════════════╡
    │ host                               2        2 │
    ╰───────────────────────────────────────────────╯
    ");
    let json = site.run("storage --top 1 -o json").out;
    assert!(
        json.starts_with(r#"{"schema_version":1,"state":"idle","series":3,"head":{"samples":3,"#),
        "{json}"
    );
    assert!(json.ends_with("\"names\":[{\"text\":\"cpu\",\"series\":2}],\"labels\":[{\"text\":\"host\",\"series\":2,\"values\":2}]}\n"), "{json}");
}

#[test]
fn rules_are_listed() {
    let site = Site::at_with(NOW, with_rules);
    evaluated(&site);
    let all = [
        "rules list",
        "rule ls foo_* -o json",
        "rules ls foo_hihg",
        "rules ls nope*",
        "alerts",
        "alerts -o json",
    ];
    insta::assert_snapshot!(all.map(|args| told(&site, args)).join("\n\n"), @r#"
    rules list
    Ok
    --- out
    bar_high	unmatched	bar	1m	0	0
    foo_high	unmatched	foo	1s	0	0
    --- err

    rule ls foo_* -o json
    Ok
    --- out
    {"schema_version":1,"generation":1,"rules":[{"id":"foo_high","place":"FOLDER/rules/a.yaml:2","selector":"foo","aggregation":"last","limit":">= 10","window":600.0,"every":1.0,"health":"unmatched","error":null,"instances":0,"firing":0,"evaluations":1,"last_tick":"2017-07-14T02:40:00.000Z","last_duration":0.0,"longest_duration":0.0}],"diagnostics":[]}
    --- err

    rules ls foo_hihg
    Negative
    --- out
    --- err
    error: `SERVER` answered: there is no rule `foo_hihg`
      hint:  did you mean `foo_high`?

    rules ls nope*
    Negative
    --- out
    --- err
    error: no rule matches `nope*`
      hint:  `sereno rules list` lists all of them

    alerts
    Ok
    --- out
    --- err
    nothing fires

    alerts -o json
    Ok
    --- out
    {"schema_version":1,"alerts":[]}
    --- err
    nothing fires
    "#);
    let bare = Site::at(NOW);
    insta::assert_snapshot!(["rules ls", "alerts --fail"].map(|args| told(&bare, args)).join("\n\n"), @"
    rules ls
    Ok
    --- out
    --- err
    the server has no rules

    alerts --fail
    Ok
    --- out
    --- err
    nothing fires
    ");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the server reads real files")]
fn a_reload_tells_what_came_of_it() {
    let site = Site::with(with_rules);
    let write = |text: &str| std::fs::write(site.folder.path().join("rules/a.yaml"), text).expect("written");
    // The watch on the files may be the first to see it.
    let reload = |args: &str| {
        let told = told(&site, args);
        if told.contains("\nerror:") {
            told.replace("unchanged:", "partial:")
        } else {
            told.replace("unchanged:", "applied:")
        }
    };
    insta::assert_snapshot!(told(&site, "reload"), @"
    reload
    Ok
    --- out
    unchanged: 2 rules, generation 1
    --- err
    ");
    write(&RULES.replace("limit: 5", "limit: 7"));
    insta::assert_snapshot!(reload("rules reload"), @"
    rules reload
    Ok
    --- out
    applied: 2 rules, generation 2
    --- err
    ");
    write(&RULES.replace("agg: mean", "agg: meen"));
    insta::assert_snapshot!(reload("reload"), @"
    reload
    Negative
    --- out
    error: there is no aggregation `meen`
     --> FOLDER/rules/a.yaml:3:39
      |
    3 |   - { id: bar_high, metric: bar, agg: meen, window: 1m, limit: 5 }
      |                                       ^
      = hint: did you mean `mean`?

    partial: 2 rules, generation 3
    --- err
    error: the rule files have 1 error
      hint:  the last good version of what is wrong stays, and all else is in effect
    ");
    let list = site.run("rules ls bar_high");
    assert!(list.out.starts_with("bar_high\tstale\tbar\t1m\t0\t0\t"), "{list:?}");
    assert_eq!(list.err, "the rule files have 1 error; `sereno reload` shows where\n");

    // Files that are gone may be on their way back.
    std::fs::remove_file(site.folder.path().join("rules/a.yaml")).expect("removed");
    insta::assert_snapshot!(told(&site, "reload"), @"
    reload
    Negative
    --- out
    error: there is no aggregation `meen`
     --> FOLDER/rules/a.yaml:3:39
      |
    3 |   - { id: bar_high, metric: bar, agg: meen, window: 1m, limit: 5 }
      |                                       ^
      = hint: did you mean `mean`?

    refused: 2 rules, generation 3
    --- err
    error: the reload was refused; the previous 2 rules stay
      cause: `FOLDER/rules/a.yaml` vanished, and 2 of 2 rules would go
      hint:  if that is what you want: `sereno reload --allow-removal`
    ");
    let allowed = site.run("reload --allow-removal -o json");
    assert_eq!((allowed.exit, allowed.err.as_str()), (Exit::Ok, ""), "{}", allowed.out);
    assert!(
        allowed.out.starts_with(r#"{"schema_version":1,"outcome":"applied","generation":"#),
        "{}",
        allowed.out
    );
    assert!(allowed.out.ends_with("\"rules\":0,\"refusal\":null,\"diagnostics\":[]}\n"), "{}", allowed.out);
}

/// A text of a JSON line.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = line.split_once(&format!("\"{name}\":\"")).map(|(_, rest)| rest).expect("it is there");
    start.split('"').next().expect("it ends")
}

#[test]
fn notifications_come_as_they_happen_and_go_on_where_they_were() {
    let site = Site::with(with_rules);
    assert_eq!(site.run_words(&["send", r#"foo{host="a"}=12"#]).exit, Exit::Ok);
    let fired = site.run("monitor --since -1h --count 1 -o json --level crit --rule foo_* --where host=~a");
    assert_eq!((fired.exit, fired.err.as_str()), (Exit::Ok, ""));
    assert_eq!((field(&fired.out, "kind"), field(&fired.out, "rule")), ("firing", "foo_high"));
    assert!(fired.out.contains(r#""instance":{"host":"a"}"#), "{}", fired.out);

    let alerts = site.run("alerts --level warn --rule foo*");
    assert!(alerts.out.starts_with("crit\tfoo_high\thost=\"a\"\t20"), "{}", alerts.told());
    let failed = site.run("alerts --fail -o ndjson");
    assert_eq!((failed.exit, failed.err.as_str()), (Exit::Negative, "error: 1 alert fires\n"));
    assert_eq!(field(&failed.out, "rule"), "foo_high");

    assert_eq!(site.run_words(&["send", r#"foo{host="a"}=2"#]).exit, Exit::Ok);
    let since = field(&fired.out, "position");
    let resolved = site.run(&format!("monitor --since {since} --count 1"));
    assert_eq!((resolved.exit, resolved.err.as_str()), (Exit::Ok, ""));
    let words: Vec<&str> = resolved.out.split_whitespace().skip(1).take(3).collect();
    assert_eq!(words, ["crit", "resolved", "foo_high{host=\"a\"}:"], "{}", resolved.out);
}

#[test]
fn a_monitor_goes_on_when_the_server_comes_back() {
    let mut site = Site::with(with_rules);
    let args =
        ["monitor", "--no-snapshot", "--kind", "firing", "--count", "2", "-o", "json", "--since", "-1h"];
    let mut monitor = site.executable(&args);
    let mut out =
        BufReader::new(monitor.stdout.take().expect("a pipe")).lines().map(|line| line.expect("UTF-8"));
    assert_eq!(site.run_words(&["send", r#"foo{host="a"}=12"#]).exit, Exit::Ok);
    let first = out.next().expect("a line, as soon as it fires");
    site.restart();
    assert_eq!(site.run_words(&["send", r#"foo{host="b"}=12"#]).exit, Exit::Ok);
    let second = out.next().expect("another, from the next run of the server");
    let epoch = |line: &str| field(line, "position").split('-').next().map(str::to_owned);
    assert_ne!(epoch(&first), epoch(&second), "{second}");
    let done = monitor.wait_with_output().expect("it ends after the second");
    assert!(done.status.success());
    let err = String::from_utf8(done.stderr).expect("UTF-8").replace(&site.address, "SERVER");
    // How it went away is a race between its word and the end of the connection.
    assert!(err.ends_with("\nconnected to `SERVER` again; what was missed follows\n"), "{err}");
}

#[test]
fn a_server_at_a_glance_without_a_terminal_is_a_report() {
    let site = Site::at_with(NOW, with_rules);
    site.run("send foo 5");
    evaluated(&site);
    let report = site.run("top --every 1ms");
    assert_eq!((report.exit, report.err.as_str()), (Exit::Ok, ""));
    // How long rules and queues take is a matter of the machine.
    let head: Vec<&str> = report.out.lines().take(2).collect();
    insta::assert_snapshot!(whatever_connections(&head.join("\n")), @"
    serenod 0.1.0, up 0s
    series 1, connections N, rules 2, alerts 0, samples/s unknown
    ");
    assert!(report.out.contains("│ foo_high        unmatched"), "{}", report.out);
    assert!(report.out.contains("│ session_connections"), "{}", report.out);
    let json = whatever_connections(&site.run("top --once --every 1ms -o json").out);
    // The clock of this server stands still, so there is no rate.
    assert!(
        json.contains(r#""series":1,"connections":N,"generation":1,"samples_per_second":null,"alerts":[],"#),
        "{json}"
    );
    assert!(
        json.contains(r#""rules":[{"id":""#) && json.contains(r#""queues":[{"name":"connections","#),
        "{json}"
    );
}

#[test]
fn nobody_there_is_tried_again_and_then_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let again = Caller::default().run(&["--server", &address, "--retries", "1", "monitor"]);
    insta::assert_snapshot!(again.told().replace(&address, "SERVER"), @"
    Unreachable
    --- out
    --- err
    nobody listens at `SERVER`, trying again in 250ms
    error: failed to connect to `SERVER`
      cause: Connection refused (os error 111)
      hint:  start `serenod`, or name the server with `--server HOST:PORT`, SERENO_SERVER or `sereno context use NAME`
    ");
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_watched() {
    let site = Site::at(NOW);
    let wrong = [
        "monitor --kind fires",
        "monitor --where host",
        "monitor --since x",
        "monitor --level loud",
        "monitor --count 0",
    ];
    insta::assert_snapshot!(wrong.map(|args| told(&site, args)).join("\n\n"), @"
    monitor --kind fires
    Usage
    --- out
    --- err
    error: invalid value 'fires' for '--kind <KIND>': kinds are firing, escalated, deescalated, reminder, resolved and closed

    For more information, try '--help'.

    monitor --where host
    Usage
    --- out
    --- err
    error: invalid value 'host' for '--where <LABEL=VALUE>': it is a label and a value, like `env=prod` or `host=~web.*`

    For more information, try '--help'.

    monitor --since x
    Usage
    --- out
    --- err
    error: invalid value 'x' for '--since <WHEN>': it is a time like `2026-11-23T08:00:00Z`, a time ago like `-1h`, or a position like `1767225600000-42`

    For more information, try '--help'.

    monitor --level loud
    Usage
    --- out
    --- err
    error: invalid value 'loud' for '--level <LEVEL>': `loud` is not a level; levels are `info`, `warn` and `crit`

    For more information, try '--help'.

    monitor --count 0
    Usage
    --- out
    --- err
    error: invalid value '0' for '--count <COUNT>': it is a whole number, 1 or more

    For more information, try '--help'.
    ");
}

#[test]
fn help_says_what_they_take() {
    let help = |args: &str| {
        let text = Caller::default().run(&args.split(' ').collect::<Vec<_>>()).out;
        // The options of all commands are in the help of the whole.
        let (before, after) = text.split_once("Server:\n").expect("the options of all commands");
        let (_, examples) = after.split_once("\n\n").unwrap_or_default();
        format!("{before}{examples}").lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    };
    let all = [
        "monitor -h",
        "top -h",
        "alerts -h",
        "rules -h",
        "rules list -h",
        "rules reload -h",
        "info -h",
        "storage -h",
    ];
    insta::assert_snapshot!(all.map(help).join("\n\n"), @r#"
    Watch notifications, the alerts that fire first

    Usage: sereno monitor [OPTIONS]

    Options:
          --level <LEVEL>        Only of this level and above: `info`, `warn`, `crit`
          --rule <GLOB>          Only of this rule, `disk_full` or `disk_*`; may be repeated
          --where <LABEL=VALUE>  Only of instances with this label: `env=prod`, `env=!prod`,
                                 `host=~web.*`, `host=!~web.*`; may be repeated
          --kind <KIND>          Only of this kind; may be repeated
          --since <WHEN>         Begin with what happened since then: `-1h`, a time, or a position;
                                 without the alerts that fire
          --no-snapshot          Do not begin with the alerts that fire
          --count <COUNT>        End after so many notifications; alerts that fired before do not count
      -o, --output <FORM>        The form of a notification [default: plain] [possible values: plain,
                                 json]
      -h, --help                 Print help (see more with '--help')

    Kinds: firing, escalated, deescalated, reminder, resolved, closed.

    A line is the time, level, kind and message. In JSON, a line without a `kind` is an alert that
    fired already when the monitor began, or a gap. Every event has its position; `--since` with the
    last one goes on after it.

    Examples:
      sereno monitor --level warn --where env=prod
      sereno monitor --rule 'disk_*' --kind firing,resolved
      sereno monitor --since -1h --count 10
      sereno monitor -o json | jq -r 'select(.kind == "firing") | .message'

    A server at a glance, renewed every second

    Usage: sereno top [OPTIONS]

    Options:
          --every <TIME>   From one look at the server to the next [default: 1s]
          --once           Print one report and end, as without a terminal; it takes two looks to tell a
                           rate
      -o, --output <FORM>  The form of the report; implies `--once` [possible values: plain, json]
      -h, --help           Print help (see more with '--help')

    Keys:
      tab, shift-tab, left, right  the next or previous panel
      up, down, page up, page down, home, end  scroll in it
      ?  help
      q, esc, ctrl-c  end

    Examples:
      sereno top
      sereno top --once
      sereno top -o json | jq .samples_per_second

    Which alerts fire

    Usage: sereno alerts [OPTIONS]

    Options:
          --level <LEVEL>  Only of this level and above: `info`, `warn`, `crit`
          --rule <GLOB>    Only of this rule, `disk_full` or `disk_*`; may be repeated
          --fail           Exit with 1 if any fires
      -o, --output <FORM>  The form of the answer [possible values: table, json, ndjson, csv, plain]
      -h, --help           Print help (see more with '--help')

    A plain line is level, rule, instance, since, value and message, with tabs between.

    Examples:
      sereno alerts                          all that fire
      sereno alerts --level crit --fail      exit code 1 if anything is critical
      sereno alerts --rule 'disk_*' -o json

    The rules of the server, and rule files

    Usage: sereno rules [OPTIONS] <COMMAND>

    Commands:
      list    The rules of the server, and how they are [alias: ls]
      check   Check rule files and scripts as the server would, without a server
      reload  Let the server read its rules and scripts again, and wait until it has
      help    Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help


    The rules of the server, and how they are

    Usage: sereno rules list [OPTIONS] [RULE]...

    Arguments:
      [RULE]...  Which rules: `disk_full`, `disk_*`; all if there is none

    Options:
      -o, --output <FORM>  The form of the answer [possible values: table, wide, json, plain]
      -h, --help           Print help (see more with '--help')

    Health:
      ok         evaluated as it should be
      waiting    not evaluated yet
      unmatched  no series has ever matched
      stale      its file has a mistake, and the last good version runs
      error      the last evaluation failed
      off        not evaluated

    Examples:
      sereno rules list
      sereno rules ls 'disk_*' -o wide
      sereno rules ls -o json | jq -r '.rules[] | select(.health == "error") | .error'

    Let the server read its rules and scripts again, and wait until it has

    Usage: sereno rules reload [OPTIONS]

    Options:
          --allow-removal  Let rules go that have vanished from the files, even many at once, or such
                           that fire
      -o, --output <FORM>  The form of the outcome [default: plain] [possible values: plain, json]
      -h, --help           Print help (see more with '--help')

    The exit code is 1 if rules were refused, or if some keep their last good version.

    How the server is

    Usage: sereno info [OPTIONS]

    Options:
          --figures        With the server's own figures
      -o, --output <FORM>  The form of the answer [default: table] [possible values: table, json]
      -h, --help           Print help (see more with '--help')

    The server keeps its own figures as series too: `sereno query 'sereno.queue_depth*' --last 1h`.

    Examples:
      sereno info
      sereno info --figures -o json | jq '.figures["connections_open"]'

    What the server stores, where, and in how many bytes a sample

    Usage: sereno storage [OPTIONS]

    Options:
          --top <COUNT>    How many of the metrics and labels with the most series to list [default: 5]
      -o, --output <FORM>  The form of the answer [default: table] [possible values: table, json]
      -h, --help           Print help (see more with '--help')
    "#);
}
