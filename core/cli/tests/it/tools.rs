//! The tools of rules: without a server (tests, functions, schemas, a check of a whole folder), and with one (generations,
//! differences, rollback, pauses).

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

const TESTS: &str = "tests:
  - name: fires and recovers
    every: 10s
    series:
      'foo{host=\"a\"}': 12x5 3x5
    expect:
      - { at: 1s..20s, kind: firing, level: crit, rule: foo_high, instance: {host: a} }
      - { at: 50s..80s, kind: resolved, rule: foo_high }
  - name: never sleeps
    every: 10s
    series:
      'foo{host=\"a\"}': 12x5
    expect: []
";

#[expect(clippy::disallowed_methods, reason = "the commands read real files")]
fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, text).expect("written");
}

fn with_rules(config: &mut Config, folder: &Path) {
    write(folder, "rules/a.yaml", RULES);
    config.rules.paths = vec![folder.join("rules")];
}

/// A folder of files, and commands about it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        files.iter().for_each(|(name, text)| write(folder.path(), name, text));
        Self(folder)
    }

    fn run(&self, args: &str) -> String {
        let folder = self.0.path().display().to_string();
        let args = args.replace("FOLDER", &folder);
        let told = Caller::default().run(&args.split(' ').collect::<Vec<_>>()).told();
        timeless(&told.replace(&folder, "FOLDER"))
    }
}

