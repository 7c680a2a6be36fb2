//! What a restart leaves as it was.

use sereno_model::EventKind;

use crate::ticks::Story;

const RULES: &str = "
rules:
  - { id: high, metric: m, by: [host], agg: max, window: 10s, every: 10s, limit: 10, reminder: 1h }
  - { id: slow, metric: m, by: [host], agg: max, window: 10s, every: 10s, limit: 10, for: 30s, reminder: 1h }
";

/// The alert that fires goes on firing, and the one that is pending goes on where it was.
#[test]
fn states_go_on_and_nothing_is_told_twice() {
    let mut story = Story::new(RULES, &[]);
    for second in [-5.0, 5.0, 15.0, 25.0, 35.0, 45.0] {
        story.sample(r#"m{host="a"}"#, second, 11.0);
    }
    story.go_to(0.0, 2);
    story.go_to(10.0, 2);
    story.bench.until("the alert", |bench| bench.told("high", EventKind::Firing) == 1);
    let mut story = story.restart();
    assert_eq!(story.bench.rules.alerts().len(), 1, "it is listed before the next tick");
    story.go_to(20.0, 2);
    assert_eq!(story.bench.told("slow", EventKind::Firing), 0, "20 s of 30 s");
    story.go_to(30.0, 2);
    story.bench.until("the second alert", |bench| bench.told("slow", EventKind::Firing) == 1);
    story.sample(r#"m{host="a"}"#, 55.0, 1.0);
    story.go_to(60.0, 2);
    story.bench.until("the end", |bench| {
        bench.told("high", EventKind::Resolved) + bench.told("slow", EventKind::Resolved) == 2
    });
    // What nobody had confirmed before the restart was sent again, under the same name.
    let ids: std::collections::BTreeSet<&str> = story
        .bench
        .seen
        .iter()
        .filter(|told| told.kind == EventKind::Firing)
        .map(|told| told.event_id.as_str())
        .collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

/// What the engine has said about a rule ends with the rule, once, and a restart knows that.
#[test]
fn what_was_said_about_a_rule_that_is_gone_is_not_said_again() {
    let script = ("scripts/rules/fails.rhai", "fn check(s) { throw \"always\" }");
    let other = "  - { id: other, metric: m, by: [], agg: max, window: 10s, every: 10s, limit: 10 }\n";
    let rules =
        format!("rules:\n{other}  - {{ id: bad, metric: m, by: [], script: fails.rhai, every: 10s }}\n");
    let mut story = Story::new(&rules, &[script]);
    story.sample("m", -5.0, 1.0);
    for second in [0.0, 10.0, 20.0] {
        story.go_to(second, 2);
    }
    story.bench.until("the word", |bench| bench.told("sereno.rules", EventKind::Firing) == 1);
    std::fs::write(story.bench.path("rules/all.yaml"), format!("rules:\n{other}")).unwrap();
    story.bench.until("the end", |bench| bench.told("sereno.rules", EventKind::Closed) == 1);
    story.bench.seen.clear();
    let mut story = story.restart();
    story.go_to(30.0, 1);
    story.bench.until("the journal", |bench| bench.metric("queue_depth{queue=\"rules_journal\"}") == 0.0);
    // What was told before and that nobody confirmed is sent again; nothing else is, and nothing stands any more.
    let again = story.bench.told("sereno.rules", EventKind::Closed);
    assert!(again <= 1, "told {again} times");
    let names: std::collections::BTreeSet<_> = story.bench.seen.iter().map(|told| &told.event_id).collect();
    assert_eq!(names.len(), story.bench.seen.len(), "each once");
    assert!(story.bench.rules.alerts().is_empty());
}
