//! The rules of `scripts/rules`, as an operator would run them: what they say in trouble, in health, and when series are
//! missing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::world::{World, show};
use super::*;
use crate::{AlertView, Budget, Instance, Labels, Memory, ParamValue, Params, Verdict, Whole};

/// All scripts of the repository.
fn shipped() -> Library {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let mut scripts = Vec::new();
    for folder in ["aggregations", "lib", "rules"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rhai") {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                scripts.push((format!("{folder}/{name}"), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let scripts: Vec<(&str, &str)> =
        scripts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let (library, found) = load(&scripts, None);
    assert_eq!(found, [], "they are an example: not even a warning");
    library
}

fn params(params: &[(&str, f64)], texts: &[(&str, &str)]) -> Arc<Params> {
    let numbers = params.iter().map(|(name, value)| ((*name).to_owned(), ParamValue::Float(*value)));
    let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), ParamValue::Text((*text).to_owned())));
    Arc::new(numbers.chain(texts).collect::<BTreeMap<_, _>>())
}

/// What a script says of an instance, and how it words it.
fn say(name: &str, instance: &Instance) -> String {
    let script = shipped().rule(name).expect(name);
    let (mut budget, instance) = (Budget::default(), Arc::new(instance.clone()));
    let answer = match script.check(&mut Memory::default(), &instance, &mut budget) {
        Ok(answer) => answer,
        Err(error) => return error.to_string(),
    };
    let (level, value) = match answer.given {
        Verdict::Ok(value) => return format!("ok {}", value.unwrap_or(f64::NAN)),
        Verdict::Absent(why) => return format!("absent: {why}"),
        Verdict::Skip(why) => return format!("skip: {why}"),
        Verdict::Alert(level, value) => (level, value),
    };
    let alert = AlertView {
        rule: name.into(),
        kind: sereno_model::EventKind::Firing,
        level,
        previous: None,
        value,
        extreme: value,
        n: None,
        labels: instance.labels.clone(),
        params: instance.params.clone(),
        traces: answer.traces,
        now: instance.now,
        fired_at: instance.now,
        duration: Duration::ZERO,
        runbook: None,
        instance: Some(instance),
    };
    let message = script.message(&alert, &mut budget).unwrap();
    format!("{level}: {}", message.unwrap_or_default())
}

fn decided(name: &str, whole: Whole) -> String {
    let script = shipped().rule(name).expect(name);
    match script.decide(&mut Memory::default(), &Arc::new(whole), &mut Budget::default()) {
        Ok(answer) => show(&answer.given),
        Err(error) => error.to_string(),
    }
}

/// Samples every `step` seconds, from so many seconds ago until now.
fn every(step: i64, from: i64, value: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
    (1..=from / step).map(|i| (i * step, value(i * step))).collect()
}

#[test]
fn a_burning_budget_is_told_while_both_windows_burn() {
    let params = params(
        &[("objective", 0.999), ("burn", 14.4)],
        &[("long", "1h"), ("short", "5m"), ("level", "crit")],
    );
    let story = |requests: Vec<(i64, f64)>, bad: Vec<(i64, f64)>| {
        let world = World::new(&[("req{service=api}", &requests), ("bad{service=api}", &bad)]);
        let mut instance = world.instance("service=api", &[("all", "req"), ("bad", "bad")]);
        instance.params = params.clone();
        instance.inputs[1].otherwise = Some(0.0);
        say("burn_rate.rhai", &instance)
    };
    let requests = || every(10, 7_200, |ago| (7_200 - ago) as f64 * 10.0);
    let share = |share: f64| every(10, 7_200, move |ago| (7_200 - ago) as f64 * 10.0 * share);
    assert_eq!(story(requests(), share(0.02)), "crit: api burns its error budget 20.0 times too fast");
    assert!(story(requests(), share(0.001)).starts_with("ok 0.99"));
    let ended = every(10, 7_200, |ago| (7_200 - ago.max(600)) as f64 * 0.2);
    assert!(story(requests(), ended).starts_with("ok "), "the short window is clean");
    assert_eq!(story(requests(), Vec::new()), "ok 0", "no series of failures is no failures");
    assert_eq!(story(Vec::new(), share(0.02)), "absent: no requests");
    let quiet = requests().into_iter().filter(|(ago, _)| *ago > 1_200).collect();
    assert_eq!(story(quiet, Vec::new()), "absent: no requests", "without requests nothing recovers");
}

