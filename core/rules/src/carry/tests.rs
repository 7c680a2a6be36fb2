//! Must-hold: the same content gives no event, words no transition; logic keeps what there is; only identity closes.

use std::time::Duration;

use sereno_runtime::SystemClock;
use sereno_script::Limits;

use super::*;
use crate::changes::Changes;
use crate::files::{Files, Script};
use crate::generation::{Host, load};
use crate::instance::InstanceState;
use crate::state::{Levels, Look, Seen};

fn generation(number: u64, texts: &[(&str, &str)]) -> Generation {
    let mut files = Files::default();
    for (path, text) in texts {
        let content = Ok(Arc::from(*text));
        match path.strip_prefix("scripts/") {
            Some(place) => {
                files.scripts.insert(place.into(), Script { display: path.into(), content });
            }
            None => {
                files.rules.insert(path.into(), content);
            }
        }
    }
    let host = Host { limits: Limits::default(), clock: Arc::new(SystemClock::new()), retention: None };
    let mut generation = load(files, &host, None);
    assert_eq!(generation.diagnostics, [], "the files of this test are good");
    generation.number = number;
    generation
}

fn rule(id: &str, more: &str) -> String {
    format!("  - {{ id: {id}, metric: m, by: [host], agg: max, window: 15s, {more} }}\n")
}

fn rules(rules: &[String]) -> String {
    format!("rules:\n{}", rules.concat())
}

const T0: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

/// A rule with one instance that fires.
fn firing(rule: &Rule) -> RuleState {
    let mut state = RuleState::default();
    let mut instance = InstanceState::default();
    let look = Look {
        seen: Seen::Judged { when: Levels::ALL, clear: Levels::NONE },
        value: Some(20.0),
        newest: Some(T0),
    };
    let mut events = Vec::new();
    instance.state.step(&look, T0, &rule.variants[0].policy, &mut events);
    assert_eq!(events.len(), 1);
    state.instances.insert(Arc::new(vec![("host".into(), "a".into())]), instance);
    state
}

/// Carries over a generation of which every rule fires. Gives what goes on (with the tick at which it began) and what
/// is told.
fn carried(from: &Generation, to: &Generation) -> String {
    let states =
        from.rules.iter().filter(|(_, rule)| rule.is_on()).map(|(id, rule)| (id.clone(), firing(rule)));
    let carried = carry(states.collect(), from, to, T0 + Duration::from_secs(1));
    let goes_on = carried.states.iter().map(|(id, state)| {
        let count = state.instances.values().filter(|instance| instance.state.episode.is_some()).count();
        format!("{id} {count}")
    });
    let told = carried.notifications.iter().map(|told| format!("{}: {}", told.kind, told.message));
    goes_on.chain(told).collect::<Vec<_>>().join("\n")
}

fn renamed(id: &str, from: &str) -> Rule {
    let text = rules(&[rule(id, "limit: 10")]);
    let one = generation(1, &[("x.yaml", &text)]);
    let mut rule = (*one.rules[id]).clone();
    rule.renamed_from = Some(from.into());
    rule
}

/// A generation of rules `id` or `id<-old id`.
fn with(number: u64, ids: &[&str]) -> Generation {
    let mut made = generation(number, &[]);
    for text in ids {
        let rule = match text.split_once("<-") {
            Some((id, old)) => renamed(id, old),
            None => Rule { renamed_from: None, ..renamed(text, "") },
        };
        made.rules.insert(rule.id.clone(), Arc::new(rule));
    }
    made
}

#[test]
fn the_same_rules_in_other_files_and_another_order_go_on() {
    let (a, b) = (rule("a", "limit: 10"), rule("b", "limit: 10"));
    let from = generation(1, &[("x.yaml", &rules(&[a.clone(), b.clone()]))]);
    let to = generation(2, &[("y.yaml", &rules(&[b])), ("z.yaml", &format!("# moved\n{}", rules(&[a])))]);
    assert_eq!(carried(&from, &to), "a 1\nb 1");
    assert!(Changes::between(&from, &to).is_empty());
}

#[test]
fn what_an_edit_means() {
    let script = [("scripts/rules/odd.rhai", "fn check(s) { s.value > 4.0 }")];
    let class = |old: &str, new: &str| {
        let one = |rule: &str| {
            let text = format!("rules:\n  - {{ id: a, {rule} }}\n");
            generation(1, &[("x.yaml", &text), script[0]])
        };
        let (from, to) = (one(old), one(new));
        edit_class(&to.rules["a"], &from.rules["a"])
    };
    let base = "metric: m, by: [host], agg: max, window: 15s, limit: 10";
    for (new, expected) in [
        (base.to_owned(), EditClass::Same),
        (base.replace("by: [host]", "by:   [ host ]"), EditClass::Same),
        (format!("{base}, message: \"hot\""), EditClass::Text),
        (format!("{base}, reminder: 5m"), EditClass::Text),
        (base.replace("10", "11"), EditClass::Logic),
        (base.replace("max", "min"), EditClass::Logic),
        (base.replace("15s", "30s"), EditClass::Logic),
        (format!("{base}, where: {{ env: prod }}"), EditClass::Logic),
        (format!("{base}, level: warn"), EditClass::Logic),
        (base.replace("limit: 10", "script: odd.rhai"), EditClass::Logic),
        (base.replace("[host]", "[host, disk]"), EditClass::Identity),
        (base.replace("metric: m", "metric: other"), EditClass::Identity),
    ] {
        assert_eq!(class(base, &new), expected, "{new}");
    }
}

