//! The frames of version 2.0, as they were when it was published, mean what they always meant, and are what is written
//! today; and frames of later versions mean what 2.0 knows of them.

#![allow(clippy::needless_update, reason = "messages gain fields, which those of 2.0 leave at nothing")]

use std::path::{Path, PathBuf};

use prost::Message;
use sereno_protocol::v2::messages::request::Body as Ask;
use sereno_protocol::v2::messages::response::Body as Answer;
use sereno_protocol::v2::messages::*;
use sereno_protocol::v2::write::{self, BatchLimits, Columns, Definition, Times, WriteFrame};
use sereno_protocol::v2::{Incoming, decode_request, frame, put_frame, split_frame};

const T: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/v2").join(name)
}

/// The bytes of a file.
fn frozen(kind: &str, name: &str) -> Vec<u8> {
    let path = folder(kind).join(name).with_extension("hex");
    let hex = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let digits: String =
        hex.lines().flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect();
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// The message in a frame.
fn message(frame: &[u8]) -> &[u8] {
    match split_frame(frame, 1 << 20) {
        Ok(frame::Split::Frame { message, taken }) if taken == frame.len() => message,
        other => panic!("{other:?}"),
    }
}

fn framed(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_frame(&mut bytes, message);
    bytes
}

/// Every file is in a table.
fn check_names<T>(kind: &str, table: &[(&str, T)], others: &[&str]) {
    let mut named: Vec<_> = table.iter().map(|(name, _)| *name).chain(others.iter().copied()).collect();
    named.sort_unstable();
    let mut present: Vec<_> = std::fs::read_dir(folder(kind))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    present.sort_unstable();
    assert_eq!(named, present);
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn matcher(label: &str, kind: MatcherKind, value: &str) -> Matcher {
    Matcher { label: label.into(), kind: kind.into(), value: value.into() }
}

fn param(name: &str, value: param::Value) -> Param {
    Param { name: name.into(), value: Some(value) }
}

const BATCHES: [&str; 4] =
    ["02_write_define", "03_write_server_time", "04_write_one_time", "05_write_resent"];

fn requests() -> Vec<(&'static str, Ask)> {
    let hello = Hello {
        major: 2,
        client: "sereno 0.1.0".into(),
        token: "correct horse battery".into(),
        features: texts(["a", "b"]),
        client_id: 0x0123_4567_89AB_CDEF,
        ..Hello::default()
    };
    let windows = Query {
        selector: "cpu.*{env=\"prod\"}".into(),
        aggregation: "worst".into(),
        params: vec![
            param("n", param::Value::Number(2.5)),
            param("unit", param::Value::Text("ms".into())),
            param("strict", param::Value::Flag(true)),
        ],
        window: 60_000_000_000,
        step: 30_000_000_000,
        alignment: Alignment::Start.into(),
        grouping: Grouping::Labels.into(),
        by: texts(["host", "env"]),
        across: "max".into(),
        start: Some(T),
        end: Some(T + 3_600 * SECOND),
        as_of: Some(T + 1),
        series_max: 100,
        points_max: 10_000,
        timeout_ms: 5_000,
        ..Query::default()
    };
    let raw = Query {
        metric: "cpu.load".into(),
        matchers: vec![
            matcher("env", MatcherKind::Unspecified, "prod"),
            matcher("host", MatcherKind::NotEqual, "b"),
            matcher("rack", MatcherKind::Regex, "r[0-9]+"),
            matcher("gone", MatcherKind::NotRegex, ".*"),
        ],
        start: Some(0),
        ..Query::default()
    };
    let list_series = ListSeries { selector: "cpu.*".into(), start: Some(T), end: Some(T + 1), limit: 10 };
    let list_labels = ListLabels {
        selector: "cpu.load".into(),
        start: Some(-5),
        end: Some(5),
        limit: 7,
        label: "host".into(),
    };
    let monitor = Monitor {
        since: Some(Position { epoch: 1_700_000_000_000, sequence: 41 }),
        snapshot: true,
        heartbeat_ms: 5_000,
        level: "warn".into(),
        rules: texts(["cpu_*", "disk_full"]),
        matchers: vec![matcher("env", MatcherKind::Unspecified, "prod")],
        kinds: texts(["firing", "resolved"]),
        ..Monitor::default()
    };
    vec![
        ("01_hello", Ask::Hello(hello)),
        ("06_query_windows", Ask::Query(windows)),
        ("07_query_raw", Ask::Query(raw)),
        ("08_list_series", Ask::ListSeries(list_series)),
        ("09_list_labels", Ask::ListLabels(list_labels)),
        ("10_monitor", Ask::Monitor(monitor)),
        ("11_monitor_since_time", Ask::Monitor(Monitor { since_time: Some(T), ..Monitor::default() })),
        ("12_cancel", Ask::Cancel(Cancel { request: 11 })),
        ("13_ping", Ask::Ping(Ping {})),
        ("14_get_info", Ask::GetInfo(GetInfo { figures: true })),
        ("15_get_storage", Ask::GetStorage(GetStorage { top: 5 })),
        ("16_list_rules", Ask::ListRules(ListRules { rules: texts(["cpu_*"]) })),
        (
            "17_list_alerts",
            Ask::ListAlerts(ListAlerts {
                rules: texts(["*"]),
                level: "crit".into(),
                ..ListAlerts::default()
            }),
        ),
        ("18_reload", Ask::Reload(Reload { allow_removal: true })),
        ("19_get_busiest", Ask::GetBusiest(GetBusiest { top: 1 })),
    ]
}

/// What came with the tools of rules.
fn requests_about_rules() -> Vec<(&'static str, Ask)> {
    let file = |path: &str, text: &str, script| File {
        path: path.into(),
        text: text.into(),
        script,
        ..File::default()
    };
    let files = vec![
        file("rules/cpu.yaml", "rules: []", false),
        file("rules/odd.rhai", "fn check(s) { true }", true),
    ];
    let evaluate = EvaluateRules { rules: texts(["cpu_*"]), files: files.clone(), at: Some(T) };
    let replay = ReplayRule {
        rule: "cpu_high".into(),
        files: files.clone(),
        start: T - 60 * SECOND,
        end: T,
        against_live: true,
        instance: texts(["host", "a"]),
    };
    let explain =
        ExplainRule { rule: "cpu_high".into(), instance: texts(["host", "a"]), tick: Some(T), rerun: true };
    let pause = PauseRule {
        rule: "disk_*".into(),
        until: T + SECOND,
        comment: "new disks".into(),
        who: "ana".into(),
    };
    vec![
        ("23_show_rule", Ask::ShowRule(ShowRule { rule: "cpu_high".into() })),
        ("24_evaluate_rules", Ask::EvaluateRules(evaluate)),
        ("25_replay_rule", Ask::ReplayRule(replay)),
        ("26_explain_rule", Ask::ExplainRule(explain)),
        ("27_plan_rules", Ask::PlanRules(PlanRules { files })),
        ("28_list_generations", Ask::ListGenerations(ListGenerations {})),
        ("29_diff_generations", Ask::DiffGenerations(DiffGenerations { a: 11, b: 12 })),
        ("30_rollback", Ask::Rollback(Rollback { generation: 11 })),
        ("31_pause_rule", Ask::PauseRule(pause)),
        ("32_resume_rule", Ask::ResumeRule(ResumeRule { rule: "disk_*".into() })),
        ("33_forget_alerts", Ask::ForgetAlerts(ForgetAlerts { selector: r#"silent{host="a"}"#.into() })),
    ]
}

#[test]
fn what_clients_of_2_0_ask() {
    let requests = [requests(), requests_about_rules()].concat();
    check_names("client", &requests, &BATCHES);
    for (name, body) in requests {
        let bytes = frozen("client", name);
        let id = name[..2].parse().unwrap();
        let expected = Request { id, body: Some(body) };
        let Ok(Incoming::Other(read)) = decode_request(message(&bytes), 1 << 16) else { panic!("{name}") };
        assert_eq!(*read, expected, "{name}");
        assert_eq!(framed(&expected), bytes, "{name}");
    }
}

/// A batch is what the frozen bytes say, and the other way round.
fn check_batch(name: &str, expected: &WriteFrame<'_>) {
    let bytes = frozen("client", name);
    let mut written = Vec::new();
    expected.put(&mut written);
    assert_eq!(written, bytes, "{name}");

    let Ok(Incoming::Write { id, batch }) = decode_request(message(&bytes), 0) else { panic!("{name}") };
    let limits = BatchLimits { samples_max: 100, dictionary_len_max: 1_000 };
    let mut columns = Columns::default();
    let head = write::decode(batch, &limits, &mut columns).unwrap();
    let WriteFrame { ack, number, resent, .. } = *expected;
    assert_eq!(id, expected.id, "{name}");
    assert_eq!(head, write::Head { series: expected.series.to_vec(), ack, number, resent }, "{name}");
    let times: &[i64] = match &expected.times {
        Times::Server => &[],
        Times::One(time) => std::slice::from_ref(time),
        Times::Each(times) => times,
    };
    assert_eq!((&columns.refs[..], &columns.counts[..]), (expected.refs, expected.counts), "{name}");
    assert_eq!(columns.times, times, "{name}");
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&columns.values), bits(expected.values), "{name}");
}

#[test]
fn batches_of_2_0() {
    let nothing = WriteFrame {
        id: 3,
        series: &[],
        refs: &[1, 0],
        counts: &[],
        times: Times::Server,
        values: &[f64::from_bits(0x7FF8 << 48), f64::NEG_INFINITY],
        ack: Ack::Unspecified,
        number: 0,
        resent: false,
    };
    check_batch("03_write_server_time", &nothing);
    let cpu = Definition { reference: 0, name: "cpu.load", labels: vec![("env", "prod"), ("host", "a")] };
    let salon = Definition { reference: 1, name: "temperatura.salón", labels: vec![] };
    let define = WriteFrame {
        id: 2,
        series: &[cpu, salon],
        refs: &[0, 1],
        counts: &[2, 1],
        times: Times::Each(&[T, T + 10 * SECOND, T]),
        values: &[0.5, 0.75, 21.5],
        ack: Ack::Os,
        number: 1,
        resent: false,
    };
    check_batch("02_write_define", &define);
    let one_time = WriteFrame {
        id: 4,
        refs: &[0, 1, 300],
        times: Times::One(T + 123_000_000),
        values: &[1.0, 2.0, 3.0],
        ack: Ack::Disk,
        number: 2,
        ..nothing
    };
    check_batch("04_write_one_time", &one_time);
    let resent = WriteFrame {
        id: 5,
        refs: &[0],
        counts: &[2],
        times: Times::Each(&[i64::MIN, i64::MAX]),
        values: &[-0.0, 1e300],
        ack: Ack::Received,
        number: u64::MAX,
        resent: true,
        ..nothing
    };
    check_batch("05_write_resent", &resent);
}

fn points() -> [(&'static str, Answer); 3] {
    let column = |name: &str, at: &[u32], values: &[f64]| Column {
        name: name.into(),
        at: at.to_vec(),
        values: values.to_vec(),
    };
    let gap = Chunk {
        labels: texts(["host", "a", "env", "prod"]),
        times: vec![T, 30 * SECOND, 30 * SECOND],
        columns: vec![column("max", &[], &[1.0, 2.0, 3.0]), column("mean", &[0, 2], &[0.5, 1.5])],
        ..Chunk::default()
    };
    let other = Chunk {
        group: 1,
        labels: texts(["host", "b", "env", "prod"]),
        times: vec![T],
        columns: vec![column("max", &[], &[9.0])],
        ..Chunk::default()
    };
    let raw = Chunk {
        name: "cpu.load".into(),
        labels: texts(["env", "prod", "host", "a"]),
        times: vec![T, 10 * SECOND],
        values: vec![0.5, 0.75],
        ..Chunk::default()
    };
    let first = QueryPart {
        head: Some(QueryHead { as_of: T + 1, exact: true, series: 2, across: "max".into() }),
        chunks: vec![gap],
        end: None,
    };
    let last = QueryPart {
        head: None,
        chunks: vec![other],
        end: Some(QueryEnd { points: 4, samples_read: 240, elapsed: 1_250_000 }),
    };
    let whole = QueryPart {
        head: Some(QueryHead { as_of: T + 2, series: 1, ..QueryHead::default() }),
        chunks: vec![raw],
        end: Some(QueryEnd { points: 2, samples_read: 2, elapsed: 80_000 }),
    };
    [
        ("06_query_first", Answer::Query(first)),
        ("06_query_last", Answer::Query(last)),
        ("07_query_whole", Answer::Query(whole)),
    ]
}

fn news() -> [(&'static str, Answer); 6] {
    let position = |sequence| Some(Position { epoch: 1_700_000_000_000, sequence });
    let alert = Alert {
        rule: "cpu_high".into(),
        instance: texts(["host", "a"]),
        level: "crit".into(),
        state: "firing".into(),
        since: T - 1,
        value: Some(97.5),
        message: "a: load 97.5 (crit)".into(),
        ..Alert::default()
    };
    let event = Event {
        position: position(44),
        at: T + 7,
        event_id: "cpu_high/4f2a/3".into(),
        kind: "closed".into(),
        rule: "cpu_high".into(),
        instance: texts(["host", "a"]),
        level: "crit".into(),
        value: Some(0.0),
        extreme: Some(99.5),
        tick: T,
        fired_at: T - 60 * SECOND,
        message: "a: gone".into(),
        reason: "rule removed".into(),
        generation: 3,
        ..Event::default()
    };
    let part = |part| Answer::Monitor(MonitorPart { part: Some(part) });
    [
        (
            "10_snapshot",
            part(monitor_part::Part::Snapshot(Snapshot { position: position(43), alerts: vec![alert] })),
        ),
        ("10_event", part(monitor_part::Part::Event(event))),
        ("10_gap_known", part(monitor_part::Part::Gap(Gap { missed: Some(0) }))),
        ("10_gap_unknown", part(monitor_part::Part::Gap(Gap { missed: None }))),
        (
            "10_heartbeat",
            part(monitor_part::Part::Heartbeat(Heartbeat { time: T + 9, position: position(44) })),
        ),
        ("10_stopping", part(monitor_part::Part::Stopping(Stopping {}))),
    ]
}

fn administration() -> [(&'static str, Answer); 6] {
    let info = Info {
        server: "serenod 0.1.0".into(),
        time: T,
        started: T - 5,
        recovering: true,
        connections: 3,
        series: 1_000,
        generation: 2,
        rules: 7,
        alerts: 1,
        figures: vec![Figure { name: "wal_bytes".into(), value: 1024.0 }],
        v1: true,
        ..Info::default()
    };
    let storage = Storage {
        recovering: true,
        series: 1,
        head_samples: 2,
        head_bytes: 3,
        wal_files: 4,
        wal_bytes: 5,
        levels: vec![StorageLevel { level: 1, segments: 2, samples: 3, bytes: 4, ..StorageLevel::default() }],
        names: vec![LabelCount { text: "cpu.load".into(), series: 9, values: 0 }],
        labels: vec![LabelCount { text: "host".into(), series: 9, values: 3 }],
        ..Storage::default()
    };
    let rule = RuleStatus {
        id: "cpu_high".into(),
        place: "rules/cpu.yaml:3".into(),
        selector: "cpu.load{env=\"prod\"}".into(),
        aggregation: "p95".into(),
        window: 60_000_000_000,
        every: 10_000_000_000,
        health: "error".into(),
        error: "function `avgg` not found".into(),
        instances: 4,
        firing: 1,
        evaluations: 100,
        last_tick: Some(T),
        last_duration: 1_000,
        longest_duration: 2_000,
        limit: "v >= 95".into(),
        ..RuleStatus::default()
    };
    let unmatched = Diagnostic {
        severity: "warning".into(),
        message: "matches no series".into(),
        path: "rules/disk.yaml".into(),
        line: 2,
        column: 5,
        excerpt: "  metric: dsk".into(),
        hint: "did you mean `disk`?".into(),
    };
    let rules = Rules { rules: vec![rule], generation: 2, diagnostics: vec![unmatched], ..Rules::default() };
    let alert = Alert {
        rule: "batch_late".into(),
        level: "warn".into(),
        state: "firing".into(),
        since: T,
        ..Alert::default()
    };
    let no_key =
        Diagnostic { severity: "error".into(), message: "no such key".into(), ..Diagnostic::default() };
    let reloaded = Reloaded {
        outcome: "refused".into(),
        generation: 2,
        rules: 7,
        diagnostics: vec![no_key],
        refusal: "4 of 7 rules would go".into(),
        ..Reloaded::default()
    };
    let busy = Busy { name: "cpu.load".into(), samples_per_second: 1500.5, series: 10 };
    [
        ("14_info", Answer::Info(info)),
        ("15_storage", Answer::Storage(storage)),
        ("16_rules", Answer::Rules(rules)),
        ("17_alerts", Answer::Alerts(Alerts { alerts: vec![alert] })),
        ("18_reloaded", Answer::Reloaded(reloaded)),
        ("19_busiest", Answer::Busiest(Busiest { metrics: vec![busy] })),
    ]
}

/// What came with the tools of rules: what an answer may say beyond what it said in 2.0.
fn about_rules() -> [(&'static str, Answer); 4] {
    let rule = RuleStatus {
        id: "cpu_high".into(),
        health: "paused".into(),
        matched: 7,
        pending: 2,
        missed: vec![Missed { reason: "behind".into(), ticks: 3 }],
        next_tick: Some(T),
        pause: Some(Pause { until: T + SECOND, comment: "new disks".into(), who: "ana".into() }),
        operations: 1_000,
        samples: 600,
        mode: "live".into(),
        ..RuleStatus::default()
    };
    let alert = Alert {
        rule: "silent".into(),
        instance: texts(["host", "a"]),
        level: "crit".into(),
        state: "recovering".into(),
        since: T,
        stale: true,
        flapping: true,
        suppressed_by: "rack_down".into(),
        previous: "warn".into(),
        episode: 4,
        labels: texts(["team", "web"]),
        runbook: "https://wiki/silent".into(),
        peak: Some(99.5),
        peak_at: Some(T - SECOND),
        shadow: true,
        due: Some(T + SECOND),
        ..Alert::default()
    };
    let reloaded = Reloaded {
        outcome: "applied".into(),
        generation: 13,
        trigger: "rollback".into(),
        duration: 5_000_000,
        added: texts(["a"]),
        removed: texts(["b"]),
        changed: texts(["c"]),
        pinned: 11,
        files: vec![FileStatus { path: "rules/cpu.yaml".into(), status: "kept".into() }],
        ..Reloaded::default()
    };
    let document = Document { kind: "plan".into(), json: br#"{"schema_version":1}"#.to_vec() };
    [
        ("27_document", Answer::Document(document)),
        ("30_reloaded", Answer::Reloaded(reloaded)),
        ("31_rules", Answer::Rules(Rules { rules: vec![rule], pinned: 11, ..Rules::default() })),
        ("33_alerts", Answer::Alerts(Alerts { alerts: vec![alert] })),
    ]
}

fn errors() -> [(&'static str, Answer); 3] {
    let division = Diagnostic {
        severity: "error".into(),
        message: "division by zero".into(),
        path: "aggregations/worst.rhai".into(),
        line: 3,
        column: 12,
        excerpt: "  w.sum() / 0".into(),
        hint: String::new(),
    };
    let script = Error {
        code: Code::Script.into(),
        message: "the aggregation failed".into(),
        hint: "see the place".into(),
        retry_after_ms: 0,
        diagnostics: vec![division],
    };
    let error = |code: Code, message: &str, retry_after_ms| {
        Answer::Error(Error {
            code: code.into(),
            message: message.into(),
            retry_after_ms,
            ..Error::default()
        })
    };
    [
        ("20_error_script", Answer::Error(script)),
        ("21_error_overloaded", error(Code::Overloaded, "too many queries", 250)),
        ("22_error_connection", error(Code::Malformed, "a frame holds no message", 0)),
    ]
}

fn responses() -> Vec<(&'static str, Answer)> {
    let limits = Limits {
        write_bytes_max: 8 << 20,
        request_bytes_max: 64 << 10,
        response_bytes_max: 1 << 20,
        batch_samples_max: 1 << 18,
        dictionary_len_max: 1 << 20,
        in_flight_bytes_max: 32 << 20,
        in_flight_requests_max: 64,
    };
    let welcome = Welcome {
        major: 2,
        minor: 0,
        server: "serenod 0.1.0".into(),
        features: texts(["b"]),
        time: T,
        limits: Some(limits),
    };
    let rejected = vec![
        Rejection {
            reason: Reason::QueueFull.into(),
            retry: true,
            spans: vec![0, 1],
            message: "the queue is full".into(),
        },
        Rejection {
            reason: Reason::InvalidSeries.into(),
            retry: false,
            spans: vec![2, 1, 300, 4],
            message: "a label has no name".into(),
        },
    ];
    let series =
        SeriesPart { series: texts(["cpu.load{env=\"prod\",host=\"a\"}", "cpu.temperature"]), total: 2 };
    let label = LabelCount { text: "host".into(), series: 12, values: 4 };
    let written = |written| Answer::Written(written);
    let mut all = vec![
        ("01_welcome", Answer::Welcome(welcome)),
        ("02_written", written(Written { stored: 3, ..Written::default() })),
        (
            "04_written_rejected",
            written(Written { stored: 1, rejected, unknown: false, retry_after_ms: 250 }),
        ),
        ("05_written_unknown", written(Written { stored: 2, unknown: true, ..Written::default() })),
        ("08_series", Answer::Series(series)),
        ("09_labels", Answer::Labels(LabelsPart { labels: vec![label], total: 1 })),
        ("13_pong", Answer::Pong(Pong { time: T })),
    ];
    all.extend(points());
    all.extend(news());
    all.extend(administration());
    all.extend(about_rules());
    all.extend(errors());
    all
}

#[test]
fn what_servers_of_2_0_answer() {
    let responses = responses();
    check_names("server", &responses, &[]);
    for (name, body) in responses {
        let bytes = frozen("server", name);
        let more = name == "06_query_first" || name.starts_with("10_") && name != "10_stopping";
        let id = if name == "22_error_connection" { 0 } else { name[..2].parse().unwrap() };
        let expected = Response { id, more, body: Some(body) };
        assert_eq!(Response::decode(message(&bytes)).unwrap(), expected, "{name}");
        assert_eq!(framed(&expected), bytes, "{name}");
    }
}

fn later_responses() -> Vec<(&'static str, Response)> {
    let answer = |id, more, body| Response { id, more, body };
    let limits = Limits { write_bytes_max: 100, ..Limits::default() };
    let welcome = Welcome { major: 2, minor: 1, limits: Some(limits), ..Welcome::default() };
    let rejection = Rejection { reason: 77, retry: true, spans: vec![0, 1], ..Rejection::default() };
    assert_eq!(rejection.reason(), Reason::Unspecified, "an unknown reason is another one");
    let written = Written { rejected: vec![rejection], ..Written::default() };
    let error = Error { code: 99, message: "m".into(), ..Error::default() };
    assert_eq!(error.code(), Code::Unspecified);
    let event = Event { kind: "acknowledged".into(), rule: "r".into(), ..Event::default() };
    let event = MonitorPart { part: Some(monitor_part::Part::Event(event)) };
    vec![
        ("welcome", answer(1, false, Some(Answer::Welcome(welcome)))),
        ("written", answer(2, false, Some(Answer::Written(written)))),
        ("error", answer(3, false, Some(Answer::Error(error)))),
        ("response", answer(4, true, None)),
        ("monitor_part", answer(5, true, Some(Answer::Monitor(MonitorPart { part: None })))),
        ("event", answer(5, true, Some(Answer::Monitor(event)))),
    ]
}

#[test]
fn what_later_servers_answer_is_understood_as_far_as_it_is_known() {
    let responses = later_responses();
    check_names("later", &responses, &["hello", "query", "request", "write"]);
    for (name, expected) in responses {
        let bytes = frozen("later", name);
        assert_eq!(Response::decode(message(&bytes)).unwrap(), expected, "{name}");
    }
}

#[test]
fn what_later_clients_ask_is_understood_as_far_as_it_is_known() {
    let read = |name: &str| match decode_request(message(&frozen("later", name)), 1 << 16) {
        Ok(Incoming::Other(request)) => *request,
        other => panic!("{other:?}"),
    };
    let hello = Hello { major: 2, minor: 1, client: "x".into(), ..Hello::default() };
    assert_eq!(read("hello"), Request { id: 1, body: Some(Ask::Hello(hello)) });
    assert_eq!(read("request"), Request { id: 4, body: None });

    let Some(Ask::Query(query)) = read("query").body else { panic!() };
    assert_eq!(query.matchers[0].kind(), MatcherKind::Unspecified);
    assert_eq!((query.alignment(), query.grouping()), (Alignment::Unspecified, Grouping::Unspecified));

    let bytes = frozen("later", "write");
    let Ok(Incoming::Write { id: 2, batch }) = decode_request(message(&bytes), 0) else { panic!() };
    let limits = BatchLimits { samples_max: 1, dictionary_len_max: 6 };
    let mut columns = Columns::default();
    let head = write::decode(batch, &limits, &mut columns).unwrap();
    assert_eq!(head.series, [Definition { reference: 5, name: "m", labels: vec![] }]);
    assert_eq!(head.ack, Ack::Disk, "the strongest of those that are known");
    assert_eq!((&columns.refs[..], &columns.values[..]), (&[5][..], &[1.0][..]));
}