/// Without how long it took.
fn timeless(text: &str) -> String {
    let line = |line: &str| match (line.split_once(" passed, "), line.split_once(" time=\"")) {
        (Some(_), _) => line.rsplit_once(", ").map_or(line, |(start, _)| start).to_owned(),
        (_, Some((start, rest))) => {
            format!("{start} time=…{}", rest.split_once('"').map_or("", |(_, rest)| rest))
        }
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn told(site: &Site, args: &[&str]) -> String {
    site.run_words(args).told().replace(&site.folder.path().display().to_string(), "FOLDER")
}

#[test]
fn tests_are_run_without_a_server() {
    let folder = Folder::with(&[("rules/a.yaml", RULES), ("rules/a_test.yaml", TESTS)]);
    insta::assert_snapshot!(folder.run("rules test FOLDER/rules"), @r#"
    Negative
    --- out
    FAIL FOLDER/rules/a_test.yaml:9 never sleeps
      the events are not those that are expected
      + firing crit foo_high{host="a"} 12 "foo_high{host=\"a\"}: last(foo) over 10m is 12 (>= 10)"
      + stale crit foo_high{host="a"} "foo_high{host=\"a\"}: condition holds (>= 10), highest 12" because "no data for 10m1s" stale

    the tests reach 1 of 2 rules, 1 of 2 levels
      not bar_high at all (FOLDER/rules/a.yaml:3)
    1 passed, 1 failed in 1 file
    --- err
    error: 1 test failed
      hint:  `sereno rules test --verbose` shows all that happened in a test
    "#);
    insta::assert_snapshot!(folder.run("test rules FOLDER/rules -o junit --only recovers"), @r#"
    Ok
    --- out
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="rules test" tests="1" failures="0" errors="0" time=…>
      <testsuite name="FOLDER/rules/a_test.yaml" tests="1" failures="0" errors="0" time=…>
        <testcase name="fires and recovers" classname="FOLDER/rules/a_test.yaml" file="FOLDER/rules/a_test.yaml" line="2" time=…/>
      </testsuite>
    </testsuites>
    --- err
    "#);
    let json = folder.run("rules test FOLDER/rules -o json");
    assert!(json.contains(r#"{"schema_version":1,"files":[{"path":"FOLDER/rules/a_test.yaml""#), "{json}");
    insta::assert_snapshot!(folder.run("rules test FOLDER/nothing"), @"
    Negative
    --- out
    error: cannot be read: No such file or directory (os error 2)
     --> FOLDER/nothing

    0 passed, 0 failed in 0 files
    --- err
    error: the tests cannot be read
      hint:  `sereno rules schema tests` prints the form of test files
    ");
}

#[test]
fn everything_in_a_folder_is_checked_at_once() {
    let server = "rules: { paths: [../rules], scripts: [] }\n";
    let folder = Folder::with(&[("config/server.yaml", server), ("rules/a.yaml", RULES)]);
    insta::assert_snapshot!(folder.run("check FOLDER"), @"
    Ok
    --- out
    FOLDER/config/server.yaml: good
    warning: no test names rules `bar_high`, `foo_high`
     --> FOLDER/config/../rules/a.yaml:2
      = hint: write one into `a_test.yaml` beside it; `sereno rules schema tests` tells its form

    2 rules in 1 file and 0 scripts: good
    --- err
    ");
    insta::assert_snapshot!(folder.run("check FOLDER --strict"), @"
    Negative
    --- out
    FOLDER/config/server.yaml: good
    warning: no test names rules `bar_high`, `foo_high`
     --> FOLDER/config/../rules/a.yaml:2
      = hint: write one into `a_test.yaml` beside it; `sereno rules schema tests` tells its form

    --- err
    error: the check found 1 warning; 2 rules are good
      hint:  a server takes them; without `--strict`, so does this check
    ");
    write(folder.0.path(), "rules/a_test.yaml", TESTS);
    insta::assert_snapshot!(folder.run("check -d FOLDER"), @r#"
    Negative
    --- out
    FOLDER/config/server.yaml: good
    FAIL FOLDER/config/../rules/a_test.yaml:9 never sleeps
      the events are not those that are expected
      + firing crit foo_high{host="a"} 12 "foo_high{host=\"a\"}: last(foo) over 10m is 12 (>= 10)"
      + stale crit foo_high{host="a"} "foo_high{host=\"a\"}: condition holds (>= 10), highest 12" because "no data for 10m1s" stale

    the tests reach 1 of 2 rules, 1 of 2 levels
      not bar_high at all (FOLDER/config/../rules/a.yaml:3)
    1 passed, 1 failed in 1 file
    --- err
    error: 1 test failed
      hint:  `sereno rules test --verbose` shows all that happened in a test
    "#);
    let json = folder.run("check FOLDER -o json");
    assert!(json.contains(r#"{"schema_version":1,"check":{"schema_version":1,"rules":2,"#), "{json}");
    assert!(json.contains(r#""tests":{"schema_version":1,"#), "{json}");
    let junit = folder.run("check FOLDER -o junit");
    assert_eq!(junit.matches("<?xml").count(), 1, "{junit}");
    write(folder.0.path(), "config/server.yaml", "rulez: {}\n");
    insta::assert_snapshot!(folder.run("check FOLDER"), @"
    Negative
    --- out
    error: unknown key `rulez`
     --> FOLDER/config/server.yaml:1:1
      |
    1 | rulez: {}
      | ^^^^^
      = hint: did you mean `rules`?

    --- err
    error: `FOLDER/config/server.yaml` is no configuration
      hint:  a server does not start with it; rules and scripts were not looked at
    ");
}

#[test]
fn a_check_may_ask_a_server_what_it_has() {
    let site = Site::at_with(NOW, with_rules);
    assert_eq!(site.run("send foo 5").exit, Exit::Ok);
    let rules = site.folder.path().join("rules").display().to_string();
    insta::assert_snapshot!(told(&site, &["rules", "check", &rules, "--scripts", &rules]), @"
    Ok
    --- out
    warning: no test names rules `bar_high`, `foo_high`
     --> FOLDER/rules/a.yaml:2
      = hint: write one into `a_test.yaml` beside it; `sereno rules schema tests` tells its form

    warning: rule `bar_high`: `bar` matches no series on `SERVER`
     --> FOLDER/rules/a.yaml:3
      = hint: `sereno names` lists the metrics that there are

    2 rules in 1 file and 0 scripts: good
    --- err
    ");
}

#[test]
fn functions_and_schemas_are_told() {
    let run = |args: &str| Caller::default().run(&args.split(' ').collect::<Vec<_>>());
    let all = run("rules functions");
    assert_eq!((all.exit, all.err.as_str()), (Exit::Ok, ""));
    assert!(all.out.contains("quantile"), "{}", all.out);
    let json = run("rules functions quantile -o json");
    assert!(json.out.starts_with(r#"{"schema_version":1,"functions":[{"section":"#), "{}", json.out);
    insta::assert_snapshot!(run("rules functions quantil3").told(), @"
    Negative
    --- out
    --- err
    error: no function has `quantil3` in its name
      hint:  did you mean `quantile`?
    ");
    for what in ["rules", "tests"] {
        let schema = run(&format!("rules schema {what}"));
        assert_eq!((schema.exit, schema.err.as_str()), (Exit::Ok, ""));
        assert!(
            schema.out.starts_with('{') && schema.out.contains("http://json-schema.org/draft-07/schema#")
        );
    }
}

#[test]
fn generations_are_listed_compared_and_gone_back_to() {
    let site = Site::at_with(NOW, with_rules);
    write(site.folder.path(), "rules/a.yaml", &RULES.replace("limit: 5", "limit: 6"));
    assert_eq!(site.run("reload").exit, Exit::Ok);
    let history = site.run("rules history -o json");
    assert_eq!(history.exit, Exit::Ok, "{}", history.told());
    assert!(history.out.starts_with(r#"{"schema_version":1,"generations":[{"#), "{}", history.out);
    let numbers: Vec<&str> =
        history.out.split("\"number\":").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    assert_eq!(numbers, ["2", "1"]);

    insta::assert_snapshot!(told(&site, &["rules", "diff", "1", "2"]), @"
    Negative
    --- out
    ~ logic    bar_high

    --- FOLDER/rules/a.yaml
    +++ FOLDER/rules/a.yaml
    @@ -1,3 +1,3 @@
     rules:
       - { id: foo_high, metric: foo, by: [host], agg: last, window: 10m, every: 1s, limit: 10 }
    -  - { id: bar_high, metric: bar, agg: mean, window: 1m, limit: 5 }
    +  - { id: bar_high, metric: bar, agg: mean, window: 1m, limit: 6 }
    --- err
    ");
    assert_eq!(site.run("rules diff 1").out, site.run("rules diff 1 2").out, "the active one");
    insta::assert_snapshot!(told(&site, &["rules", "diff", "2", "2"]), @"
    Ok
    --- out
    generations 2 and 2 are alike
    --- err
    ");
    insta::assert_snapshot!(told(&site, &["rules", "diff", "1", "77"]), @"
    Usage
    --- out
    --- err
    error: `SERVER` answered: generation 77 is not stored
      hint:  `sereno rules history` lists those that are
    ");

    let back = site.run("rules rollback 1");
    assert_eq!(back.exit, Exit::Ok, "{}", back.told());
    assert!(back.out.contains("generation 3"), "{}", back.told());
    assert!(back.out.contains("pinned to generation 1 until the files change"), "{}", back.told());
    let list = site.run("rules ls bar_high -o wide");
    assert!(list.out.contains(">= 5") && list.err.contains("pinned to generation 1"), "{}", list.told());
    let read_again = site.run("reload");
    assert!(!read_again.out.contains("pinned"), "{}", read_again.told());
    assert!(site.run("rules ls bar_high -o wide").out.contains(">= 6"));
    insta::assert_snapshot!(told(&site, &["rules", "rollback", "77"]), @"
    Negative
    --- out
    --- err
    error: `SERVER` answered: generation 77 is not stored
      hint:  `sereno rules history` lists those that are
    ");
}

#[test]
fn rules_rest_while_they_are_paused() {
    let site = Site::at_with(NOW, with_rules);
    let paused = told(&site, &["rules", "pause", "bar_*", "--for", "8h", "-c", "new disks", "--who", "ana"]);
    insta::assert_snapshot!(paused, @"
    Ok
    --- out
    bar_high: paused until 2017-07-14T10:40:00Z (new disks, ana)
    --- err
    ");
    let list = site.run("rules ls bar_high -o json");
    assert!(list.out.contains(r#""paused":{"until":"2017-07-14T10:40:00.000Z","#), "{}", list.out);
    insta::assert_snapshot!(told(&site, &["rules", "pause", "bar_hihg", "--for", "8h"]), @"
    Negative
    --- out
    --- err
    error: `SERVER` answered: there is no rule `bar_hihg`
      hint:  did you mean `bar_high`?
    ");
    insta::assert_snapshot!(told(&site, &["rules", "pause", "bar_high", "--until", "-1h"]), @"
    Usage
    --- out
    --- err
    error: `SERVER` answered: the pause ends before it begins
      hint:  give a time that is to come
    ");
    let resumed = site.run("rules resume bar_high");
    assert_eq!(resumed.exit, Exit::Ok, "{}", resumed.told());
    assert!(resumed.out.starts_with("bar_high: ") && !resumed.out.contains("paused"), "{}", resumed.out);
}

#[test]
fn a_monitoring_plugin_says_it_in_a_line() {
    let site = Site::at_with(NOW, with_rules);
    insta::assert_snapshot!(told(&site, &["alerts", "--nagios"]), @"
    Ok
    --- out
    SERENO OK - nothing fires | crit=0 warn=0 info=0 muted=0
    --- err
    ");
    let away = Caller::default().run(&["--server", "127.0.0.1:1", "--retries", "0", "alerts", "--nagios"]);
    insta::assert_snapshot!(away.told(), @"
    Unreachable
    --- out
    SERENO UNKNOWN - failed to connect to `127.0.0.1:1`
    --- err
    ");
}

/// A server whose rule fires for one of two hosts. The clock is moved by nobody: rules are evaluated at its start.
fn firing() -> Site {
    let site = Site::at_with(NOW, with_rules);
    // What was not there yet at the tick is not seen by it.
    while site.run("rules ls").out.contains("\twaiting\t") {}
    let before = |secs: i64| (NOW.nanos() / 1_000_000_000 - secs).to_string();
    for (host, values) in [("a", [3, 12, 14, 15]), ("b", [1, 2, 3, 4])] {
        for (index, value) in values.iter().enumerate() {
            let sample = format!("foo{{host=\"{host}\"}}={value}");
            let time = before(40 - 10 * index as i64);
            let sent = site.run_words(&["send", &sample, "--time", &time]);
            assert_eq!(sent.exit, Exit::Ok, "{}", sent.told());
        }
    }
    site
}

/// Without what depends on the machine: how long it took.
fn without_spans(text: &str) -> String {
    let line = |line: &str| {
        let words = line.split_inclusive(' ').map(|word| {
            let number =
                word.trim_end().trim_end_matches(',').trim_end_matches('s').trim_end_matches(['m', 'µ', 'n']);
            let is_span = word.contains('s') && !number.is_empty() && number.parse::<f64>().is_ok();
            if is_span && number.contains('.') | word.contains("ms") | word.contains("µs") | (number == "0")
            {
                "SPAN "
            } else {
                word
            }
        });
        words.collect::<String>().trim_end().to_owned()
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_rule_is_shown_evaluated_and_explained() {
    let site = firing();
    let show = told(&site, &["rules", "show", "foo_high"]);
    assert!(show.contains("reads         ") && show.contains("last(foo)"), "{show}");
    insta::assert_snapshot!(told(&site, &["rules", "show", "foo_hihg"]), @"
    Negative
    --- out
    --- err
    error: `SERVER` answered: there is no rule `foo_hihg`
      hint:  did you mean `foo_high`?
    ");
    insta::assert_snapshot!(without_spans(&told(&site, &["rules", "eval", "foo_high"])), @r#"
    Ok
    --- out
    foo_high at 2017-07-14T02:40:00Z: 2 instances, 8 samples, SPAN
      v reads foo: 2 series
    ╭───────────────────────────────────────────────────────────────╮
    │ instance   would be   because                 value   samples │
    ╞═══════════════════════════════════════════════════════════════╡
    │ host="a"   crit       v >= 10 holds              15         4 │
    │ host="b"   ok         v >= 10 does not hold       4         4 │
    ╰───────────────────────────────────────────────────────────────╯
    --- err
    "#);
    let yaml = site.run("rules eval foo_high -o yaml");
    assert!(yaml.out.starts_with("schema_version: 1\ntick: 2017-07-14T02:40:00.000Z\n"), "{}", yaml.told());

    insta::assert_snapshot!(without_spans(&told(&site, &["rules", "explain", "foo_high", "-l", "host=a", "--rerun"])), @r#"
    Ok
    --- out
    foo_high{host="a"}  FOLDER/rules/a.yaml:2, generation 1, unmatched
    tick     2017-07-14T02:40:00Z, evaluated again over what is stored now
    reads    v = last(foo) over 10m, [02:30:00, 02:40:00)
               15 from 1 series, 4 samples, the newest at 2017-07-14T02:39:50Z
    levels   crit v >= 10  holds
    state    firing crit since 2017-07-14T02:39:56Z, episode 1, peak 15 at 2017-07-14T02:39:56Z
             next reminder at 2017-07-14T02:40:56Z
             data: the newest at 2017-07-14T02:39:50Z, quiet 4s of 3s
    why      it fires at crit since 2017-07-14T02:39:56.000Z: `v >= 10` holds; the value is 15
    --- err
    "#);
    insta::assert_snapshot!(told(&site, &["rules", "explain", "foo_high", "-l", "host=z", "--rerun"]), @r#"
    Negative
    --- out
    --- err
    error: rule `foo_high` has no instance `host="z"`
      cause: it has foo_high{host="a"}
      cause: it has foo_high{host="b"}
      hint:  name one with `--instance NAME=VALUE`
    "#);
    insta::assert_snapshot!(told(&site, &["rules", "explain", "foo_hihg"]), @"
    Negative
    --- out
    --- err
    error: `SERVER` answered: there is no rule `foo_hihg`
      hint:  did you mean `foo_high`?
    ");
}

#[test]
fn a_rule_is_replayed_from_the_server_and_from_a_file() {
    let site = firing();
    let replay = ["rules", "replay", "foo_high", "--last", "1m"];
    insta::assert_snapshot!(without_spans(&told(&site, &replay)), @r#"
    Ok
    --- out
    15 +                                                                                 *************
       |                                                                 ****************
       |                                                 ****************
    10 +ooooooooooooooooooooooooooooooooooooooooooooooooo*oooooooooooooooooooooooooooooooooooooooooooooo
       |                                                 *
     5 +                                                *
       |                                 ****************                +++++++++++++++++++++++++++++
       |                                 ++++++++++++++++++++++++++++++++
     0 +
       ++---------------+---------------+---------------+--------------+---------------+----------------
    02:39:00        02:39:10        02:39:20        02:39:30       02:39:40        02:39:50
                                                         ***********************************************
    * host="a" + host="b" o limit 10
    ╭───────────────────────────────────────────────────────────────────────────────────╮
    │ instance   level   ended                 fired at   for   pending   peak   events │
    ╞═══════════════════════════════════════════════════════════════════════════════════╡
    │ host="a"   crit    not yet   2017-07-14T02:39:31Z              SPAN     12        1 │
    ╰───────────────────────────────────────────────────────────────────────────────────╯
    foo_high, generation 1, [2017-07-14T02:39:00Z, 2017-07-14T02:40:00Z)
    60 ticks, 2 instances, in SPAN warmed up from 2017-07-14T02:38:56Z
    1 episode (1 crit); 1 firing
    0 flaps, 1 open; fired 29s in all, 29s at the longest, after SPAN (median)
    inexact: what came late is only known from 2017-07-14T02:40:00.000Z on
    --- err
    "#);
    let failed = site.run_words(&[&replay[..], &["--fail-if", "fires > 0", "-o", "csv"]].concat());
    insta::assert_snapshot!(failed.told(), @r#"
    Negative
    --- out
    rule,instance,level,pending_from,fired_at,ended_at,ended_by,peak,events
    foo_high,"host=""a""",crit,2017-07-14T02:39:31.000Z,2017-07-14T02:39:31.000Z,,,12,1
    --- err
    error: `--fail-if`: fires is 1 (> 0)
    "#);

    let file =
        site.file("stricter.yaml", &RULES.replace("limit: 10", "limit: 2").replace("limit: 5", "limit: 6"));
    let file = file.display().to_string();
    let stricter =
        site.run_words(&["rules", "replay", &file, "--id", "foo_high", "--last", "1m", "--against", "live"]);
    assert_eq!(stricter.exit, Exit::Ok, "{}", stricter.told());
    assert!(stricter.out.contains("foo_high, from a file, ["), "{}", stricter.told());
    assert!(stricter.out.contains("against "), "{}", stricter.told());
    let eval = site.run_words(&["rules", "eval", "-f", &file]);
    assert!(eval.out.contains("foo_high at ") && eval.out.contains("bar_high at "), "{}", eval.told());

    let broken = site.file("broken.yaml", &RULES.replace("agg: mean", "agg: meen"));
    insta::assert_snapshot!(told(&site, &["rules", "eval", &broken.display().to_string()]), @"
    Negative
    --- out
    error: there is no aggregation `meen`
     --> FOLDER/broken.yaml:3:39
      |
    3 |   - { id: bar_high, metric: bar, agg: meen, window: 1m, limit: 5 }
      |                                       ^
      = hint: did you mean `mean`?

    --- err
    error: the files have 1 error
      hint:  `sereno rules check` finds them without a server
    ");
    insta::assert_snapshot!(told(&site, &["rules", "replay", "foo_high", "--fail-if", "only_here > 0"]), @"
    Usage
    --- out
    --- err
    error: `--fail-if` names a difference, and there is none
      hint:  add `--against live`
    ");
    insta::assert_snapshot!(told(&site, &["rules", "replay", "no/such.yaml"]), @"
    Negative
    --- out
    --- err
    error: failed to read `no/such.yaml`
      cause: No such file or directory (os error 2)
      hint:  name an existing file or folder
    ");
}

#[test]
fn a_folder_is_planned_before_it_is_there() {
    let site = firing();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let diff = |args: &[&str]| told(&site, &[&["rules", "diff"], args].concat()).replace(&path, "NEW");
    write(folder.path(), "rules/a.yaml", RULES);
    let same = diff(&[&path]);
    assert!(same.starts_with("Ok\n"), "{same}");
    write(
        folder.path(),
        "rules/a.yaml",
        &RULES.replace("limit: 10", "limit: 2").replace("id: bar_high", "id: new"),
    );
    insta::assert_snapshot!(diff(&[&path]), @"
    Negative
    --- out
    - removed  bar_high  NEW/rules/a.yaml:3
    ~ logic    foo_high  NEW/rules/a.yaml:2
    + added    new  NEW/rules/a.yaml:3
    3 rules would be different, 0 not; 0 would open, 0 close, 0 change their level
    against generation 1, evaluated at 2017-07-14T02:40:00Z
    --- err
    ");
    write(folder.path(), "rules/a.yaml", &RULES.replace("agg: mean", "agg: meen"));
    insta::assert_snapshot!(diff(&["-d", &path]), @"
    Usage
    --- out
    error: there is no aggregation `meen`
     --> NEW/rules/a.yaml:3:39
      |
    3 |   - { id: bar_high, metric: bar, agg: meen, window: 1m, limit: 5 }
      |                                       ^^^^
      = hint: did you mean `mean`?

    0 rules would be different, 2 not; 0 would open, 0 close, 0 change their level
    against generation 1, evaluated at 2017-07-14T02:40:00Z
    --- err
    error: the files have mistakes
      hint:  `sereno rules check` finds them without a server
    ");
}

#[test]
fn what_is_pending_is_listed_with_when_it_fires() {
    let rules = "rules:\n  - { id: slow, metric: foo, by: [host], agg: last, window: 10m, every: 1s, limit: 10, for: 1h }\n";
    let site = Site::with(|config, folder| {
        write(folder, "rules/a.yaml", rules);
        config.rules.paths = vec![folder.join("rules")];
    });
    assert_eq!(site.run_words(&["send", r#"foo{host="a"}=12"#]).exit, Exit::Ok);
    let pending = || site.run("alerts --pending -o json").out;
    while !pending().contains(r#""rule":"slow""#) {}
    let alert = pending();
    assert!(alert.contains(r#""state":"pending""#) && alert.contains(r#""due":"2"#), "{alert}");
    assert_eq!(site.run("alerts --all -o name").out, "slow{host=\"a\"}\n");
    assert_eq!(site.run("alerts").err, "nothing fires\n");
    let table = site.run_on_terminal("alerts --all");
    assert!(table.out.contains("pending") && table.out.contains("fires in "), "{}", table.told());
    let other = site.run("alerts --all -l host=b");
    assert_eq!((other.out.as_str(), other.err.as_str()), ("", "nothing fires or is pending\n"));
}