#[test]
fn what_is_unusual_is_told_and_what_has_no_history_is_not() {
    let params = params(&[("limit", 4.0)], &[]);
    let story = |values: Vec<(i64, f64)>| {
        let world = World::new(&[("m{service=a}", &values)]);
        say("zscore.rhai", &Instance { params: params.clone(), ..world.instance("service=a", &[("v", "m")]) })
    };
    let noise = |ago: i64| (ago * 7 % 11) as f64;
    assert!(story(every(10, 7_200, noise)).starts_with("ok "));
    let jump = story(every(10, 7_200, |ago| if ago <= 60 { 100.0 } else { noise(ago) }));
    assert_eq!(jump, "warn: 100.000 is 21.4 deviations from what is usual");
    let fall = story(every(10, 7_200, |ago| if ago <= 60 { -100.0 } else { noise(ago) }));
    assert!(fall.starts_with("warn: -100.000 is -"), "{fall}");
    assert_eq!(story(every(10, 60, noise)), "skip: too little history to tell what is usual");
    assert_eq!(story(every(10, 7_200, |_| 5.0)), "skip: too little history to tell what is usual");
    assert_eq!(story(vec![(600, 1.0)]), "absent: no samples");
}

#[test]
fn the_same_hour_of_other_weeks_tells_what_is_usual() {
    const WEEK: i64 = 7 * 86_400;
    let params = params(&[("margin", 0.5)], &[]);
    let story = |now: Option<f64>, weeks: &[f64]| {
        let past = weeks.iter().zip(1..).map(|(value, week)| (week * WEEK + 30, *value));
        let mut samples: Vec<(i64, f64)> = past.collect();
        samples.extend(now.map(|now| (30, now)));
        let world = World::new(&[("m", &samples)]);
        say("seasonal.rhai", &Instance { params: params.clone(), ..world.instance("", &[("v", "m")]) })
    };
    assert_eq!(story(Some(100.0), &[90.0, 110.0, 100.0, 80.0]), "ok 100");
    assert_eq!(
        story(Some(10.0), &[90.0, 110.0, 100.0, 80.0]),
        "warn: 10.0, and at this time it is 40.0 to 165.0"
    );
    assert!(story(Some(200.0), &[90.0, 110.0]).starts_with("warn: 200.0"));
    assert_eq!(story(Some(10.0), &[90.0]), "skip: too little history");
    assert_eq!(story(None, &[90.0, 80.0]), "absent: no samples");
}

#[test]
fn a_jump_is_told_whatever_the_height() {
    let params = params(&[("limit", 0.5)], &[]);
    let story = |before: Option<f64>, now: Option<f64>| {
        let samples: Vec<_> =
            [before.map(|value| (90, value)), now.map(|value| (30, value))].into_iter().flatten().collect();
        let world = World::new(&[("m", &samples)]);
        say("rate_of_change.rhai", &Instance { params: params.clone(), ..world.instance("", &[("v", "m")]) })
    };
    assert_eq!(story(Some(100.0), Some(120.0)), "ok 0.2");
    assert_eq!(story(Some(100.0), Some(40.0)), "warn: changed by -60 %");
    assert_eq!(story(Some(-100.0), Some(-200.0)), "warn: changed by -100 %");
    assert_eq!(story(Some(0.0), Some(5.0)), "skip: there is no share of 0");
    assert_eq!(story(None, Some(5.0)), "skip: no samples to compare with");
    assert_eq!(story(Some(5.0), None), "absent: no samples");
}

