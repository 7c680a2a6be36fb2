use sereno_rules::report::{
    Bucket, Comparison, Episode, Event, Inexact, InstancePlot, LabelMap, Note, Number, Plot, Seconds, Span,
    Time,
};

use super::*;
use crate::output::testing::{console, written};

/// Minutes after 2017-07-14T02:40:00Z.
fn time(minutes: i64) -> Time {
    Time(Timestamp::from_millis(1_500_000_000_000 + minutes * 60_000))
}

fn seconds(secs: u64) -> Seconds {
    Seconds(Duration::from_secs(secs))
}

fn host(host: &str) -> LabelMap {
    LabelMap::from([("host".into(), host.into())])
}

fn episode(host_name: &str, fired: i64, ended: Option<i64>) -> Episode {
    Episode {
        rule: "cpu_high".into(),
        instance: host(host_name),
        level: "crit".into(),
        pending_from: Some(time(fired - 1)),
        fired_at: time(fired),
        ended_at: ended.map(time),
        ended_by: ended.map(|_| "resolved".into()),
        peak: Some(Number(97.5)),
        events: 2,
        ..Episode::default()
    }
}

fn report() -> ReplayReport {
    let wave = |host_name: &str, shift: f64| {
        let value = |minute: i64| 60.0 + 50.0 * (minute as f64 / 10.0 + shift).sin();
        let bucket = |minute| {
            let value = Number(value(minute));
            Bucket { at: time(minute), min: value, max: value, last: value }
        };
        InstancePlot {
            rule: "cpu_high".into(),
            instance: host(host_name),
            buckets: (0..60).map(bucket).collect(),
            firing: vec![Span { level: "crit".into(), from: time(10), to: time(24) }],
        }
    };
    let plot = Plot {
        step: seconds(60),
        limit: Some(Number(95.0)),
        below: false,
        instances: vec![wave("a", 0.0), wave("b", 2.0)],
    };
    let episodes = vec![episode("a", 10, Some(24)), episode("b", 50, None)];
    let mut totals = sereno_rules::report::Totals {
        episodes: 2,
        open: 1,
        flaps: 1,
        firing_seconds: seconds(1_440),
        longest_seconds: seconds(840),
        median_pending_seconds: seconds(60),
        ..Default::default()
    };
    totals.kinds = [("firing", 2), ("resolved", 1)].map(|(kind, count)| (kind.to_owned(), count)).into();
    totals.levels = [("crit".to_owned(), 2)].into();
    let against = Comparison {
        with: "recorded".into(),
        both: 1,
        only_here: vec![episode("b", 50, None)],
        only_there: (0..7).map(|minute| episode("c", minute, Some(minute + 1))).collect(),
        median_lead_seconds: Some(Number(70.0)),
        first_difference: Some("firing at 02:41:00 there, nothing here".into()),
        ..Comparison::default()
    };
    ReplayReport {
        schema_version: 1,
        rules: vec!["cpu_high".into()],
        start: time(0),
        end: time(60),
        warm_up_from: Some(time(-5)),
        ticks: 360,
        missed_ticks: 3,
        errors: 1,
        first_errors: vec!["no such\nthing".into()],
        instances: 2,
        totals,
        episodes,
        events: vec![Event { kind: "firing".into(), rule: "cpu_high".into(), ..Event::default() }],
        plot,
        inexact: Some(Inexact {
            late: 3,
            first: Some(time(1)),
            last: Some(time(2)),
            reasons: vec!["history begins later".into()],
        }),
        notes: vec![Note {
            at: Some(time(30)),
            text: "the rule changed: replayed with today's logic".into(),
        }],
        against: Some(against),
        seconds: seconds(1),
        ..ReplayReport::default()
    }
}

fn told(report: &ReplayReport, form: Form) -> String {
    let tell = |console: &mut Console| {
        tell(report, form, console).expect("memory takes everything");
        Ok(())
    };
    written(tell, console(80))
}

