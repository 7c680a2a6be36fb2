use std::time::Duration;

use sereno_model::Timestamp;
use sereno_rules::report::{AbsenceClock, Clocks, LabelMap, Number, SeriesLook, Suppressed, Time, TraceLook};

use super::*;
use crate::output::testing::{console, written};

/// Seconds after 2017-07-14T02:40:00Z.
fn time(secs: i64) -> Time {
    Time(Timestamp::from_millis(1_500_000_000_000 + secs * 1_000))
}

fn seconds(secs: u64) -> Seconds {
    Seconds(Duration::from_secs(secs))
}

fn level(level: &str, when: &str, holds: Option<bool>, held: Option<u64>) -> LevelLook {
    LevelLook {
        level: level.into(),
        when: Some(when.into()),
        holds,
        held_seconds: held.map(seconds),
        for_seconds: seconds(60),
        ..LevelLook::default()
    }
}

fn firing() -> Explanation {
    let series = |host: &str| SeriesLook {
        series: format!("cpu.load{{host=\"{host}\"}}"),
        samples: 6,
        last: Some(Number(97.125)),
        last_at: Some(time(-3)),
    };
    let input = InputLook {
        name: "v".into(),
        selector: "cpu.load{env=\"prod\"}".into(),
        agg: Some("p95".into()),
        across: Some("pool".into()),
        window_seconds: seconds(60),
        from: time(-60),
        to: time(0),
        matched: 5,
        series: vec![series("a"), series("b"), series("c"), series("d")],
        value: Some(Number(97.0)),
        samples: Some(30),
        newest: Some(time(-3)),
        ..InputLook::default()
    };
    let before = StateLook {
        state: "pending".into(),
        level: Some("crit".into()),
        clocks: Clocks {
            pending_seconds: Some(seconds(50)),
            for_seconds: Some(seconds(60)),
            ..Clocks::default()
        },
        ..StateLook::default()
    };
    let after = StateLook {
        state: "firing".into(),
        level: Some("crit".into()),
        fired_at: Some(time(0)),
        episode: 3,
        peak: Some(Number(99.5)),
        peak_at: Some(time(-10)),
        clocks: Clocks { reminder_at: Some(time(60)), ..Clocks::default() },
        absence: AbsenceClock {
            newest: Some(time(-3)),
            interval_seconds: Some(seconds(10)),
            patience_seconds: seconds(30),
            then: "keep".into(),
            ..AbsenceClock::default()
        },
        ..StateLook::default()
    };
    let crit = LevelLook {
        clear: Some("v < 85".into()),
        is_clear: Some(false),
        ..level("crit", "v >= 95", Some(true), Some(60))
    };
    let look = InstanceLook {
        instance: LabelMap::from([("host".into(), "a".into())]),
        tick: time(0),
        mode: "live".into(),
        inputs: vec![input],
        require: Some("n >= 5".into()),
        require_holds: Some(true),
        value: Some(Number(97.0)),
        seen: "judged".into(),
        levels: vec![level("warn", "v >= 80", Some(true), Some(120)), crit],
        before: Some(before),
        after: Some(after),
        suppressed: Some(Suppressed { by: "rack_down".into(), on: vec!["rack".into()] }),
        ..InstanceLook::default()
    };
    let event = |kind: &str, secs| Event {
        tick: time(secs),
        kind: kind.into(),
        level: "crit".into(),
        message: "a: load 97\x1b".into(),
        ..Event::default()
    };
    let recent = |(index, value): (i64, Option<f64>)| Recent {
        tick: time(index * 10 - 40),
        seen: if value.is_none() { "absent".into() } else { "judged".into() },
        level: value.filter(|value| *value > 90.0).map(|_| "crit".into()),
        value: value.map(Number),
    };
    let values = [Some(10.0), Some(60.0), None, Some(95.0), Some(97.0)];
    Explanation {
        rule: "cpu_high".into(),
        path: "config/rules/host.yaml".into(),
        line: 3,
        health: "ok".into(),
        generation: 12,
        source: "recorded".into(),
        instance: look,
        events: vec![event("firing", 0)],
        told: vec!["log".into(), "monitors".into()],
        history: vec![event("firing", -900), event("resolved", -600)],
        recent: (0..).zip(values).map(recent).collect(),
        why: "`v >= 95` has held for 1m, as long as it must".into(),
        ..Explanation::default()
    }
}

