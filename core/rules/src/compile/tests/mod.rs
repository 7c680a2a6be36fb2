//! What rule files mean, key by key, and what is said about wrong ones.

pub(crate) mod wrong;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use sereno_model::Level;
use sereno_runtime::SystemClock;
use sereno_script::{Limits, Source};

use super::*;
use crate::file::{self, Entry};
use crate::files::{Files, Script};
use crate::generation::{Generation, Host, load};
use crate::rule::{EditClass, How, Mode};
use crate::schema::refusals_of_rules;
use crate::state::{After, Then};

const SCRIPTS: [(&str, &str); 4] = [
    ("rules/odd.rhai", "fn check(s) { s.value > 4.0 }"),
    ("rules/joins.rhai", "fn decide(ctx) { }"),
    (
        "aggregations/apdex.rhai",
        "fn aggregate(w, params) { #{ score: w.between(0.0, params.satisfied) / w.count() } }",
    ),
    ("aggregations/score.rhai", "fn aggregate(w) { #{ good: w.count(), bad: 0.0 } }"),
];

/// Compiled once: the tests differ in rules.
static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let sources =
        SCRIPTS.map(|(path, text)| Source { path: path.into(), display: path.into(), text: text.into() });
    let (library, found) = Library::load(&sources, &Limits::default(), &clock(), None);
    assert!(found.iter().all(|finding| !finding.is_error()), "{found:?}");
    library
});

fn clock() -> Arc<dyn sereno_runtime::Clock> {
    Arc::new(SystemClock::new())
}

/// The rules of a file, with what is said of them.
fn compiled(text: &str) -> (Vec<Rule>, Vec<Diagnostic>) {
    let around = Around { library: &LIBRARY, retention: Some(Duration::from_secs(30 * 86_400)) };
    let file = file::parse(Path::new("a.yaml"), text);
    let mut found = file.found;
    let mut rules = Vec::new();
    for entry in file.entries.into_iter().flatten() {
        if let Entry::Good(written) = entry {
            rules.extend(compile(&written, around, &mut found));
        }
    }
    (rules, found)
}

/// The one rule of these keys; it has no findings.
fn rule(keys: &str) -> Rule {
    let text = format!("rules:\n  - {{ id: a, {keys} }}\n");
    let (mut rules, found) = compiled(&text);
    assert!(found.is_empty(), "{keys}: {}", shown(&found));
    assert_eq!(refusals_of_rules(&text), Vec::<String>::new(), "the schema refuses {keys}");
    rules.pop().unwrap()
}

