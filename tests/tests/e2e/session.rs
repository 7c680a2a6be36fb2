//! What clients of 2.0 sent when it was published, byte for byte, is understood and answered as it was then; so is what
//! later clients send. Who may speak: version 2 with the right token, version 1 where nobody asks for one.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use prost::Message as _;
use sereno_client::messages::monitor_part::Part;
use sereno_client::messages::request::Body;
use sereno_client::messages::response::Body as Answered;
use sereno_client::messages::{Code, Hello, Ping, Response};
use sereno_client::{Client, Options};
use sereno_tests::client::{OK, connect, metric, send, status};
use sereno_tests::server::{Folder, Server};

use crate::v2::{Wire, client, options, response, runtime, samples, values};

const T: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// The token in the frozen Hello.
const TOKEN: &str = "correct horse battery";

/// The bytes of a file of `core/protocol/tests/testdata/v2`, without the comments.
fn frozen(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/protocol/tests/testdata/v2");
    let hex = std::fs::read_to_string(folder.join(name).with_extension("hex")).unwrap();
    let digits: String =
        hex.lines().flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect();
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// All that a client of 2.0 may say, in the order of the ids.
const CLIENT: [&str; 19] = [
    "01_hello",
    "02_write_define",
    "03_write_server_time",
    "04_write_one_time",
    "05_write_resent",
    "06_query_windows",
    "07_query_raw",
    "08_list_series",
    "09_list_labels",
    "10_monitor",
    "11_monitor_since_time",
    "12_cancel",
    "13_ping",
    "14_get_info",
    "15_get_storage",
    "16_list_rules",
    "17_list_alerts",
    "18_reload",
    "19_get_busiest",
];
/// Has no end.
const MONITOR: u64 = 10;
/// Has no answer.
const CANCEL: u64 = 12;

/// A server that keeps what is as old as the frozen frames, with the script that they name.
fn old_folder() -> Folder {
    let worst = ("scripts/aggregations/worst.rhai", "fn aggregate(w, params) { w.max() + params.n }\n");
    Folder::new(&[worst], "").with_storage("{ directory: data, retention: 0s }")
}

/// Sends the frozen session in pieces of `piece` bytes, each request when the one before is answered, and gives the
/// answers by request.
fn frozen_session(address: SocketAddr, piece: usize) -> BTreeMap<u64, Vec<Response>> {
    let mut wire = Wire::open(address);
    let mut answers = BTreeMap::<u64, Vec<Response>>::new();
    for (id, name) in (1..).zip(CLIENT) {
        for bytes in frozen(&format!("client/{name}")).chunks(piece) {
            wire.stream.write_all(bytes).unwrap();
        }
        // The cancelled monitor ends after its Cancel.
        let ends = match id {
            MONITOR | 11 => continue,
            CANCEL => 11,
            id => id,
        };
        loop {
            let frame = wire.read_frame().expect("the session goes on");
            let response = response(&frame);
            if response.id == 2 {
                assert_eq!(frame, frozen("server/02_written"), "the answer too is what it was");
            }
            let (about, more) = (response.id, response.more);
            answers.entry(about).or_default().push(response);
            if about == ends && !more {
                break;
            }
        }
    }
    answers
}

/// The only answer.
fn only(answers: &BTreeMap<u64, Vec<Response>>, id: u64) -> &Answered {
    match &answers[&id][..] {
        [Response { body: Some(body), more: false, .. }] => body,
        other => panic!("{id}: {other:?}"),
    }
}

fn check_answers(answers: &BTreeMap<u64, Vec<Response>>) {
    let only = |id| only(answers, id);
    let Answered::Welcome(welcome) = only(1) else { panic!("{answers:?}") };
    assert_eq!((welcome.major, welcome.minor), (2, 0));
    let Answered::Written(written) = only(3) else { panic!("{answers:?}") };
    assert_eq!((written.stored, written.rejected.len()), (2, 0));
    let Answered::Error(error) = only(4) else { panic!("{answers:?}") };
    assert_eq!(error.code(), Code::Invalid, "300 is not defined: {error:?}");
    assert!(matches!(only(5), Answered::Written(_)), "{:?}", only(5));
    let Answered::Query(part) = only(6) else { panic!("{answers:?}") };
    assert_eq!(part.head.as_ref().unwrap().as_of, T + 1);
    let [chunk] = &part.chunks[..] else { panic!("{part:?}") };
    assert_eq!(chunk.labels, ["host", "a", "env", "prod"]);
    // The sample after the moment that was asked for is not seen.
    assert_eq!((&chunk.times[..], &chunk.values[..]), (&[T][..], &[0.5 + 2.5][..]), "{part:?}");
    let Answered::Query(part) = only(7) else { panic!("{answers:?}") };
    assert!(part.chunks.is_empty() && part.end.is_some(), "no series has a rack: {part:?}");
    let Answered::Series(part) = only(8) else { panic!("{answers:?}") };
    assert_eq!((&part.series[..], part.total), (&["cpu.load{env=\"prod\",host=\"a\"}".to_owned()][..], 1));
    let Answered::Error(error) = only(9) else { panic!("{answers:?}") };
    assert_eq!(error.code(), Code::NotFound, "nothing is so old: {error:?}");
    let Some(Answered::Error(error)) = answers[&11].last().and_then(|last| last.body.as_ref()) else {
        panic!("{answers:?}")
    };
    assert_eq!(error.code(), Code::Cancelled);
    assert!(matches!(only(13), Answered::Pong(_)));
    let Answered::Info(info) = only(14) else { panic!("{answers:?}") };
    assert!(info.v1 && !info.figures.is_empty(), "{info:?}");
    assert!(matches!(only(15), Answered::Storage(_)));
    assert!(matches!(only(16), Answered::Rules(_)));
    assert!(matches!(only(17), Answered::Alerts(_)));
    let Answered::Reloaded(reloaded) = only(18) else { panic!("{answers:?}") };
    assert_eq!(reloaded.outcome, "unchanged");
    assert!(matches!(only(19), Answered::Busiest(_)));
    // The monitor names a run of the server that never was.
    let parts: Vec<_> = answers[&MONITOR]
        .iter()
        .filter_map(|response| match &response.body {
            Some(Answered::Monitor(part)) if response.more => part.part.as_ref(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(parts.iter().any(|part| matches!(part, Part::Gap(gap) if gap.missed.is_none())), "{parts:?}");
    assert!(parts.iter().any(|part| matches!(part, Part::Snapshot(_))), "{parts:?}");
}

#[test]
fn what_clients_of_2_0_send_is_answered() {
    for piece in [1, usize::MAX] {
        let folder = old_folder();
        let server = folder.start();
        check_answers(&frozen_session(server.address, piece));
        runtime().block_on(async {
            let found = samples(&client(server.address).await, "*").await;
            let cpu = &found["cpu.load{env=\"prod\",host=\"a\"}"];
            let timed: Vec<_> = cpu.iter().filter(|(time, _)| (T..T + 60 * SECOND).contains(time)).collect();
            assert_eq!(timed, [&(T, 0.5), &(T + 10 * SECOND, 0.75)], "and nothing of the refused batch");
            assert_eq!(cpu.last().map(|(_, value)| *value), Some(f64::NEG_INFINITY));
            let salon = &found["temperatura.salón"];
            assert_eq!(salon[0], (T, 21.5));
            assert!(salon[1].1.is_nan() && salon.len() == 2, "{salon:?}");
        });
    }
}

/// Works as version 2 should, and gives what it has read.
async fn use_v2(options: &Options, name: &str) -> Vec<f64> {
    let client = Client::connect(options).await.unwrap();
    let mut batch = sereno_client::Batch::default();
    batch.define(0, &crate::v2::series(name, []));
    batch.push(0, 5.0);
    assert_eq!(client.write(&batch).await.unwrap().stored, 1);
    values(&samples(&client, name).await[name])
}

fn is_v1_served(address: SocketAddr) -> bool {
    let mut stream = connect(address, 1);
    // A server that has closed already may let this fail.
    drop(stream.write_all(&metric(b"old", 5)));
    match status(&mut stream) {
        Ok(status) => status == OK,
        Err(_) => false,
    }
}

/// The server's port as the loopback has it.
fn local(server: &Server) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.address.port()))
}

#[test]
fn a_token_opens_version_2_and_nothing_else_does() {
    let folder = Folder::new(&[("tokens", &format!("# who may\nthe other token of two\n{TOKEN}\n"))], "")
        .with_server("{ listen: 127.0.0.1:0, token_file: tokens }");
    let server = folder.start();
    runtime().block_on(async {
        let with =
            |token: Option<&str>| Options { token: token.map(str::to_owned), ..options(server.address) };
        for token in [TOKEN, "the other token of two"] {
            assert!(!use_v2(&with(Some(token)), "good").await.is_empty());
        }
        for token in
            [None, Some(""), Some("correct horse"), Some("# who may"), Some("correct horse battery ")]
        {
            let error = Client::connect(&with(token)).await.unwrap_err();
            assert_eq!(error.code(), Some(Code::Unauthenticated), "{token:?}: {error}");
        }
    });
    // Byte for byte: the frozen Hello has the token, and one without it is told and closed.
    let mut wire = Wire::open(server.address);
    wire.stream.write_all(&frozen("client/01_hello")).unwrap();
    assert!(matches!(wire.read().unwrap().body, Some(Answered::Welcome(_))));
    let mut wire = Wire::open(server.address);
    wire.stream.write_all(&frozen("later/hello")).unwrap();
    let response = wire.read().unwrap();
    let Some(Answered::Error(error)) = response.body else { panic!("{response:?}") };
    assert_eq!((response.id, response.more, error.code()), (1, false, Code::Unauthenticated));
    assert!(wire.is_closed());
    let told: Vec<_> = server.log().into_iter().filter(|line| line.contains("horse")).collect();
    assert_eq!(told, [""; 0], "tokens are not for logs");
}

#[test]
fn without_a_token_file_any_token_will_do() {
    let server_folder = Folder::new(&[], "");
    let server = server_folder.start();
    runtime().block_on(async {
        for token in [None, Some("whatever".to_owned())] {
            let options = Options { token, ..options(server.address) };
            assert!(!use_v2(&options, "good").await.is_empty());
        }
    });
}

#[test]
fn beyond_the_loopback_version_1_is_off_unless_it_is_turned_on() {
    let tokens = ("tokens", TOKEN);
    for (section, v1, token) in [
        ("{ listen: 0.0.0.0:0 }", false, None),
        ("{ listen: 0.0.0.0:0, token_file: tokens }", false, Some(TOKEN)),
        ("{ listen: 0.0.0.0:0, v1: on }", true, None),
        ("{ listen: 127.0.0.1:0, v1: off }", false, None),
        ("{ listen: 127.0.0.1:0, token_file: tokens }", true, Some(TOKEN)),
    ] {
        let folder = Folder::new(&[tokens], "").with_server(section);
        let server = folder.start();
        let address = local(&server);
        assert_eq!(is_v1_served(address), v1, "{section}");
        runtime().block_on(async {
            let options = Options { token: token.map(str::to_owned), ..options(address) };
            assert_eq!(use_v2(&options, "new").await, [5.0], "{section}");
            let client = Client::connect(&options).await.unwrap();
            assert_eq!(client.info(false).await.unwrap().v1, v1, "{section}");
        });
    }
}

#[test]
fn both_versions_are_served_on_one_port_and_see_the_same() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    let mut old = connect(server.address, 1);
    assert_eq!(send(&mut old, b"both", 1).unwrap(), OK);
    runtime().block_on(async { assert_eq!(use_v2(&options(server.address), "both").await, [1.0, 5.0]) });
    assert_eq!(send(&mut old, b"both", 2).unwrap(), OK);
    assert_eq!(sereno_tests::client::values(server.address, b"both"), [1.0, 5.0, 2.0]);
}

