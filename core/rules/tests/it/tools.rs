//! What a running server answers about its rules beyond listings. The clock stands still until told.

use sereno_model::TimeRange;
use sereno_rules::report::Explanation;
use sereno_rules::{ExplainRequest, ReplayRequest, Subject, ToolError};

use crate::ticks::{Story, at};

const RULES: &str = r#"
rules:
  - id: hot
    metric: temp
    by: [room]
    agg: max
    window: 20s
    every: 10s
    levels:
      warn: { when: "v >= 30", for: 20s }
      crit: { when: "v >= 50", clear: "v < 45" }
    require: "n >= 1"
    message: "${labels.room} has ${fmt(v, 0)} degrees"
  - { id: scripted, metric: temp, by: [room], script: half.rhai, window: 20s, every: 10s }
  - { id: never, metric: nothing, agg: max, window: 10s, limit: 1 }
"#;
const HALF: (&str, &str) = (
    "scripts/rules/half.rhai",
    "fn check(s) { let v = s.agg(\"max\", s.window); if v == () { return absent(\"no temperature\") } trace(\"half\", v / 2.0); if v > 40.0 { alert(\"warn\", v) } else { ok(v) } }",
);

/// Two rooms for a minute: one is hot from the start, the other becomes warm at 30 s.
fn story() -> Story {
    let mut story = Story::new(RULES, &[HALF]);
    story.go_to(0.0, 3);
    for tick in 1..=6_u32 {
        let second = f64::from(tick) * 10.0;
        story.sample(r#"temp{room="kitchen"}"#, second - 5.0, 60.0);
        story.sample(r#"temp{room="office"}"#, second - 5.0, if tick < 4 { 20.0 } else { 35.0 });
        story.go_to(second, 3);
    }
    story
}

fn explained(story: &Story, rule: &str, room: Option<&str>) -> Explanation {
    let instance = room.map(|room| ("room".to_owned(), room.to_owned())).into_iter().collect();
    let asked = ExplainRequest { rule: rule.into(), instance, ..ExplainRequest::default() };
    story.bench.rules.explain(&asked).unwrap()
}

#[test]
fn an_instance_is_explained_from_its_samples_to_its_state() {
    let story = story();
    let hot = explained(&story, "hot", None);
    assert_eq!(hot.instance.instance["room"], "kitchen", "the worst one, when nobody says which");
    let office = explained(&story, "hot", Some("office"));
    let whys: Vec<String> = [
        hot.clone(),
        office.clone(),
        explained(&story, "hot", Some("cellar")),
        explained(&story, "scripted", Some("office")),
        explained(&story, "scripted", Some("kitchen")),
        explained(&story, "never", None),
    ]
    .map(|explanation| explanation.why)
    .into();
    insta::assert_snapshot!(whys.join("\n"), @r#"
    it fires at crit since 2023-11-14T22:14:10.000Z: `v >= 50` holds; the value is 60
    it fires at warn since 2023-11-14T22:15:00.000Z: `v >= 30` holds; the value is 35
    it has no such instance
    it does not fire: the script says ok(35)
    it fires at warn since 2023-11-14T22:14:10.000Z: the script says alert("warn", 60)
    no series matches `nothing`
    "#);
    insta::assert_snapshot!(serde_json::to_string_pretty(&office.instance).unwrap(), @r#"
    {
      "instance": {
        "room": "office"
      },
      "tick": "2023-11-14T22:15:00.000Z",
      "variant": 0,
      "mode": "live",
      "inputs": [
        {
          "name": "v",
          "selector": "temp",
          "agg": "max",
          "across": "max",
          "window_seconds": 20.0,
          "offset_seconds": 0.0,
          "from": "2023-11-14T22:14:40.000Z",
          "to": "2023-11-14T22:15:00.000Z",
          "matched": 1,
          "series": [
            {
              "series": "temp{room=\"office\"}",
              "samples": 2,
              "last": 35.0,
              "last_at": "2023-11-14T22:14:55.000Z"
            }
          ],
          "value": 35.0,
          "is_else": false,
          "samples": 2,
          "newest": "2023-11-14T22:14:55.000Z"
        }
      ],
      "require": "n >= 1",
      "require_holds": true,
      "value_text": null,
      "value": 35.0,
      "seen": "judged",
      "script": null,
      "verdict": null,
      "traces": [],
      "error": null,
      "levels": [
        {
          "level": "warn",
          "when": "v >= 30",
          "holds": true,
          "clear": null,
          "is_clear": null,
          "held_seconds": 20.0,
          "for_seconds": 20.0
        },
        {
          "level": "crit",
          "when": "v >= 50",
          "holds": false,
          "clear": "v < 45",
          "is_clear": true,
          "held_seconds": null,
          "for_seconds": 0.0
        }
      ],
      "before": {
        "state": "pending",
        "level": "warn",
        "fired_at": null,
        "episode": 0,
        "peak": null,
        "peak_at": null,
        "stale": false,
        "flapping": false,
        "clocks": {
          "pending_seconds": 10.0,
          "for_seconds": 20.0,
          "clear_seconds": null,
          "recover_for_seconds": null,
          "reminder_at": null
        },
        "absence": {
          "newest": "2023-11-14T22:14:45.000Z",
          "interval_seconds": 10.0,
          "quiet_seconds": 5.0,
          "patience_seconds": 30.0,
          "absent": false,
          "then": "keep"
        }
      },
      "after": {
        "state": "firing",
        "level": "warn",
        "fired_at": "2023-11-14T22:15:00.000Z",
        "episode": 1,
        "peak": 35.0,
        "peak_at": "2023-11-14T22:15:00.000Z",
        "stale": false,
        "flapping": false,
        "clocks": {
          "pending_seconds": null,
          "for_seconds": null,
          "clear_seconds": null,
          "recover_for_seconds": null,
          "reminder_at": "2023-11-14T22:16:00.000Z"
        },
        "absence": {
          "newest": "2023-11-14T22:14:55.000Z",
          "interval_seconds": 10.0,
          "quiet_seconds": 5.0,
          "patience_seconds": 30.0,
          "absent": false,
          "then": "keep"
        }
      },
      "suppressed": null,
      "would_tell": []
    }
    "#);
    assert_eq!(office.recent.len(), 6, "from its first sample on");
    assert_eq!((office.source.as_str(), office.health.as_str()), ("recorded", "ok"), "it begins to fire now");
    assert_eq!(hot.source, "live", "nothing happened to it at the last tick");
    let cellar = explained(&story, "hot", Some("cellar"));
    assert_eq!(cellar.known.len(), 2);
    let scripted = explained(&story, "scripted", Some("kitchen"));
    assert_eq!(scripted.instance.traces[0].value, "30");
}

#[test]
fn an_earlier_tick_is_evaluated_again() {
    let story = story();
    let asked = ExplainRequest {
        rule: "hot".into(),
        instance: vec![("room".into(), "kitchen".into())],
        tick: Some(at(15.0)),
        rerun: true,
    };
    let explanation = story.bench.rules.explain(&asked).unwrap();
    assert_eq!(explanation.source, "rerun");
    assert_eq!(explanation.instance.tick.0, at(10.0), "the last tick at or before it");
    assert_eq!(explanation.events.len(), 1);
    assert_eq!(explanation.events[0].message, "kitchen has 60 degrees");
    assert_eq!(explanation.instance.before.unwrap().state, "inactive");
    assert_eq!(explanation.instance.after.unwrap().state, "firing");
    assert_eq!(explanation.told, ["log", "monitors", "sinks"]);
}

#[test]
fn rules_can_be_tried_before_they_are_saved() {
    let story = story();
    let rules = &story.bench.rules;
    let text =
        "rules:\n  - { id: warm, metric: temp, by: [room], agg: last, window: 20s, every: 10s, limit: 30 }\n";
    let subject = Subject { rules: Vec::new(), files: vec![("warm.yaml".into(), text.into())] };
    let evaluated = rules.evaluate(&subject, None, &|| true).unwrap();
    let shown: Vec<String> = evaluated.rules[0]
        .instances
        .iter()
        .map(|look| {
            format!("{} {:?} would tell {}", look.instance["room"], look.value, look.would_tell.len())
        })
        .collect();
    assert_eq!(shown, ["kitchen Some(Number(60.0)) would tell 1", "office Some(Number(35.0)) would tell 1"]);
    let all = rules.evaluate(&Subject::default(), Some(at(12.0)), &|| true).unwrap();
    assert_eq!(all.rules.len(), 3);
    let wrong = Subject {
        files: vec![("a.yaml".into(), "rules:\n  - { id: a, metrc: b }\n".into())],
        ..Subject::default()
    };
    assert!(
        matches!(rules.evaluate(&wrong, None, &|| true), Err(ToolError::Mistakes { found }) if found.len() == 1)
    );
    let unknown = Subject { rules: vec!["hott".into()], ..Subject::default() };
    let error = rules.evaluate(&unknown, None, &|| true).unwrap_err();
    assert!(matches!(error, ToolError::UnknownRule { hint, .. } if hint == "did you mean `hot`?"));
    assert!(matches!(rules.evaluate(&Subject::default(), None, &|| false), Err(ToolError::Ended)));
}

#[test]
fn a_replay_tells_what_would_have_been_and_what_would_be_different() {
    let story = story();
    let rules = &story.bench.rules;
    let ask = |rules: &[&str], files: Vec<(std::path::PathBuf, String)>| ReplayRequest {
        subject: Subject { rules: rules.iter().map(|&id| id.into()).collect(), files },
        range: TimeRange::new(at(0.0), at(61.0)),
        instance: Vec::new(),
        against_live: true,
    };
    let live = rules.replay(&ask(&["hot"], Vec::new()), &|| true).unwrap();
    let told: Vec<String> = live
        .episodes
        .iter()
        .map(|episode| {
            let second = |time: sereno_rules::report::Time| time.0.since(at(0.0)).as_secs();
            let (room, pending) = (&episode.instance["room"], episode.pending_from.map(second));
            format!("{room} {} {pending:?} {}", episode.level, second(episode.fired_at))
        })
        .collect();
    assert_eq!(told, ["kitchen crit Some(10) 10", "office warn Some(40) 60"]);
    assert_eq!((live.ticks, live.instances, live.totals.get("fires")), (7, 2, Some(2.0)));
    assert_eq!(live.plot.instances.len(), 2);
    assert_eq!(live.plot.instances[0].buckets.len(), 6);
    // What would be told if it were more patient.
    let text = RULES.replace("v >= 50", "v >= 70").replace("for: 20s", "for: 0s");
    let other = rules.replay(&ask(&["hot"], vec![("rules.yaml".into(), text)]), &|| true).unwrap();
    let against = other.against.unwrap();
    assert_eq!((against.both, against.only_here.len(), against.only_there.len()), (2, 0, 0));
    assert_eq!(against.median_lead_seconds.unwrap().0, 0.0);
    assert!(!against.identical);
    let ended = rules.replay(&ask(&["hot"], Vec::new()), &|| false).unwrap();
    assert!(ended.cancelled && ended.ticks == 0);
}

#[test]
fn a_rule_is_shown_with_its_defaults() {
    let story = story();
    let shown = story.bench.rules.show("hot").unwrap();
    insta::assert_snapshot!(shown.source.clone().unwrap(), @r#"
    - id: hot
      metric: temp
      by: [room]
      agg: max
      window: 20s
      every: 10s
      levels:
        warn: { when: "v >= 30", for: 20s }
        crit: { when: "v >= 50", clear: "v < 45" }
      require: "n >= 1"
      message: "${labels.room} has ${fmt(v, 0)} degrees"
    "#);
    assert_eq!((shown.instances, shown.firing, shown.health.as_str()), (2, 2, "ok"));
    assert_eq!(shown.variants[0].levels.len(), 2);
    assert_eq!(shown.variants[0].absent_after, "3x");
}

/// A number that looks random and is the same in every run.
fn dice(seed: u64, turn: u64) -> f64 {
    let mixed = (seed * 1_000 + turn).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 % 70.0
}

/// One tick of the three rules, with samples of three rooms before it; some are silent now and then.
fn turn(story: &mut Story, seed: u64, tick: u64) {
    let second = 10.0 * tick as f64;
    for (room, name) in ["kitchen", "office", "hall"].into_iter().enumerate() {
        let value = dice(seed + room as u64, tick / 3);
        if dice(seed + room as u64, tick + 500) > 15.0 {
            story.sample(&format!("temp{{room=\"{name}\"}}"), second - 5.0, value);
        }
    }
    story.go_to(second, 3);
}

fn everything(story: &Story, ticks: u64) -> sereno_rules::report::ReplayReport {
    let range = TimeRange::new(at(0.0), at(10.0 * ticks as f64 + 1.0));
    let asked =
        ReplayRequest { subject: Subject::default(), range, instance: Vec::new(), against_live: true };
    story.bench.rules.replay(&asked, &|| true).unwrap()
}

#[test]
fn a_replay_is_what_was_recorded_through_restarts_and_reloads() {
    for seed in [7, 70, 700] {
        let mut story = Story::new(RULES, &[HALF]);
        story.go_to(0.0, 3);
        (1..=15).for_each(|tick| turn(&mut story, seed, tick));
        // The server is down for three ticks; what is sent meanwhile comes before it looks again.
        story = story.restart();
        (18..=30).for_each(|tick| turn(&mut story, seed, tick));
        let path = story.bench.path("rules/all.yaml");
        crate::replace(
            &path,
            &RULES.replace("id: never, metric: nothing", "id: never, metric: nothing, level: info"),
        );
        assert!(story.bench.rules.reload(false).is_some());
        (31..=45).for_each(|tick| turn(&mut story, seed, tick));
        let report = everything(&story, 45);
        let against = report.against.unwrap();
        assert_eq!((against.first_difference, report.inexact), (None, None), "seed {seed}");
        assert!(against.identical && against.only_here.is_empty() && against.only_there.is_empty());
        assert_eq!(against.with, "recorded");
        assert!(report.events.len() > 20, "{} events", report.events.len());
        assert!(report.missed_ticks >= 6, "{} missed", report.missed_ticks);
        let generations: std::collections::BTreeSet<u64> =
            report.events.iter().map(|event| event.generation).collect();
        assert!(generations.len() > 1, "an event tells which generation decided it");
        assert!(report.errors == 0, "{:?}", report.first_errors);
    }
}

#[test]
fn late_samples_make_a_replay_inexact_and_it_says_so() {
    let mut story = Story::new(RULES, &[HALF]);
    story.go_to(0.0, 3);
    (1..=5).for_each(|tick| turn(&mut story, 7, tick));
    story.sample(r#"temp{room="kitchen"}"#, 31.0, 66.0);
    (6..=7).for_each(|tick| turn(&mut story, 7, tick));
    let inexact = everything(&story, 7).inexact.unwrap();
    assert_eq!((inexact.late, inexact.first.unwrap().0), (1, at(31.0)));
}

#[test]
fn what_was_recorded_of_a_transition_is_told() {
    let story = story();
    let asked = ExplainRequest {
        rule: "hot".into(),
        instance: vec![("room".into(), "kitchen".into())],
        tick: Some(at(10.0)),
        rerun: false,
    };
    let explanation = story.bench.rules.explain(&asked).unwrap();
    assert_eq!((explanation.source.as_str(), explanation.events.len()), ("recorded", 1));
    assert_eq!(explanation.events[0].message, "kitchen has 60 degrees");
    assert_eq!(explanation.history.len(), 1);
    assert_eq!(explanation.instance.inputs[0].samples, Some(1));
}