fn shown(found: &[Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// The rule with the usual keys, and these.
fn short(keys: &str) -> Rule {
    rule(&format!("metric: m, agg: max, window: 1m, limit: 5, by: [host], {keys}"))
}

/// What decides, in words.
fn decides(rule: &Rule) -> String {
    rule.variants.iter().map(levels).collect::<Vec<_>>().join(" | ")
}

fn levels(variant: &crate::rule::Variant) -> String {
    let level = |rule: &crate::rule::LevelRule| {
        let hold = variant.policy.hold[rule.level as usize].unwrap_or_default();
        let when = rule.when.as_ref().map_or("script", |when| &when.text);
        let clear = rule.clear.as_ref().map_or(String::new(), |clear| format!(" until {}", clear.text));
        let hold = if hold.is_zero() { String::new() } else { format!(" for {hold:?}") };
        format!("{}: {when}{clear}{hold}", rule.level)
    };
    variant.levels.iter().map(level).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_short_form() {
    let of = |keys: &str| {
        let rule = rule(&format!("metric: m, agg: mean, window: 15s, {keys}"));
        format!("{} every {:?}", decides(&rule), rule.every)
    };
    assert_eq!(of("limit: 10"), "crit: v >= 10 every 15s");
    assert_eq!(of("below: 5"), "crit: v < 5 every 15s");
    assert_eq!(of("limit: 26h, level: warning"), "warn: v >= 93600 every 15s");
    assert_eq!(of("limit: \"< 14d\""), "crit: v < 1209600 every 15s");
    assert_eq!(of("limit: <= 10GiB"), "crit: v <= 10737418240 every 15s");
    assert_eq!(
        of("limit: 10, for: 1m, recover_for: 2m, clear: 8"),
        "crit: v >= 10 until v < 8 for 60s every 15s"
    );
    assert_eq!(of("below: 10, clear: 12"), "crit: v < 10 until v >= 12 every 15s");
    assert_eq!(of("limit: 10, clear: \"v < 8 && n > 2\""), "crit: v >= 10 until v < 8 && n > 2 every 15s");
    assert_eq!(of("when: \"v > 3 && n > 5\", level: info"), "info: v > 3 && n > 5 every 15s");
    assert_eq!(of("limit: 10, value: \"v / 2\""), "crit: v >= 10 every 15s");
    let rule = short("recover_for: 2m, reminder: 5m, every: 10s, settle: 2s, max_instances: 7");
    assert_eq!(rule.variants[0].policy.recover_for, Duration::from_secs(120));
    assert_eq!(rule.variants[0].policy.reminder, Duration::from_secs(300));
    assert_eq!((rule.settle, rule.max_instances), (Duration::from_secs(2), 7));
}

#[test]
fn several_levels() {
    let of = |keys: &str| {
        let rule = rule(&format!("metric: m, agg: max, window: 1m, {keys}"));
        format!("{}; {:?} is worse; every {:?}", decides(&rule), rule.variants[0].policy.worse, rule.every)
    };
    assert_eq!(
        of(
            "levels: { warn: { when: \"v >= 80\", clear: \"v < 70\", for: 1m }, critical: { when: 95 } }, for: 30s"
        ),
        "warn: v >= 80 until v < 70 for 60s, crit: v >= 95 for 30s; Higher is worse; every 15s"
    );
    assert_eq!(
        of("levels: { info: 5, warn: \"< 3\", crit: \"n == 0 || v < 1\" }"),
        "info: v >= 5, warn: v < 3, crit: n == 0 || v < 1; Higher is worse; every 15s"
    );
    assert_eq!(
        of("levels: { warn: { when: \"< 10\", clear: 12 }, crit: \"< 5\" }"),
        "warn: v < 10 until v >= 12, crit: v < 5; Lower is worse; every 15s"
    );
}

#[test]
fn inputs_are_joined() {
    let rule = rule(
        "by: [service], metric: http.requests, window: 5m, agg: increase, where: { env: prod }, \
         inputs: { err: { where: { code: \"~5..\" }, else: 0 }, all: { offset: 7d, window: 10m }, late: { agg: age, lookback: 2d } }, \
         require: \"all >= 100\", value: \"ratio(err, all)\", when: \"v > 0.05 && late < 1h\", message: \"${err} of ${all.n}\"",
    );
    let input = |index: usize| {
        let input = &rule.inputs[index];
        let value = input.value.as_ref().unwrap();
        let how = if matches!(value.how, How::Age) { "age" } else { "agg" };
        format!(
            "{} {} {how} {:?} {:?} {:?}",
            input.name, input.selector, input.window, input.offset, input.otherwise
        )
    };
    assert_eq!(input(0), "err http.requests{code=~\"5..\",env=\"prod\"} agg 300s 0ns Some(0.0)");
    assert_eq!(input(1), "all http.requests{env=\"prod\"} agg 600s 604800s None");
    assert_eq!(input(2), "late http.requests{env=\"prod\"} age 172800s 0ns None");
    assert_eq!(rule.require.as_ref().unwrap().text, "all >= 100");
    assert_eq!(rule.value.as_ref().unwrap().text, "ratio(err, all)");
    let only = super::tests::rule(
        "inputs: { err: { metric: m, agg: max, window: 1m, keep: [le] } }, limit: 3, require: \"n > 2\"",
    );
    assert_eq!(only.inputs[0].keep, ["le"]);
}

#[test]
fn aggregations() {
    let value = |keys: &str| {
        rule(&format!("metric: m, window: 1m, by: [host], limit: 5, {keys}")).inputs.remove(0).value.unwrap()
    };
    let apdex = value("agg: { name: apdex, params: { satisfied: 0.3 }, value: score }");
    assert_eq!((apdex.agg.as_str(), apdex.pick.as_deref()), ("apdex", Some("score")));
    let good = value("agg: score.good");
    assert_eq!((good.agg.as_str(), good.pick.as_deref()), ("score", Some("good")));
    let across = |keys: &str| value(keys).across.map(|across| across.as_str());
    assert_eq!(across("agg: increase"), Some("sum"));
    assert_eq!(across("agg: last"), None);
    assert_eq!(across("agg: last, across: max"), Some("max"));
    assert_eq!(across("agg: mean"), Some("pool"));
    let age = rule("metric: m, agg: age, lookback: 30d, limit: 26h, by: [job]");
    assert_eq!(
        (age.inputs[0].window, age.every),
        (Duration::from_secs(30 * 86_400), Duration::from_secs(15))
    );
    let age = rule("metric: m, agg: age, limit: 1h, by: [job]");
    assert_eq!(age.inputs[0].window, Duration::from_secs(86_400));
}

#[test]
fn conditions_on_labels() {
    let selects = |conditions: &str| {
        rule(&format!("metric: m, agg: max, window: 1m, limit: 5, where: {{ {conditions} }}")).inputs[0]
            .selector
            .to_string()
    };
    assert_eq!(
        selects("env: prod, code: 503, version: 1.10"),
        "m{code=\"503\",env=\"prod\",version=\"1.10\"}"
    );
    assert_eq!(selects("env: [prod, \"~stag.*\"]"), "m{env=~\"prod|(?:stag.*)\"}");
    assert_eq!(selects("env: [\"!prod\", \"!~stag.*\"]"), "m{env!=\"prod\",env!~\"stag.*\"}");
    let missing = rule("metric: m, agg: max, window: 1m, limit: 5, where: { env: \"!prod\" }");
    assert!(missing.inputs[0].selector.matchers[0].1.matches(""), "a missing label is not `prod`");
    let shared = "defaults: { where: { env: prod }, labels: { team: db }, every: 5s }\n\
                  rules:\n  - { id: a, metric: m, agg: max, window: 1m, limit: 5, where: { code: 1 }, labels: { tier: 2 } }\n";
    let (rules, found) = compiled(shared);
    assert_eq!(shown(&found), "");
    assert_eq!(rules[0].inputs[0].selector.to_string(), "m{code=\"1\",env=\"prod\"}");
    assert_eq!(format!("{:?}", rules[0].variants[0].labels), r#"[("team", "db"), ("tier", "2")]"#);
}

#[test]
fn a_rule_that_decides_does_not_take_decisions_from_defaults() {
    let (rules, found) = compiled(
        "defaults: { agg: max, window: 1m, limit: 5, clear: 4, for: 1m }\n\
         rules:\n  - { id: a, metric: m }\n  - { id: b, metric: m, levels: { warn: 3 } }\n  - { id: c, metric: m, script: odd.rhai }\n",
    );
    assert_eq!(shown(&found), "");
    assert_eq!(decides(&rules[0]), "crit: v >= 5 until v < 4 for 60s");
    assert_eq!(decides(&rules[1]), "warn: v >= 3 for 60s");
    assert_eq!(rules[2].variants[0].policy.hold, [Some(Duration::from_secs(60)); 3]);
}

#[test]
fn a_rule_is_not_misled_by_defaults_of_other_kinds() {
    let (rules, found) = compiled(
        "defaults: { agg: max, window: 1m, by: [host], inputs: { a: { metric: a }, b: { metric: b } } }\n\
         rules:\n  - { id: beat, metric: m, absent: alert }\n  - { id: c, metric: m, limit: 3 }\n  - { id: d, value: a / b, limit: 3 }\n  \
         - { id: e, metric: m, agg: age, limit: 1h }\n  - { id: f, script: joins.rhai }\n",
    );
    assert_eq!(shown(&found), "");
    let inputs: Vec<usize> = rules.iter().map(|rule| rule.inputs.len()).collect();
    assert_eq!(inputs, [1, 1, 2, 1, 0]);
    assert!(rules[0].is_heartbeat());
}

/// A rule file with everything in it.
const EVERYTHING: &str = "defaults: { every: 10s, labels: { team: db } }\n\
rules:\n\
\x20 - id: a\n\
\x20   metric: cpu.*\n\
\x20   where: { env: [prod, '~s.*'], code: '!4' }\n\
\x20   by: [host, disk]\n\
\x20   agg: p95\n\
\x20   window: 1m\n\
\x20   levels:\n\
\x20     warn: { when: \"v >= 80 && n > params.n\", clear: v < 70, for: 1m }\n\
\x20     crit: '> 95'\n\
\x20   require: n >= 5 || hour(now, 'UTC') < 3\n\
\x20   params: { n: 3 }\n\
\x20   absent: { after: 3x, then: alert, level: warn }\n\
\x20   expect: [ { host: a, disk: b } ]\n\
\x20   overrides: [ { where: { host: x }, levels: { warn: 90 }, mode: shadow } ]\n\
\x20   suppressed_by: [ { rule: b, on: [host], while: pending } ]\n\
\x20   message: \"${labels.host}: ${fmt(v, 1)} ${duration}\"\n\
\x20 - { id: b, metric: up, by: [host], absent: 2m }\n\
\x20 - id: c\n\
\x20   inputs: { e: { metric: m, agg: sum, window: 1m, offset: 7d }, f: { metric: m, agg: { name: apdex, params: { satisfied: 1 }, value: score }, window: 1m } }\n\
\x20   value: ratio(e, f)\n\
\x20   record: share\n\
\x20   limit: < 14d\n";

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 500, ..proptest::test_runner::Config::default() })]

    /// However a file is mangled, nothing panics, no rule is lost without a word, and every word says where and what to do.
    #[test]
    fn mangled_files_are_told_of(
        edits in proptest::collection::vec((0_usize..1_100, 0_usize..12, "[-a-z0-9:{}\\[\\]'\"!$<>&|,. \n]{0,3}"), 1..4),
    ) {
        let mut text = EVERYTHING.to_owned();
        for (at, length, instead) in edits {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &instead);
        }
        let (_, found) = compiled(&text);
        for finding in &found {
            proptest::prop_assert!(finding.hint.is_some(), "{text}\n{finding}");
            proptest::prop_assert!(finding.line > 0 || finding.message.starts_with("the file"), "{text}\n{finding}");
            proptest::prop_assert!(!finding.message.contains("cannot be used"), "{text}\n{finding}");
        }
        if found.is_empty() {
            proptest::prop_assert_eq!(refusals_of_rules(&text), Vec::<String>::new(), "{}", text);
        }
    }
}