#[test]
fn a_replay_is_a_plot_and_episodes_and_totals_and_a_difference() {
    insta::assert_snapshot!(told(&report(), Form::Table), @r#"
    150 +
        |
        |++            *************                                        +++++++
    100 +oo+++++*******ooooooooooooo******oooooooooooooooooooooooooo++++++++oooooooo
        |  ***** +++++                    *****                +++++
     50 +**           +++++                    *****        +++
        |                  +++++                    *****+++                  *****
        |                       +++++++++++++++++++++    *********************
      0 +
        ++-----------+------------+-----------+-----------+------------+------------
       02:40       02:50        03:00       03:10       03:20        03:30
                     *******************
                     +++++++++++++++++++
    * host="a" + host="b" o limit 95
    ╭────────────────────────────────────────────────────────────────────────────────────╮
    │ instance   level   ended                  fired at   for   pending   peak   events │
    ╞════════════════════════════════════════════════════════════════════════════════════╡
    │ host="a"   crit    resolved   2017-07-14T02:50:00Z   14m        1m   97.5        2 │
    │ host="b"   crit    not yet    2017-07-14T03:30:00Z              1m   97.5        2 │
    ╰────────────────────────────────────────────────────────────────────────────────────╯
    cpu_high, from a file, [2017-07-14T02:40:00Z, 2017-07-14T03:40:00Z)
    360 ticks, 3 missed, 1 failed, 2 instances, in 1s, warmed up from 2017-07-14T02:35:00Z
      error: no such\nthing
    2 episodes (2 crit); 2 firing, 1 resolved
    1 flap, 1 open; fired 24m in all, 14m at the longest, after 1m (median)
    note: 2017-07-14T03:10:00Z: the rule changed: replayed with today's logic
    inexact: 3 late samples, 2017-07-14T02:41:00Z to 2017-07-14T02:42:00Z; history begins later
    against what the live rule told: +1 fire, -7 fires, 1 in both, median 1m10s earlier
      flaps +1, time in firing +24m
      + crit cpu_high{host="b"} 2017-07-14T03:30:00Z, not ended
      - crit cpu_high{host="c"} 2017-07-14T02:40:00Z, to 2017-07-14T02:41:00Z
      - crit cpu_high{host="c"} 2017-07-14T02:41:00Z, to 2017-07-14T02:42:00Z
      - crit cpu_high{host="c"} 2017-07-14T02:42:00Z, to 2017-07-14T02:43:00Z
      - crit cpu_high{host="c"} 2017-07-14T02:43:00Z, to 2017-07-14T02:44:00Z
      - crit cpu_high{host="c"} 2017-07-14T02:44:00Z, to 2017-07-14T02:45:00Z
      - and 2 more
      first: firing at 02:41:00 there, nothing here
    "#);
}

#[test]
fn programs_get_events_or_episodes() {
    insta::assert_snapshot!(told(&report(), Form::Ndjson), @r#"{"tick":"1970-01-01T00:00:00.000Z","kind":"firing","level":"","previous":null,"rule":"cpu_high","instance":{},"value":null,"extreme":null,"peak":null,"peak_at":null,"samples":null,"message":"","reason":null,"fired_at":"1970-01-01T00:00:00.000Z","episode":0,"labels":{},"runbook":null,"suppressed_by":null,"stale":false,"flapping":false,"shadow":false,"late":false,"undurable":false,"generation":0,"event_id":""}"#);
    insta::assert_snapshot!(told(&report(), Form::Csv), @r#"
    rule,instance,level,pending_from,fired_at,ended_at,ended_by,peak,events
    cpu_high,"host=""a""",crit,2017-07-14T02:49:00.000Z,2017-07-14T02:50:00.000Z,2017-07-14T03:04:00.000Z,resolved,97.5,2
    cpu_high,"host=""b""",crit,2017-07-14T03:29:00.000Z,2017-07-14T03:30:00.000Z,,,97.5,2
    "#);
    assert!(told(&report(), Form::Json).starts_with(r#"{"schema_version":1,"rules":["cpu_high"]"#));
    assert!(told(&report(), Form::Yaml).starts_with("schema_version: 1\nrules:\n- cpu_high\n"));
}

#[test]
fn the_same_events_are_said_to_be_the_same() {
    let against = Comparison { with: "recorded".into(), identical: true, both: 2, ..Comparison::default() };
    let report = ReplayReport { against: Some(against), generation: 12, ..ReplayReport::default() };
    insta::assert_snapshot!(told(&report, Form::Table), @"
    , generation 12, [1970-01-01T00:00:00Z, 1970-01-01T00:00:00Z)
    0 ticks, 0 instances, in 0s
    0 episodes; no event
    against what the live rule told: the same events
    ");
}
