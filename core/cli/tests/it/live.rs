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
    {"schema_version":1,"generation":1,"rules":[{"id":"foo_high","place":"FOLDER/rules/a.yaml:2","selector":"foo","aggregation":"last","limit":">= 10","window":600.0,"every":1.0,"health":"unmatched","error":null,"instances":0,"firing":0,"evaluations":1,"last_tick":"2017-07-14T02:40:00.000Z","last_duration":0.0,"longest_duration":0.0,"matched":0,"pending":0,"samples":0,"operations":0,"missed":{},"next_tick":null,"mode":"","paused":null}],"diagnostics":[]}
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
    let told = |args: &str| {
        // Then nothing changes any more; and how long it takes is a matter of the machine.
        let shown = |line: &&str| !line.starts_with("changed: ") && !line.ends_with(".yaml: kept");
        let timeless = |line: &str| line.split_once(", in ").map_or(line, |(start, _)| start).to_owned();
        told(&site, args).lines().filter(shown).map(timeless).collect::<Vec<_>>().join("\n")
    };
    let reload = |args: &str| {
        let told = told(args);
        if told.contains("\nerror:") {
            told.replace("unchanged:", "partial:")
        } else {
            told.replace("unchanged:", "applied:")
        }
    };
    insta::assert_snapshot!(told("reload"), @"
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
    insta::assert_snapshot!(told("reload"), @"
    reload
    Negative
    --- out
    would be removed: bar_high, foo_high
    FOLDER/rules/a.yaml: removed
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
    assert!(
        allowed.out.contains(r#""removed":["bar_high","foo_high"],"changed":[],"pinned":null,"#),
        "{}",
        allowed.out
    );
    assert!(allowed.out.ends_with("\"diagnostics\":[]}\n"), "{}", allowed.out);
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
    error: invalid value 'fires' for '--kind <KIND>': kinds are firing, escalated, deescalated, reminder, resolved, closed, stale and flapping

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
        "rules show -h",
        "rules check -h",
        "rules test -h",
        "rules eval -h",
        "rules replay -h",
        "rules explain -h",
        "rules diff -h",
        "rules history -h",
        "rules rollback -h",
        "rules pause -h",
        "rules resume -h",
        "rules functions -h",
        "rules schema -h",
        "alerts forget -h",
        "check -h",
        "info -h",
        "storage -h",
    ];
    insta::assert_snapshot!(all.map(help).join("\n\n"), @r#"
    Watch notifications, the alerts that fire first

    Usage: sereno monitor [OPTIONS]

    Options:
          --level <LEVEL>        Only of this level and above: `info`, `warn`, `crit`
          --rule <GLOB>          Only of this rule, `disk_full` or `disk_*`; may be repeated
      -l, --where <LABEL=VALUE>  Only of instances with this label: `env=prod`, `env=!prod`,
                                 `host=~web.*`, `host=!~web.*`; may be repeated [alias: --labels]
          --kind <KIND>          Only of this kind; may be repeated
          --shadow               Also of rules that only run along; a rule that is named by its id is
                                 heard anyhow
          --since <WHEN>         Begin with what happened since then: `-1h`, a time, or a position;
                                 without the alerts that fire
          --no-snapshot          Do not begin with the alerts that fire
          --count <COUNT>        End after so many notifications; alerts that fired before do not count
      -o, --output <FORM>        The form of a notification [default: plain] [possible values: plain,
                                 json]
      -h, --help                 Print help (see more with '--help')

    Kinds: firing, escalated, deescalated, reminder, resolved, closed, stale, flapping.

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
           sereno alerts <COMMAND>

    Commands:
      forget  End alerts of what is gone for good: they are told `closed`, and known no more
      help    Print this message or the help of the given subcommand(s)

    Options:
          --level <LEVEL>        Only of this level and above: `info`, `warn`, `crit`
          --rule <GLOB>          Only of this rule, `disk_full` or `disk_*`; may be repeated
      -l, --where <LABEL=VALUE>  Only of instances with this label: `env=prod`, `env=!prod`,
                                 `host=~web.*`, `host=!~web.*`; may be repeated [alias: --labels]
          --active               Those that fire, recovering ones among them; the default
          --pending              Those that do not fire yet
          --all                  Both
          --fail                 Exit with 1 if there is any
          --nagios               Say it as a monitoring plugin does
      -w, --watch [<TIME>]       Ask again and again, every 2s or as said; Ctrl-C ends
      -o, --output <FORM>        The form of the answer [possible values: table, json, yaml, ndjson,
                                 csv, name, plain]
      -h, --help                 Print help (see more with '--help')

    A plain line is level, rule, instance, since, value and message, with tabs between.

    With `--nagios`, one line says how it is, and the exit code is that of a monitoring plugin: 0
    nothing fires, 1 something does, 2 something critical does, 3 nobody knows. What is muted does
    not count.

    Examples:
      sereno alerts                          all that fire
      sereno alerts --all -l env=prod        those that are pending too, of one environment
      sereno alerts --level crit --fail      exit code 1 if anything is critical
      sereno alerts --rule 'disk_*' -o json
      sereno alerts --watch
      sereno alerts forget 'host_silent{host="a"}'

    The rules of the server, and rule files

    Usage: sereno rules [OPTIONS] <COMMAND>

    Commands:
      list       The rules of the server, and how they are [alias: ls]
      show       A rule as the server understands it, defaults included, and how it fares
      explain    Why an instance of a rule is as it is, from the samples to the event
      replay     What a rule would have told over stored history, and how that differs from what it told
      check      Check rule files and scripts as the server would, without a server
      test       Run the tests beside rule files, in virtual time, without a server
      eval       What rules give at one tick, without any effect
      diff       What a folder would mean for the server: what would open, close and keep; or how two
                 generations differ [alias: plan]
      history    The generations of the rules that the server has run
      rollback   Make a stored generation active; the files stay as they are, and are not read until
                 they change
      pause      Let rules rest: they are not evaluated, and their state stands
      resume     End the rest of rules
      reload     Let the server read its rules and scripts again, and wait until it has
      functions  What scripts may call
      schema     Print the JSON Schema of rule files or test files, for editors
      help       Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help


    The rules of the server, and how they are

    Usage: sereno rules list [OPTIONS] [RULE]...

    Arguments:
      [RULE]...  Which rules: `disk_full`, `disk_*`; all if there is none

    Options:
      -w, --watch [<TIME>]  Ask again and again, every 2s or as said; Ctrl-C ends
      -o, --output <FORM>   The form of the answer [possible values: table, wide, json, yaml, name,
                            plain]
      -h, --help            Print help (see more with '--help')

    Health:
      ok           evaluated as it should be
      waiting      not evaluated yet
      unmatched    no series has ever matched
      stale        its file has a mistake, and the last good version runs
      error        the last evaluation failed
      limited      it has as many instances as it may, and refuses new ones
      quarantined  it broke its budget again and again, and is tried at ever longer intervals
      paused       it rests, see `sereno rules pause`
      off          not evaluated

    Examples:
      sereno rules list
      sereno rules ls 'disk_*' -o wide
      sereno rules ls -o name | xargs -n 1 sereno rules explain
      sereno rules ls -o json | jq -r '.rules[] | select(.health == "error") | .error'

    Let the server read its rules and scripts again, and wait until it has

    Usage: sereno rules reload [OPTIONS]

    Options:
          --allow-removal  Let rules go that have vanished from the files, even many at once, or such
                           that fire
      -o, --output <FORM>  The form of the outcome [default: plain] [possible values: plain, json]
      -h, --help           Print help (see more with '--help')

    The exit code is 1 if rules were refused, or if some keep their last good version.

    A rule as the server understands it, defaults included, and how it fares

    Usage: sereno rules show [OPTIONS] <ID>

    Arguments:
      <ID>  The rule

    Options:
      -o, --output <FORM>  The form of the answer [default: table] [possible values: table, json, yaml]
      -h, --help           Print help (see more with '--help')


    Check rule files and scripts as the server would, without a server

    Usage: sereno rules check [OPTIONS] [PATHS]...

    Arguments:
      [PATHS]...  Rule files, or folders of them [default: config/rules]

    Options:
          --scripts <PATH>  Folders of scripts [default: scripts]
          --strict          Take warnings for errors
      -o, --output <FORM>   The form of the findings [default: plain] [possible values: plain, json,
                            junit]
      -h, --help            Print help (see more with '--help')

    With `--server` or `--context`, a rule is also held against what that server stores: one whose
    series it does not have is warned of.

    The exit code is 1 if there are errors; with `--strict`, if there are warnings.

    Examples:
      sereno rules check
      sereno rules check config/rules/host.yaml --strict
      sereno rules check --server prod.example:5678
      sereno rules check -o junit > check.xml

    Run the tests beside rule files, in virtual time, without a server

    Usage: sereno rules test [OPTIONS] [PATHS]...

    Arguments:
      [PATHS]...  Test files, or folders of them [default: config/rules]

    Options:
          --scripts <PATH>  Folders of scripts, and of tests of aggregations; without it, the nearest
                            `scripts` above each test file
          --only <TEXT>     Only tests with this text in their names
      -v, --verbose         Tell of every test, with all that happened in it
          --coverage        Tell of every rule, level and script that no test reaches
      -o, --output <FORM>   The form of the report [default: plain] [possible values: plain, json,
                            junit]
      -h, --help            Print help (see more with '--help')

    A test file is called `NAME_test.yaml` and stands beside the rules; `sereno rules schema
    tests` prints its form. The exit code is 1 if a test fails.

    Examples:
      sereno rules test
      sereno rules test config/rules/host_test.yaml --verbose
      sereno rules test --only recovers --coverage
      sereno rules test -o junit > tests.xml

    What rules give at one tick, without any effect

    Usage: sereno rules eval [OPTIONS] [ID]...

    Arguments:
      [ID]...  Which rules, `disk_full` or `disk_*`; with `--file`, all of it if there is none

    Options:
      -f, --file <FILE>     A rule file, or a folder of them, instead of the rules of the server
          --scripts <PATH>  Folders of scripts to be used instead of those of the server
          --at <TIME>       The tick: RFC 3339, Unix seconds, `now`, or `-1h`
      -o, --output <FORM>   The form of the answer [default: table] [possible values: table, json, yaml]
      -h, --help            Print help (see more with '--help')

    A file is evaluated with the scripts of the server, or with those of `--scripts`. Nothing is
    told, and no state is kept or looked at: `would be` says what the conditions give at this tick
    alone.

    Examples:
      sereno rules eval cpu_high
      sereno rules eval 'disk_*' --at -1h
      sereno rules eval -f new.yaml
      sereno rules eval -f new.yaml cpu_high -o json | jq '.rules[].instances[].levels'

    What a rule would have told over stored history, and how that differs from what it told

    Usage: sereno rules replay [OPTIONS] <ID|FILE>

    Arguments:
      <ID|FILE>  A rule of the server, or a rule file

    Options:
          --id <ID>                Which rule of the file, if it has several
          --scripts <PATH>         Folders of scripts to be used instead of those of the server
      -l, --instance <NAME=VALUE>  Only the instance with this label; may be repeated [alias: --labels]
      -h, --help                   Print help (see more with '--help')

    Period:
          --start <TIME>         The start of the period: RFC 3339, Unix seconds, `now`, or `-1h`
          --end <TIME>           The end of the period, exclusive
          --last <TIME>          The last stretch of time until now, like `1h`
          --against <WHAT>       Tell the difference [possible values: live]
          --fail-if <CONDITION>  Exit with 1 if this is so: `fires > 5`, `longest_seconds >= 2h`; may be
                                 repeated
      -o, --output <FORM>        The form of the answer [default: table] [possible values: table, json,
                                 yaml, ndjson, csv]

    A file is replayed with the scripts of the server, or with those of `--scripts`; nothing of it
    stays there. Without a period it is the last 24 hours.

    What `--fail-if` counts: events, fires, resolves, closes, escalations, deescalations,
    reminders, stales, flappings; episodes, open, flaps, and info, warn and crit by the highest
    level of an episode; firing_seconds, longest_seconds, median_pending_seconds. With `--against
    live` also only_here, only_there, both and lead_seconds.

    Examples:
      sereno rules replay cpu_high --last 7d
      sereno rules replay config/rules/host.yaml --id cpu_high --last 7d --against live
      sereno rules replay new.yaml --last 30d --fail-if 'fires > 5' --fail-if 'longest_seconds > 1h'
      sereno rules replay cpu_high --last 1d -o ndjson | jq -r 'select(.kind == "firing") | .message'

    Why an instance of a rule is as it is, from the samples to the event

    Usage: sereno rules explain [OPTIONS] <ID>

    Arguments:
      <ID>  The rule

    Options:
      -l, --instance <NAME=VALUE>  A label of the instance; may be repeated. Labels that are not named
                                   are open [alias: --labels]
          --tick <TIME>            The tick: RFC 3339, Unix seconds, or `-1h`; the last one at or before
                                   it
          --rerun                  Evaluate again over what is stored now
      -o, --output <FORM>          The form of the story [default: table] [possible values: table, json,
                                   yaml]
      -h, --help                   Print help (see more with '--help')

    Without `--tick` it is the last one; with it, the evidence that was kept of that tick, if
    anything happened at it. `--rerun` evaluates again over what is stored now. Without
    `--instance` it is the instance that is worst.

    Examples:
      sereno rules explain cpu_high
      sereno rules explain cpu_high -l host=a
      sereno rules explain cpu_high -l host=a --tick 2026-11-23T08:00:00Z
      sereno rules explain cpu_high --tick -2h --rerun
      sereno rules explain cpu_high -o json | jq .instance.levels

    What a folder would mean for the server: what would open, close and keep; or how two generations
    differ

    Usage: sereno rules diff [OPTIONS] [DIR|GENERATION] [GENERATION]

    Arguments:
      [DIR|GENERATION]  A folder or file of rules, or the number of a generation
      [GENERATION]      Another generation; the active one if it is not given

    Options:
      -d, --directory <DIR>  The same as DIR
      -o, --output <FORM>    The form of the answer [default: table] [possible values: table, json,
                             yaml]
      -h, --help             Print help (see more with '--help')

    The rules of DIR are those of DIR/config/rules, DIR/rules or DIR itself, its scripts those of
    DIR/scripts; where there are none, those of the server stand. Nothing is changed.

    As `diff` does it, the exit code is 0 if nothing would change or differs, 1 if something does,
    and more if that cannot be told.

    Examples:
      sereno rules diff .                    what the rules here would open, close and keep
      sereno rules diff /srv/new --server prod.example:5678
      sereno rules diff 11 12                two generations, see `sereno rules history`
      sereno rules diff 11                   one, and the active one

    The generations of the rules that the server has run

    Usage: sereno rules history [OPTIONS]

    Options:
      -o, --output <FORM>  The form of the answer [default: table] [possible values: table, json, yaml]
      -h, --help           Print help (see more with '--help')

    Examples:
      sereno rules history
      sereno rules diff 11 12
      sereno rules rollback 11

    Make a stored generation active; the files stay as they are, and are not read until they change

    Usage: sereno rules rollback [OPTIONS] <GENERATION>

    Arguments:
      <GENERATION>  The generation, see `sereno rules history`

    Options:
      -o, --output <FORM>  The form of the outcome [default: plain] [possible values: plain, json]
      -h, --help           Print help (see more with '--help')


    Let rules rest: they are not evaluated, and their state stands

    Usage: sereno rules pause [OPTIONS] <ID>

    Arguments:
      <ID>  Which rules: `disk_full`, `disk_*`

    Options:
          --for <TIME>      For how long
          --until <TIME>    Until when
      -c, --comment <TEXT>  Why, for others
          --who <NAME>      Who says so [default: USER of the environment]
      -h, --help            Print help

    What fires stays as it is, and nothing is told of it; ticks meanwhile count as not observed.
    A pause survives a restart of the server.

    Examples:
      sereno rules pause disk_full --for 8h -c 'new disks'
      sereno rules pause 'batch_*' --until 2026-11-24T06:00:00Z
      sereno rules resume disk_full

    End the rest of rules

    Usage: sereno rules resume [OPTIONS] <ID>

    Arguments:
      <ID>  Which rules: `disk_full`, `disk_*`

    Options:
      -h, --help  Print help


    What scripts may call

    Usage: sereno rules functions [OPTIONS] [TEXT]

    Arguments:
      [TEXT]  Only those with this text in their names

    Options:
      -o, --output <FORM>  The form of the answer [default: table] [possible values: table, json, yaml]
      -h, --help           Print help (see more with '--help')

    Examples:
      sereno rules functions
      sereno rules functions quantile
      sereno rules functions -o json | jq -r '.functions[].signature'

    Print the JSON Schema of rule files or test files, for editors

    Usage: sereno rules schema [OPTIONS] [FILES]

    Arguments:
      [FILES]  Which files [default: rules] [possible values: rules, tests]

    Options:
      -h, --help  Print help (see more with '--help')

    An editor with the YAML language server checks a file while it is written, if the first line is
      # yaml-language-server: $schema=rules.schema.json

    Examples:
      sereno rules schema > rules.schema.json
      sereno rules schema tests > tests.schema.json

    End alerts of what is gone for good: they are told `closed`, and known no more

    Usage: sereno alerts forget [OPTIONS] <ALERT>

    Arguments:
      <ALERT>  The rule and labels of its instances: `host_silent{host="a"}`, or `host_silent` for all

    Options:
      -h, --help  Print help

    An instance that reports again is known again.

    Examples:
      sereno alerts forget 'host_silent{host="a"}'
      sereno alerts forget 'host_silent{env="staging"}'
      sereno alerts -o name --rule host_silent | xargs -d '\n' -n 1 sereno alerts forget

    Check everything in a folder: the configuration, rules, scripts and tests

    Usage: sereno check [OPTIONS] [DIR]
           sereno check <COMMAND>

    Commands:
      rules  The same as `sereno rules check`
      help   Print this message or the help of the given subcommand(s)

    Arguments:
      [DIR]  The folder, or a configuration [default: .]

    Options:
      -d, --directory <DIR>  The same as DIR
          --strict           Take warnings for errors
      -o, --output <FORM>    The form of the findings [default: plain] [possible values: plain, json,
                             junit]
      -h, --help             Print help (see more with '--help')

    The configuration is DIR/config/server.yaml or DIR/server.yaml, or DIR itself if that is a
    file; it says where rules and scripts are. Without one, rules are in DIR/config/rules,
    DIR/rules or DIR, and scripts in DIR/scripts. `--server` and `--strict` are those of `sereno
    rules check`. Tests beside the rules and scripts are run, see `sereno rules test`; in JSON,
    `check` has what is found and `tests` how they went.

    Examples:
      sereno check
      sereno check /etc/sereno --strict
      sereno check rules config/rules/host.yaml     the same as `sereno rules check
      config/rules/host.yaml`

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