#[test]
fn everything_is_good() {
    assert!(EVERYTHING.is_ascii());
    let generation = generation(&[("a.yaml", EVERYTHING)], None);
    assert_eq!(shown(&generation.diagnostics), "");
    assert_eq!(generation.rules.len(), 3);
}

#[test]
fn missing_data_has_a_meaning() {
    let absence = |keys: &str| short(keys).variants[0].policy.absence;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let usual = absence("mode: live");
    assert_eq!(
        (usual.after, usual.then, usual.close_after),
        (After::Intervals(3.0), Then::Keep, Some(minutes(15)))
    );
    assert_eq!(absence("absent: resolve").then, Then::Resolve);
    assert_eq!(absence("absent: alert").then, Then::Alert(Level::Warn));
    assert_eq!(absence("absent: 5m").after, After::Time(minutes(5)));
    assert_eq!(absence("absent: 2.5x").after, After::Intervals(2.5));
    let long = absence("absent: { after: 2m, close_after: never }");
    assert_eq!((long.after, long.close_after), (After::Time(minutes(2)), None));
    assert_eq!(absence("absent: { level: crit }").then, Then::Alert(Level::Crit));
    assert_eq!(absence("expect: { min: 2 }").then, Then::Alert(Level::Warn));
    assert_eq!(absence("expect: { min: 2 }, absent: keep").then, Then::Keep);
}