/// A Hello of version 2.7, with fields that 2.0 does not know in both messages.
fn hello_2_7() -> Vec<u8> {
    let hello = Hello { major: 2, minor: 7, client: "future 7".into(), ..Hello::default() };
    let hello = [hello.encode_to_vec(), b"\x3a\x04zone\x80\x7d\x05".to_vec()].concat();
    // Field 1: id 1; field 2: the Hello; field 100, a text.
    let request = [b"\x08\x01\x12".as_slice(), &[hello.len() as u8], &hello, b"\xa2\x06\x03odd"].concat();
    [vec![request.len() as u8], request].concat()
}

#[test]
fn a_client_of_2_7_works() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    for hello in [hello_2_7(), frozen("later/hello")] {
        let mut wire = Wire::open(server.address);
        wire.stream.write_all(&hello).unwrap();
        let Some(Answered::Welcome(welcome)) = wire.read().unwrap().body else { panic!("a welcome") };
        assert_eq!((welcome.major, welcome.minor), (2, 0), "the server speaks what it knows");
        wire.stream.write_all(&frozen("later/write")).unwrap();
        let [Answered::Written(written)] = &wire.read_all(2)[..] else { panic!("an answer") };
        assert_eq!((written.stored, written.rejected.len(), written.unknown), (1, 0, false));
        wire.stream.write_all(&frozen("later/query")).unwrap();
        match &wire.read_all(3)[..] {
            [Answered::Error(error)] => assert_eq!(error.code(), Code::Invalid, "{error:?}"),
            [Answered::Query(part)] => assert!(part.end.is_some(), "{part:?}"),
            other => panic!("{other:?}"),
        }
        wire.stream.write_all(&frozen("later/request")).unwrap();
        let [Answered::Error(error)] = &wire.read_all(4)[..] else { panic!("an answer") };
        assert_eq!(error.code(), Code::Unsupported, "{error:?}");
        wire.ask(5, Body::Ping(Ping {}));
        assert!(matches!(wire.read_all(5)[..], [Answered::Pong(_)]), "and the session goes on");
    }
    runtime().block_on(async {
        let found = samples(&client(server.address).await, "m").await;
        assert_eq!(values(&found["m"]), [1.0, 1.0]);
    });
}