#[test]
fn slow_hundredths_are_told_by_route() {
    let params = params(&[("warn", 0.5), ("crit", 2.0)], &[("metric", "b")]);
    let grows = |by: f64| vec![(90, 0.0), (30, by)];
    let world = World::new(&[
        ("b{route=slow,le=1}", &grows(10.0)),
        ("b{route=slow,le=5}", &grows(100.0)),
        ("b{route=slow,le=+Inf}", &grows(100.0)),
        ("b{route=fast,le=1}", &grows(10.0)),
        ("b{route=fast,le=5}", &grows(10.0)),
        ("b{route=fast,le=+Inf}", &grows(10.0)),
        ("b{route=idle,le=1}", &grows(0.0)),
        ("b{route=idle,le=+Inf}", &grows(0.0)),
    ]);
    let told = decided("latency_p99.rhai", Whole { params: params.clone(), ..world.whole(&["route"]) });
    assert_eq!(
        told, "route=fast: warn 0.99; route=slow: crit 4.955555555555556",
        "and nothing of the idle one"
    );
    let nothing = World::new(&[("other", &[(30, 1.0)])]);
    assert_eq!(decided("latency_p99.rhai", Whole { params, ..nothing.whole(&["route"]) }), "");
}

#[test]
fn a_queue_that_grows_while_nobody_works_is_told() {
    let params = params(&[], &[("length", "queue.length"), ("consumers", "consumer.up")]);
    let world = World::new(&[
        ("queue.length{queue=dead}", &[(50, 10.0), (10, 30.0)]),
        ("queue.length{queue=gone}", &[(50, 10.0), (10, 12.0)]),
        ("queue.length{queue=busy}", &[(50, 10.0), (10, 90.0)]),
        ("queue.length{queue=calm}", &[(50, 10.0), (10, 9.0)]),
        ("consumer.up{queue=dead,host=a}", &[(20, 0.0)]),
        ("consumer.up{queue=busy,host=a}", &[(20, 0.0)]),
        ("consumer.up{queue=busy,host=b}", &[(20, 1.0)]),
        ("consumer.up{queue=nothing,host=b}", &[(20, 1.0)]),
    ]);
    let told = decided("queue_stuck.rhai", Whole { params, ..world.whole(&["queue"]) });
    assert_eq!(told, "queue=busy: ok 80; queue=calm: ok -1; queue=dead: crit 20; queue=gone: crit 2");
}

#[test]
fn tenants_have_their_own_limits_or_the_default() {
    let params = params(&[("otherwise", 100.0), ("warn", 0.8), ("crit", 1.0)], &[("limits", "tenant.limit")]);
    let world = World::new(&[
        ("m{tenant=big}", &[(30, 900.0)]),
        ("m{tenant=small}", &[(30, 85.0)]),
        ("m{tenant=zero}", &[(30, 5.0)]),
        ("tenant.limit{tenant=big}", &[(7_200, 1_000.0)]),
        ("tenant.limit{tenant=zero}", &[(7_200, 0.0)]),
    ]);
    let story = |tenant: &str| {
        let instance = world.instance(&format!("tenant={tenant}"), &[("v", "m")]);
        say("tenant_limit.rhai", &Instance { params: params.clone(), ..instance })
    };
    assert_eq!(story("big"), "warn: big uses 90 % of its 1000");
    assert_eq!(story("small"), "warn: small uses 85 % of its 100");
    assert_eq!(story("zero"), "skip: the limit is 0");
    assert_eq!(story("new"), "absent: no samples");
}

#[test]
fn a_process_that_keeps_restarting_is_told_until_it_settles() {
    let params = params(&[("limit", 3.0)], &[]);
    let story = |uptime: Vec<(i64, f64)>| {
        let world = World::new(&[("m{process=a}", &uptime)]);
        let instance = world.instance("process=a", &[("v", "m")]);
        say(
            "restart_loop.rhai",
            &Instance { params: params.clone(), window: Duration::from_secs(1_800), ..instance },
        )
    };
    let restarts = |period: i64| every(10, 2_400, move |ago| ((2_400 - ago) % period) as f64);
    assert_eq!(story(restarts(300)), "crit: restarted 6 times");
    assert_eq!(story(restarts(1_200)), "ok 1");
    let settled =
        every(10, 2_400, |ago| if ago > 900 { ((2_400 - ago) % 200) as f64 } else { (900 - ago) as f64 });
    assert!(story(settled).starts_with("ok "), "it has settled");
    assert_eq!(story(Vec::new()), "absent: no samples");
    assert_eq!(Labels::new().len(), 0);
}