#[test]
fn a_heartbeat_only_waits() {
    let beat = rule("metric: up, by: [host], absent: 2m, expect: [ { host: b }, { host: a }, { host: 7 } ]");
    assert!(beat.is_heartbeat() && !beat.only_records());
    assert_eq!(beat.variants[0].policy.absence.then, Then::Alert(Level::Crit));
    assert_eq!(beat.variants[0].policy.hold, [None; 3]);
    let labels: Vec<String> = beat.expect.instances.iter().map(|labels| format!("{labels:?}")).collect();
    assert_eq!(labels.join(" "), r#"[("host", "7")] [("host", "a")] [("host", "b")]"#);
    let beat = rule(
        "metric: up, by: [host], absent: { level: warn }, expect: { min: 3, instances: [ { host: a } ] }, where: { env: prod }",
    );
    assert_eq!((beat.expect.min, beat.expect.instances.len()), (3, 1));
    assert_eq!(beat.variants[0].policy.absence.then, Then::Alert(Level::Warn));
}

#[test]
fn a_rule_may_only_record() {
    let records = rule(
        "inputs: { a: { metric: m, agg: sum, window: 1m }, b: { metric: n, agg: sum, window: 1m } }, value: \"ratio(a, b)\", record: a.share",
    );
    assert!(records.only_records() && !records.is_heartbeat());
    assert_eq!(records.record.as_deref(), Some("a.share"));
    assert_eq!(short("record: m.max").record.as_deref(), Some("m.max"));
}

#[test]
fn scripts_have_what_they_ask_for() {
    let check = rule(
        "metric: m, by: [host], script: odd.rhai, levels: { crit: { for: 1m }, warn: true }, params: { a: 1 }, state_version: 2",
    );
    assert_eq!(decides(&check), "warn: script, crit: script for 60s");
    assert_eq!(
        check.variants[0].policy.hold,
        [Some(Duration::ZERO), Some(Duration::ZERO), Some(Duration::from_secs(60))]
    );
    assert_eq!((check.inputs[0].window, check.state_version), (Duration::from_secs(60), 2));
    let decide = rule("by: [queue], script: joins.rhai, window: 5m, for: 30s, expect: [ { queue: a } ]");
    assert!(decide.inputs.is_empty());
    assert_eq!(decide.window(), Duration::from_secs(300));
    assert_eq!(decide.variants[0].policy.hold, [Some(Duration::from_secs(30)); 3]);
}

#[test]
fn the_first_override_that_matches_counts() {
    let rule = short(
        "clear: 4, for: 1m, params: { p: 1 }, require: \"params.p > 0\", labels: { team: a, tier: b }, overrides: [ \
         { where: { host: [x, \"~y.*\"] }, limit: 9, for: 2m, clear: 8 }, { where: { host: x }, mode: off }, \
         { where: { host: z }, labels: { team: c }, params: { p: 2 }, mode: shadow } ]",
    );
    assert_eq!(
        decides(&rule),
        "crit: v >= 5 until v < 4 for 60s | crit: v >= 9 until v < 8 for 120s | crit: v >= 5 until v < 4 for 60s | \
         crit: v >= 5 until v < 4 for 60s"
    );
    let of = |host: &str| rule.variant_of(&vec![("host".to_owned(), host.to_owned())]);
    assert_eq!([of("x"), of("yes"), of("z"), of("w")], [1, 1, 3, 0]);
    assert_eq!(format!("{:?}", rule.variants[3].labels), r#"[("team", "c"), ("tier", "b")]"#);
    assert_eq!(rule.variants[3].params["p"], ParamValue::Int(2));
    assert_eq!([rule.variants[2].mode, rule.variants[3].mode], [Mode::Off, Mode::Shadow]);
    let levels = super::tests::rule(
        "metric: m, agg: max, window: 1m, by: [host], levels: { warn: { when: \"v >= 80\", clear: \"v < 70\" }, crit: 95 }, \
         overrides: [ { where: { host: x }, levels: { warn: { when: \"v >= 75\", for: 1m }, info: 50 } } ]",
    );
    assert_eq!(
        decides(&levels),
        "warn: v >= 80 until v < 70, crit: v >= 95 | info: v >= 50, warn: v >= 75 until v < 70 for 60s, crit: v >= 95"
    );
}

#[test]
fn edits_have_their_classes() {
    let base = short("message: hi, for: 1m");
    let class = |keys: &str| short(keys).edit_class(&base);
    assert_eq!(class("for: 60s, message: \"hi\""), EditClass::Same);
    assert_eq!(class("message: ho, for: 1m"), EditClass::Text);
    assert_eq!(class("message: hi, for: 1m, labels: { a: b }, runbook: x, reminder: 5m"), EditClass::Text);
    assert_eq!(class("message: hi, for: 2m"), EditClass::Logic);
    assert_eq!(class("message: hi, for: 1m, absent: alert"), EditClass::Logic);
    let other = rule("metric: m, agg: max, window: 1m, limit: 5, by: [host, port], message: hi, for: 1m");
    assert_eq!(other.edit_class(&base), EditClass::Identity);
    assert_eq!(
        rule("metric: n, agg: max, window: 1m, limit: 5, by: [host], message: hi, for: 1m").edit_class(&base),
        EditClass::Identity
    );
}

/// Loads files as the server does.
fn generation(files: &[(&str, &str)], previous: Option<&Generation>) -> Generation {
    let mut all = Files::default();
    for (path, text) in SCRIPTS {
        let script = Script { display: path.into(), content: Ok(text.into()) };
        all.scripts.insert(path.into(), script);
    }
    for (path, text) in files {
        all.rules.insert(path.into(), Ok((*text).into()));
    }
    load(all, &Host { limits: Limits::default(), clock: clock(), retention: None }, previous)
}

const PARENT: &str = "rules:\n  - { id: down, metric: up, by: [host], absent: alert }\n";

#[test]
fn rules_are_tied_to_each_other() {
    let child = |keys: &str| {
        let text = format!(
            "rules:\n  - {{ id: child, metric: m, agg: max, window: 1m, limit: 5, by: [host, disk], {keys} }}\n"
        );
        let generation = generation(&[("a.yaml", PARENT), ("b.yaml", &text)], None);
        match generation.rules.get("child") {
            Some(rule) => {
                format!("{:?} {:?} {}", rule.suppressed_by, rule.after, shown(&generation.diagnostics))
            }
            None => shown(&generation.diagnostics),
        }
    };
    insta::assert_snapshot!(child("suppressed_by: [down]"), @r#"[Suppression { rule: "down", on: ["host"], from_pending: false }] ["down"]"#);
    insta::assert_snapshot!(child("suppressed_by: { rule: down, while: pending, on: [] }, after: down"), @r#"[Suppression { rule: "down", on: [], from_pending: true }] ["down"]"#);
    insta::assert_snapshot!(child("suppressed_by: [ { rule: dwn } ]"), @"
    error: there is no rule `dwn`
     --> b.yaml:2:104
      |
    2 |   - { id: child, metric: m, agg: max, window: 1m, limit: 5, by: [host, disk], suppressed_by: [ { rule: dwn } ] }
      |                                                                                                        ^^^
      = hint: did you mean `down`?
    ");
    insta::assert_snapshot!(child("suppressed_by: [ { rule: down, on: [disk] } ]"), @"
    error: instances of `down` have no label `disk`
     --> b.yaml:2:104
      |
    2 |   - { id: child, metric: m, agg: max, window: 1m, limit: 5, by: [host, disk], suppressed_by: [ { rule: down, on: [disk] } ] }
      |                                                                                                        ^^^^
      = hint: `on` names labels that both have in `by`
    ");
    insta::assert_snapshot!(child("after: [child]"), @"
    error: a rule cannot name itself
     --> b.yaml:2:87
      |
    2 |   - { id: child, metric: m, agg: max, window: 1m, limit: 5, by: [host, disk], after: [child] }
      |                                                                                       ^^^^^
      = hint: name another rule, or remove it
    ");
}

#[test]
fn no_shared_label_is_a_mistake_unless_it_is_meant() {
    let told = |keys: &str| {
        let text =
            format!("rules:\n  - {{ id: child, metric: m, agg: max, window: 1m, limit: 5, {keys} }}\n");
        shown(&generation(&[("a.yaml", PARENT), ("b.yaml", &text)], None).diagnostics)
    };
    insta::assert_snapshot!(told("by: [disk], suppressed_by: [down]"), @"
    error: `down` shares no label with this rule
     --> b.yaml:2:89
      |
    2 |   - { id: child, metric: m, agg: max, window: 1m, limit: 5, by: [disk], suppressed_by: [down] }
      |                                                                                         ^^^^
      = hint: with `on: []` any instance of it mutes all of this rule
    ");
    insta::assert_snapshot!(told("by: \"*\", suppressed_by: [down]"), @r#"
    error: which labels `down` shares with this rule is not known
     --> b.yaml:2:86
      |
    2 |   - { id: child, metric: m, agg: max, window: 1m, limit: 5, by: "*", suppressed_by: [down] }
      |                                                                                      ^^^^
      = hint: name them, like `on: [host]`; with `on: []` any instance of it mutes all of this rule
    "#);
    assert_eq!(told("by: [disk], suppressed_by: [ { rule: down, on: [] } ]"), "");
}

#[test]
fn circles_are_refused_with_the_way_round() {
    let rule = |id: &str, after: &str| {
        format!("  - {{ id: {id}, metric: m, agg: max, window: 1m, limit: 5, by: [host], {after} }}\n")
    };
    let text = format!(
        "rules:\n{}{}{}{}",
        rule("a", "after: [b]"),
        rule("b", "suppressed_by: [c]"),
        rule("c", "after: [d, a]"),
        rule("d", "mode: live"),
    );
    let circle = generation(&[("a.yaml", &text)], None);
    insta::assert_snapshot!(shown(&circle.diagnostics), @"
    error: rules wait for each other: `a` → `b` → `c` → `a`
     --> a.yaml:4:80
      |
    4 |   - { id: c, metric: m, agg: max, window: 1m, limit: 5, by: [host], after: [d, a] }
      |                                                                                ^
      = hint: the one on the right of `→` is evaluated first; remove one of the steps
    ");
    assert_eq!(
        circle.rules.keys().map(|id| &**id).collect::<Vec<_>>(),
        ["a", "b", "d"],
        "one rule pays for it"
    );
}

#[test]
fn a_broken_parent_costs_its_children_nothing() {
    let child = "rules:\n  - { id: child, metric: m, agg: max, window: 1m, limit: 5, by: [host], suppressed_by: [down] }\n";
    let good = generation(&[("a.yaml", PARENT), ("b.yaml", child)], None);
    assert_eq!(good.rules["child"].after.len(), 1);
    let broken = "rules:\n  - { id: down, metric: up, by: [host], absent: alrt }\n";
    let fresh = generation(&[("a.yaml", broken), ("b.yaml", child)], None);
    assert!(fresh.rules.contains_key("child") && fresh.rules["child"].after.is_empty());
    assert_eq!(fresh.diagnostics.len(), 1, "{}", shown(&fresh.diagnostics));
    let kept = generation(&[("a.yaml", broken), ("b.yaml", child)], Some(&good));
    assert_eq!(kept.rules["child"].after.len(), 1, "its parent goes on as it was");
    let unreadable = generation(&[("a.yaml", "rules: [\n"), ("b.yaml", child)], None);
    assert!(unreadable.rules.contains_key("child"));
    // A link that cannot be: the version before goes on.
    let wrong = "rules:\n  - { id: child, metric: m, agg: max, window: 1m, limit: 6, by: [host], suppressed_by: [gone] }\n";
    let kept = generation(&[("a.yaml", PARENT), ("b.yaml", wrong)], Some(&good));
    assert!(kept.stale.contains("child") && kept.rules["child"].after.len() == 1);
    // And nothing is held against it when what it names goes.
    let alone = generation(&[("b.yaml", wrong)], Some(&kept));
    assert!(alone.stale.contains("child") && alone.rules["child"].suppressed_by.is_empty());
}

#[test]
fn an_old_id_has_one_heir() {
    let told = |text: &str| shown(&generation(&[("a.yaml", text)], None).diagnostics);
    let rule = |id: &str, keys: &str| {
        format!("  - {{ id: {id}, metric: m, agg: max, window: 1m, limit: 5{keys} }}\n")
    };
    let good = format!("rules:\n{}", rule("a", ", renamed_from: old"));
    assert_eq!(told(&good), "");
    let twice = format!("{good}{}", rule("b", ", renamed_from: old"));
    insta::assert_snapshot!(told(&twice), @"
    error: `old` is the old id of `a` already
     --> a.yaml:3:71
      |
    3 |   - { id: b, metric: m, agg: max, window: 1m, limit: 5, renamed_from: old }
      |                                                                       ^^^
      = hint: a state goes to one rule only
    ");
    // A chain: the rule that is called `a` now was called `b` before.
    let chain = format!("rules:\n{}{}", rule("a", ", renamed_from: b"), rule("c", ", renamed_from: a"));
    assert_eq!(told(&chain), "");
    let still = format!("{good}{}", rule("old", ""));
    insta::assert_snapshot!(told(&still), @"
    error: `old` is still the id of a rule
     --> a.yaml:2:71
      |
    2 |   - { id: a, metric: m, agg: max, window: 1m, limit: 5, renamed_from: old }
      |                                                                       ^^^
      = hint: remove that rule, or `renamed_from`
    ");
}

#[test]
fn lints_warn_and_refuse_nothing() {
    let lint = |keys: &str| {
        let (rules, found) = compiled(&format!("rules:\n  - {{ id: a, metric: m, by: [host], {keys} }}\n"));
        assert!(rules.len() == 1 && found.iter().all(|finding| !finding.is_error()), "{}", shown(&found));
        found
            .iter()
            .map(|it| {
                format!("{}:{} {} ({})", it.line, it.column, it.message, it.hint.as_deref().unwrap_or("-"))
            })
            .collect::<Vec<_>>()
            .join("\n")
    };
    let all = [
        "agg: max, window: 1m, limit: 5, for: 5s, every: 10s",
        "agg: max, window: 1m, limit: 5, recover_for: 5s, every: 10s",
        "agg: max, window: 1m, levels: { warn: { when: 5, for: 5s } }, every: 10s",
        "agg: max, window: 10s, limit: 5, every: 1m",
        "agg: max, window: 10d, offset: 25d, limit: 5, every: 1m",
        "agg: age, lookback: 31d, limit: 5",
        "agg: age, limit: 26h",
        "agg: count, window: 1m, below: 0",
        "agg: increase, window: 1m, limit: 0",
        "agg: max, window: 1m, limit: 80, clear: \"v < 90\"",
        "agg: max, window: 1m, levels: { warn: { when: \"v < 80\", clear: \"v < 90\" } }",
        "agg: max, window: 1m, limit: 80, params: { p: 1 }",
        "inputs: { err: { agg: max, window: 1m }, all: { agg: max, window: 1m } }, value: err, limit: 4",
    ]
    .map(lint);
    insta::assert_snapshot!(all.join("\n"), @r#"
    2:74 5s is shorter than the time between two ticks, 10s (it works like one tick; make it longer, or `every` shorter)
    2:82 5s is shorter than the time between two ticks, 10s (it works like one tick; make it longer, or `every` shorter)
    2:91 5s is shorter than the time between two ticks, 10s (it works like one tick; make it longer, or `every` shorter)
    2:55 the window of 10s is shorter than the time between two ticks, 1m (samples between two windows are never seen; make the window longer, or `every` shorter)
    2:68 this reads back 35d, and samples are kept for 30d (what is older is gone; read less far back, or keep samples longer)
    2:57 this reads back 31d, and samples are kept for 30d (what is older is gone; read less far back, or keep samples longer)
    2:54 `v >= 93600` never holds (`age` grows up to `lookback`, which is 1d; give it a longer one)
    2:68 `v < 0` never holds (`count` is never below 0)
    2:71 `v >= 0` always holds (`increase` is never below 0)
    2:77 the condition can be clear while it holds; then it counts as holding (leave a gap: `when: "v >= 80"`, `clear: "v < 70"`)
    2:67 the condition can be clear while it holds; then it counts as holding (leave a gap: `when: "v >= 80"`, `clear: "v < 70"`)
    2:83 nothing uses the parameter `p` (name it in an expression, `params.p`, or remove it)
    2:83 nothing uses the input `all` (name it in `value`, `require` or a condition, or remove it)
    "#);
}

/// The parts of `config/README.md` that are rule files.
fn examples() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let blocks = blocks.map(|(block, _)| format!("{block}\n"));
    blocks.filter(|block| block.lines().any(|line| line.starts_with("rules:"))).collect()
}

#[test]
fn the_examples_of_the_documentation_are_rules() {
    let examples = examples();
    assert!(examples.len() >= 4, "{} examples", examples.len());
    for example in &examples {
        let generation = generation(&[("a.yaml", example)], None);
        assert!(generation.diagnostics.is_empty(), "{example}\n{}", shown(&generation.diagnostics));
        assert_eq!(refusals_of_rules(example), Vec::<String>::new(), "{example}");
    }
}

#[test]
fn every_key_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rules) = text.split_once("## Rule files").unwrap();
    let rows: Vec<&str> = rules.lines().filter(|line| line.starts_with("| `")).collect();
    for key in file::keys::of_rules() {
        let row = rows.iter().find(|row| row.split('|').nth(1).unwrap().contains(&format!("`{key}`")));
        let row = row.unwrap_or_else(|| panic!("`{key}` is in no table of config/README.md"));
        let class = row.split('|').nth(4).unwrap_or_default().trim();
        assert!(["text", "logic", "identity"].contains(&class), "{row}");
    }
}

#[test]
fn the_shipped_rules_are_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rules = ["config/rules", "config/examples"].map(|folder| root.join(folder)).to_vec();
    let roots = crate::files::Roots { rules, scripts: vec![root.join("scripts")] };
    let files = Files::read(&sereno_runtime::RealDisk, &roots);
    let generation = load(files, &Host { limits: Limits::default(), clock: clock(), retention: None }, None);
    assert_eq!(shown(&generation.diagnostics), "");
    assert!(generation.rules.len() > 15, "{} rules", generation.rules.len());
}
