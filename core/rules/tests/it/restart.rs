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
