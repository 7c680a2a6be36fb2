use sereno_client::ClientError;
use sereno_client::messages::{Alert, Event, Position, Snapshot};

use super::*;
use crate::output::testing::{console, written};

const NOW: i64 = 1_500_000_000_000_000_000;

fn event(kind: &str, level: &str, message: &str) -> Notice {
    Notice::Event(Event {
        position: Some(Position { epoch: 1_499_999_999_000, sequence: 7 }),
        at: NOW + 2_000_000,
        event_id: "foo_high/a/1/firing/1".into(),
        kind: kind.into(),
        rule: "foo_high".into(),
        instance: vec!["host".into(), "a".into()],
        level: level.into(),
        value: Some(12.0),
        extreme: Some(f64::INFINITY),
        tick: NOW,
        fired_at: NOW - 15_000_000_000,
        message: message.into(),
        reason: if kind == "closed" { "the rule was removed".into() } else { String::new() },
        generation: 2,
        suppressed_by: if kind == "deescalated" { "rack_down".into() } else { String::new() },
        ..Event::default()
    })
}

fn notices() -> Vec<Notice> {
    let alert = Alert {
        rule: "disk_full".into(),
        level: "warn".into(),
        state: "firing".into(),
        since: NOW - 60_000_000_000,
        value: Some(0.5),
        message: "the disk is full".into(),
        ..Alert::default()
    };
    let position = Some(Position { epoch: 1_499_999_999_000, sequence: 6 });
    vec![
        Notice::Snapshot(Snapshot { position, alerts: vec![alert] }),
        event("firing", "crit", "foo_high: mean(foo) over 15s is 12 (>= 10)"),
        event("deescalated", "info", "evil\x1b[2J\nsecond line"),
        event("resolved", "crit", "foo_high: resolved, mean(foo) over 15s is 3"),
        event("closed", "warn", ""),
        Notice::Gap { missed: Some(3) },
        Notice::Gap { missed: None },
        Notice::Lost(ClientError::WriterClosed),
        Notice::Resumed,
        Notice::Stopping,
    ]
}

fn told(form: Stream, console: Console) -> String {
    let tell =
        |console: &mut Console| notices().iter().try_for_each(|notice| tell(notice, "SERVER", form, console));
    written(tell, console)
}

#[test]
fn notifications_are_lines_and_what_happens_to_the_stream_is_told() {
    insta::assert_snapshot!(told(Stream::Plain, console(100)), @r"
    2017-07-14T02:39:00.000Z warn firing      disk_full: the disk is full
    2017-07-14T02:40:00.000Z crit firing      foo_high: mean(foo) over 15s is 12 (>= 10)
    2017-07-14T02:40:00.000Z info deescalated foo_high: evil\u{1b}[2J\nsecond line (muted by rack_down)
    2017-07-14T02:40:00.000Z crit resolved    foo_high: resolved, mean(foo) over 15s is 3
    2017-07-14T02:40:00.000Z warn closed      foo_high: the rule was removed
    3 notifications are missing here
    notifications may be missing here, and nobody knows how many
    the writer is closed; trying again
    connected to `SERVER` again; what was missed follows
    `SERVER` is shutting down; waiting for it to come back
    ");
}

#[test]
fn programs_get_all_there_is() {
    insta::assert_snapshot!(told(Stream::Json, console(100)), @r#"
    {"schema_version":1,"position":"1499999999000-6","alert":{"rule":"disk_full","instance":{},"level":"warn","state":"firing","since":"2017-07-14T02:39:00.000Z","value":0.5,"message":"the disk is full"}}
    {"schema_version":1,"position":"1499999999000-7","at":"2017-07-14T02:40:00.002Z","event_id":"foo_high/a/1/firing/1","kind":"firing","level":"crit","rule":"foo_high","instance":{"host":"a"},"value":12.0,"extreme":"+Inf","tick":"2017-07-14T02:40:00.000Z","fired_at":"2017-07-14T02:39:45.000Z","message":"foo_high: mean(foo) over 15s is 12 (>= 10)","reason":null,"generation":2}
    {"schema_version":1,"position":"1499999999000-7","at":"2017-07-14T02:40:00.002Z","event_id":"foo_high/a/1/firing/1","kind":"deescalated","level":"info","rule":"foo_high","instance":{"host":"a"},"value":12.0,"extreme":"+Inf","tick":"2017-07-14T02:40:00.000Z","fired_at":"2017-07-14T02:39:45.000Z","message":"evil\u001b[2J\nsecond line","reason":null,"generation":2,"suppressed_by":"rack_down"}
    {"schema_version":1,"position":"1499999999000-7","at":"2017-07-14T02:40:00.002Z","event_id":"foo_high/a/1/firing/1","kind":"resolved","level":"crit","rule":"foo_high","instance":{"host":"a"},"value":12.0,"extreme":"+Inf","tick":"2017-07-14T02:40:00.000Z","fired_at":"2017-07-14T02:39:45.000Z","message":"foo_high: resolved, mean(foo) over 15s is 3","reason":null,"generation":2}
    {"schema_version":1,"position":"1499999999000-7","at":"2017-07-14T02:40:00.002Z","event_id":"foo_high/a/1/firing/1","kind":"closed","level":"warn","rule":"foo_high","instance":{"host":"a"},"value":12.0,"extreme":"+Inf","tick":"2017-07-14T02:40:00.000Z","fired_at":"2017-07-14T02:39:45.000Z","message":"","reason":"the rule was removed","generation":2}
    3 notifications are missing here
    {"schema_version":1,"gap":{"missed":3}}
    notifications may be missing here, and nobody knows how many
    {"schema_version":1,"gap":{"missed":null}}
    the writer is closed; trying again
    connected to `SERVER` again; what was missed follows
    `SERVER` is shutting down; waiting for it to come back
    "#);
}

#[test]
fn colours_tell_the_level_and_the_end() {
    let colored = Console { color: true, err_is_tty: true, ..console(100) };
    insta::assert_snapshot!(told(Stream::Plain, colored).replace('\x1b', "^"), @r"
    1 alert fires already:
    ^[90m2017-07-14T02:39:00.000Z^[0m ^[33mwarn firing     ^[0m ^[33mdisk_full: the disk is full^[0m
    ^[90m2017-07-14T02:40:00.000Z^[0m ^[31mcrit firing     ^[0m ^[31mfoo_high: mean(foo) over 15s is 12 (>= 10)^[0m
    ^[90m2017-07-14T02:40:00.000Z^[0m ^[34minfo deescalated^[0m ^[34mfoo_high: evil\u{1b}[2J\nsecond line (muted by rack_down)^[0m
    ^[90m2017-07-14T02:40:00.000Z^[0m ^[32mcrit resolved   ^[0m ^[32mfoo_high: resolved, mean(foo) over 15s is 3^[0m
    ^[90m2017-07-14T02:40:00.000Z^[0m ^[90mwarn closed     ^[0m ^[90mfoo_high: the rule was removed^[0m
    3 notifications are missing here
    notifications may be missing here, and nobody knows how many
    the writer is closed; trying again
    connected to `SERVER` again; what was missed follows
    `SERVER` is shutting down; waiting for it to come back
    ");
}
