//! Reports about rules, and what changes their state.

use sereno_protocol::v2::messages::{
    DiffGenerations, EvaluateRules, ExplainRule, File, ForgetAlerts, ListGenerations, PauseRule, PlanRules,
    ReplayRule, ResumeRule, Rollback, ShowRule,
};

use super::*;

const RULES: &str = "rules:
  - { id: cpu_high, metric: cpu, by: [host], agg: max, window: 60s, limit: 10 }
  - { id: cpu_low, metric: cpu, agg: min, window: 60s, below: 1 }
";

fn world() -> World {
    let world = World::with(&[("rules/a.yaml", RULES)], 1);
    world.put(r#"cpu{host="a"}"#, &[(30, 50.0)]);
    world
}

/// The report, put together from its parts.
async fn report(world: &World, asked: Asked, expected: &str) -> String {
    let mut text = Vec::new();
    for response in world.ask(asked).await {
        let Some(Body::Document(document)) = response.body else { panic!("{response:?}") };
        assert_eq!(document.kind, expected);
        assert!(!document.json.is_empty());
        text.extend(document.json);
    }
    String::from_utf8(text).unwrap()
}

fn file(text: &str) -> File {
    File { path: "rules/new.yaml".into(), text: text.into(), script: false }
}

fn replay(rule: &str) -> ReplayRule {
    ReplayRule { rule: rule.into(), start: ago(120).nanos(), end: ago(0).nanos(), ..ReplayRule::default() }
}

#[test]
fn reports_are_objects_with_a_version() {
    run(async || {
        let world = world();
        let rule = || "cpu_high".to_owned();
        let files = vec![file(RULES)];
        let explain = ExplainRule { rule: rule(), rerun: true, ..ExplainRule::default() };
        let all = [
            (Asked::ShowRule(ShowRule { rule: rule() }), "rule"),
            (
                Asked::EvaluateRules(EvaluateRules { files: files.clone(), ..EvaluateRules::default() }),
                "evaluated",
            ),
            (Asked::ReplayRule(replay("cpu_high")), "replay"),
            (Asked::ExplainRule(explain), "explanation"),
            (Asked::PlanRules(PlanRules { files }), "plan"),
            (Asked::ListGenerations(ListGenerations {}), "generations"),
        ];
        for (asked, kind) in all {
            let json = report(&world, asked, kind).await;
            assert!(json.starts_with(r#"{"schema_version":1,"#) && json.ends_with('}'), "{kind}: {json}");
        }
    });
}

#[test]
fn a_long_report_comes_in_parts() {
    run(async || {
        let world = world();
        let rule = |number: usize| {
            format!("  - {{ id: rule_{number}, metric: cpu, agg: max, window: 60s, limit: 1 }}\n")
        };
        let text: String = std::iter::once("rules:\n".to_owned()).chain((0..1_500).map(rule)).collect();
        let asked = Asked::PlanRules(PlanRules { files: vec![file(&text)] });
        let outbox = Outbox::new(16 << 20);
        let answered = async {
            world.start(asked, &outbox).await;
            outbox.close();
        };
        let (responses, ()) = tokio::join!(read_all(&outbox), answered);
        assert!(responses.len() > 1, "{}", responses.len());
        let mut text = Vec::new();
        for response in &responses {
            let Some(Body::Document(document)) = &response.body else { panic!("{response:?}") };
            assert!(document.json.len() <= 256 << 10);
            text.extend(&document.json);
        }
        let plan: sereno_rules::report::Plan = serde_json::from_slice(&text).unwrap();
        assert_eq!(plan.rules.len(), 1_502, "all new ones, and the two that would go");
    });
}

#[test]
fn what_cannot_be_told_has_its_reason() {
    run(async || {
        let world = world();
        let (code, error) = world.fail(Asked::ShowRule(ShowRule { rule: "cpu_hihg".into() })).await;
        assert_eq!((code, error.hint.as_str()), (Code::NotFound, "did you mean `cpu_high`?"));
        assert_eq!(world.fail(Asked::ReplayRule(replay("nope"))).await.0, Code::NotFound);
        let backwards = ReplayRule { end: ago(200).nanos(), ..replay("cpu_high") };
        assert_eq!(world.fail(Asked::ReplayRule(backwards)).await.0, Code::Invalid);
        let broken = EvaluateRules { files: vec![file("rules: [ { id: a } ]")], ..EvaluateRules::default() };
        let (code, error) = world.fail(Asked::EvaluateRules(broken)).await;
        assert_eq!((code, error.diagnostics[0].path.as_str()), (Code::Invalid, "rules/new.yaml"));
        let unstored = Asked::DiffGenerations(DiffGenerations { a: 1, b: 99 });
        assert_eq!(world.fail(unstored).await.0, Code::NotFound);
        assert_eq!(world.fail(Asked::Rollback(Rollback { generation: 99 })).await.0, Code::NotFound);
        assert_eq!(world.fail(Asked::ForgetAlerts(ForgetAlerts::default())).await.0, Code::Invalid);
        let unreadable = ForgetAlerts { selector: "cpu{".into() };
        assert_eq!(world.fail(Asked::ForgetAlerts(unreadable)).await.0, Code::Invalid);
    });
}

#[test]
fn a_rule_rests_until_somebody_ends_it() {
    run(async || {
        let world = world();
        let pause = |rule: &str, until: i64| PauseRule {
            rule: rule.into(),
            until,
            comment: "new disks".into(),
            who: "ana".into(),
        };
        let until = ago(-3_600).nanos();
        let Body::Rules(rules) = world.ask_one(Asked::PauseRule(pause("cpu_h*", until))).await else {
            panic!()
        };
        let paused = rules.rules[0].pause.as_ref().unwrap();
        assert_eq!((rules.rules.len(), paused.until, paused.comment.as_str()), (1, until, "new disks, ana"));
        assert_eq!(world.fail(Asked::PauseRule(pause("nope", until))).await.0, Code::NotFound);
        assert_eq!(world.fail(Asked::PauseRule(pause("cpu_high", ago(5).nanos()))).await.0, Code::Invalid);
        let resume = ResumeRule { rule: "cpu_high".into() };
        let Body::Rules(rules) = world.ask_one(Asked::ResumeRule(resume)).await else { panic!() };
        assert_eq!(rules.rules[0].pause, None);
    });
}