#[test]
fn a_script_or_an_aggregation_of_the_same_name_is_logic_when_it_says_something_else() {
    let text = "rules:\n  - { id: s, metric: m, script: odd.rhai }\n  - { id: a, metric: m, agg: own, window: 15s, limit: 1 }\n";
    let with = |script: &str, own: &str| {
        generation(
            1,
            &[("x.yaml", text), ("scripts/rules/odd.rhai", script), ("scripts/aggregations/own.rhai", own)],
        )
    };
    let (check, own) = ("fn check(s) { true }", "fn aggregate(w) { w.count() * 2 }");
    let from = with(check, own);
    let classes = |to: &Generation| Changes::between(&from, to).classes;
    assert_eq!(classes(&with(check, own)), BTreeMap::new());
    assert_eq!(
        classes(&with("fn check(s) { false }", own)),
        BTreeMap::from([("s".into(), EditClass::Logic)])
    );
    let other = with(check, "fn aggregate(w) { w.count() * 3 }");
    assert_eq!(classes(&other), BTreeMap::from([("a".into(), EditClass::Logic)]));
}

#[test]
fn words_and_logic_keep_what_there_is() {
    let from = generation(1, &[("x.yaml", &rules(&[rule("a", "limit: 10"), rule("b", "limit: 10")]))]);
    let edited = rules(&[rule("a", "limit: 10, message: \"hot\""), rule("b", "limit: 100")]);
    let to = generation(2, &[("x.yaml", &edited)]);
    assert_eq!(carried(&from, &to), "a 1\nb 1");
    assert_eq!(
        fates(&from, &to),
        BTreeMap::from([
            ("a".into(), Fate::Stays(EditClass::Text)),
            ("b".into(), Fate::Stays(EditClass::Logic))
        ])
    );
}

#[test]
fn what_ends_is_closed_and_says_why() {
    let from = generation(
        1,
        &[(
            "x.yaml",
            &rules(&[rule("gone", "limit: 1"), rule("off", "limit: 1"), rule("other", "limit: 1")]),
        )],
    );
    let other = rule("other", "limit: 1").replace("[host]", "[host, disk]");
    let to = generation(2, &[("x.yaml", &rules(&[rule("off", "limit: 1, mode: off"), other]))]);
    insta::assert_snapshot!(carried(&from, &to), @r#"
    closed: gone{host="a"}: closed, the rule was removed
    closed: off{host="a"}: closed, the rule was turned off
    closed: other{host="a"}: closed, its `metric` or `by` has changed
    "#);
    // One that is off has no state, and ends nothing.
    let without =
        generation(3, &[("x.yaml", &rules(&[rule("other", "limit: 1").replace("[host]", "[host, disk]")]))]);
    assert_eq!(carried(&to, &without), "other 1");
}

#[test]
fn an_override_that_turns_an_instance_off_closes_it() {
    let from = with(1, &["a"]);
    let mut to = with(2, &["a"]);
    let rule = Arc::make_mut(to.rules.get_mut("a").unwrap());
    let only = vec![("host".to_owned(), sereno_model::LabelMatcher::parse("a").unwrap())];
    let off = crate::rule::Variant { only, mode: Mode::Off, ..rule.variants[0].clone() };
    rule.variants.push(off);
    rule.text_crc32 += 1;
    rule.logic_crc32 += 1;
    assert_eq!(carried(&from, &to), "a 0\nclosed: a{host=\"a\"}: closed, the rule was turned off");
}

#[test]
fn a_rename_moves_the_state() {
    assert_eq!(carried(&with(1, &["a"]), &with(2, &["b<-a"])), "b 1");
    let changes = Changes::between(&with(1, &["a"]), &with(2, &["b<-a"]));
    assert_eq!(changes.renamed, [("a".into(), "b".into())]);
    assert_eq!((changes.added, changes.removed), (vec![], vec![]));
    // It stands there from before and says nothing any more.
    assert_eq!(carried(&with(1, &["b<-a", "a"]), &with(2, &["b<-a"])).lines().next(), Some("b 1"));
}

#[test]
fn renames_of_one_change_move_together() {
    assert_eq!(carried(&with(1, &["a", "b"]), &with(2, &["b<-a", "c<-b"])), "b 1\nc 1");
    let swapped = carry(
        with(1, &["a", "b"]).rules.iter().map(|(id, rule)| (id.clone(), firing(rule))).take(1).collect(),
        &with(1, &["a", "b"]),
        &with(2, &["b<-a", "a<-b"]),
        T0,
    );
    assert_eq!(swapped.states.keys().map(|id| &**id).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_rename_takes_no_state_from_a_rule_that_goes_on() {
    // `a` is still there: it keeps what is its own, and `b` begins anew.
    assert_eq!(carried(&with(1, &["a"]), &with(2, &["a", "b<-a"])), "a 1");
    // `b` has a state of its own; that of `a` ends as one of a rule that was removed.
    assert_eq!(
        carried(&with(1, &["a", "b"]), &with(2, &["b<-a"])),
        "b 1\nclosed: a{host=\"a\"}: closed, the rule was removed"
    );
    // Two claim it: one gets it.
    assert_eq!(carried(&with(1, &["a"]), &with(2, &["b<-a", "c<-a"])), "b 1");
    // Under the old id there is another rule now.
    let mut to = with(2, &["b<-a", "a"]);
    let other = Arc::make_mut(to.rules.get_mut("a").unwrap());
    other.by = crate::rule::By::Series;
    other.text_crc32 += 1;
    other.logic_crc32 += 1;
    assert_eq!(carried(&with(1, &["a"]), &to), "b 1");
}
