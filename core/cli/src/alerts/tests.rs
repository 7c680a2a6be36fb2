use super::*;
use crate::output::testing::{console, written};

const NOW: Timestamp = Timestamp::from_millis(1_500_000_000_000);

fn alerts() -> Vec<Alert> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    vec![
        Alert {
            rule: "cpu_high".into(),
            instance: texts(&["env", "prod", "host", "a"]),
            level: "crit".into(),
            state: "firing".into(),
            since: NOW.nanos() - 90_000_000_000,
            value: Some(97.5),
            message: "a: load 97.5, \"crit\"\x1b[2J".into(),
            ..Alert::default()
        },
        Alert {
            rule: "disk_full".into(),
            level: "warn".into(),
            state: "firing".into(),
            since: NOW.nanos() - 1_500_000_000,
            ..Alert::default()
        },
    ]
}

fn told(form: List) -> String {
    written(|console| print(&alerts(), NOW, form, console), console(100))
}

#[test]
fn alerts_come_in_every_form() {
    insta::assert_snapshot!(told(List::Plain), @r#"
    crit	cpu_high	env="prod" host="a"	2017-07-14T02:38:30.000Z	97.5	a: load 97.5, "crit"\u{1b}[2J
    warn	disk_full		2017-07-14T02:39:58.500Z
    "#);
    insta::assert_snapshot!(told(List::Table), @r#"
    ╭────────────────────────────────────────────────────────────────────────────────────────────────────────╮
    │ message                         rule        instance              level   since                    for │
    ╞════════════════════════════════════════════════════════════════════════════════════════════════════════╡
    │ a: load 97.5, "crit"\u{1b}[2J   cpu_high    env="prod" host="a"   crit    2017-07-14T02:38:30Z   1m30s │
    │ disk_full                       disk_full                         warn    2017-07-14T02:39:58Z      1s │
    ╰────────────────────────────────────────────────────────────────────────────────────────────────────────╯
    "#);
    insta::assert_snapshot!(told(List::Json), @r#"{"schema_version":1,"alerts":[{"rule":"cpu_high","instance":{"env":"prod","host":"a"},"level":"crit","state":"firing","since":"2017-07-14T02:38:30.000Z","value":97.5,"message":"a: load 97.5, \"crit\"\u001b[2J"},{"rule":"disk_full","instance":{},"level":"warn","state":"firing","since":"2017-07-14T02:39:58.500Z","value":null,"message":""}]}"#);
    insta::assert_snapshot!(told(List::Ndjson), @r#"
    {"rule":"cpu_high","instance":{"env":"prod","host":"a"},"level":"crit","state":"firing","since":"2017-07-14T02:38:30.000Z","value":97.5,"message":"a: load 97.5, \"crit\"\u001b[2J"}
    {"rule":"disk_full","instance":{},"level":"warn","state":"firing","since":"2017-07-14T02:39:58.500Z","value":null,"message":""}
    "#);
    insta::assert_snapshot!(told(List::Csv), @r#"
    level,rule,since,value,message,env,host
    crit,cpu_high,2017-07-14T02:38:30.000Z,97.5,"a: load 97.5, ""crit""\u{1b}[2J",prod,a
    warn,disk_full,2017-07-14T02:39:58.500Z,,,,
    "#);
}

#[test]
fn a_list_of_texts_that_is_no_list_of_pairs_loses_the_last() {
    let texts = ["host", "a", "env"].map(str::to_owned);
    assert_eq!(labels_text(&pairs(&texts)), r#"host="a""#);
    assert!(pairs(&[]).is_empty());
}