fn told(explanation: &Explanation) -> String {
    written(|console| tell(explanation, console), console(100))
}

#[test]
fn a_transition_is_told_from_the_samples_to_the_event() {
    insta::assert_snapshot!(told(&firing()), @r#"
    cpu_high{host="a"}  config/rules/host.yaml:3, generation 12, ok
    tick     2017-07-14T02:40:00Z, as it was recorded
    reads    v = p95(cpu.load{env="prod"}) across pool over 1m, [02:39:00, 02:40:00)
               97 from 5 series, 30 samples, the newest at 2017-07-14T02:39:57Z
                 cpu.load{host="a"}  6 samples, last 97.125
                 cpu.load{host="b"}  6 samples, last 97.125
                 cpu.load{host="c"}  6 samples, last 97.125
                 and 2 more
    require  n >= 5  holds
    levels   warn v >= 80  holds, held 2m of 1m
             crit v >= 95  holds, held 1m of 1m; clear v < 85  does not hold
    state    pending crit -> firing crit since 2017-07-14T02:40:00Z, episode 3, peak 99.5 at 2017-07-14T02:39:50Z
             next reminder at 2017-07-14T02:41:00Z
             data: the newest at 2017-07-14T02:39:57Z, one every 10s, quiet 0s of 30s
    muted    by rack_down, which agrees in rack: sinks are not told
    told     firing crit "a: load 97\u{1b}"  (log, monitors)
    recent   ▁▅ ██
               ?cc
             5 ticks, 02:39:20 to 02:40:00; i w c: the level that held, ? absent, = held, ! failed
    before   2017-07-14T02:30:00Z resolved crit "a: load 97\u{1b}"
             2017-07-14T02:25:00Z firing crit "a: load 97\u{1b}"
    why      `v >= 95` has held for 1m, as long as it must
    "#);
}

#[test]
fn what_is_missing_is_told_too() {
    let input = InputLook {
        name: "err".into(),
        selector: "errors".into(),
        agg: Some("increase".into()),
        offset_seconds: seconds(7 * 86_400),
        value: Some(Number(0.0)),
        is_else: true,
        ..InputLook::default()
    };
    let after = StateLook { state: "inactive".into(), stale: true, ..StateLook::default() };
    let look = InstanceLook {
        inputs: vec![input],
        variant: 2,
        mode: "shadow".into(),
        require: Some("all >= 100".into()),
        value_text: Some("ratio(err, all)".into()),
        script: Some("zscore.rhai".into()),
        verdict: Some("skip(\"too few\")".into()),
        traces: vec![TraceLook { name: "z".into(), value: "4.2".into() }],
        error: Some("no such thing".into()),
        seen: "held".into(),
        levels: vec![level("warn", "v >= 80", None, None)],
        before: Some(after.clone()),
        after: Some(after),
        would_tell: vec![Event { kind: "firing".into(), level: "warn".into(), ..Event::default() }],
        ..InstanceLook::default()
    };
    let explanation = Explanation {
        rule: "odd".into(),
        path: "a.yaml".into(),
        source: "rerun".into(),
        health: "error".into(),
        instance: look,
        inexact: Some("3 late samples".into()),
        ..Explanation::default()
    };
    insta::assert_snapshot!(told(&explanation), @r#"
    odd  a.yaml:0, generation 0, error, shadow, override 2
    tick     1970-01-01T00:00:00Z, evaluated again over what is stored now
    inexact  this need not be what was seen then: 3 late samples
    reads    err = increase(errors) over 0s offset 7d, [00:00:00, 00:00:00)
               0 by `else`, no series matches
    require  all >= 100  cannot be said: something in it is missing
    value    ratio(err, all) = -
    script   zscore.rhai says skip("too few")
    traces   z = 4.2
    error    no such thing
    seen     held: no verdict at this tick, and the state stands
    levels   warn v >= 80  cannot be said: something in it is missing, must for 1m
    state    inactive, no data
    would    tell firing warn
    "#);
    insta::assert_snapshot!(told(&Explanation::default()), @"
      :0, generation 0, 
    tick     1970-01-01T00:00:00Z,
    state    not known
    ");
}
