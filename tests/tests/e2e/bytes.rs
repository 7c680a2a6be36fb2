//! Version 1 of the protocol, byte by byte, from its page alone.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use sereno_tests::client::{
    BAD_FORMAT, DOES_NOT_EXIST, EMPTY, OK, SERVER_ERROR, connect, metric, query, send, status, values,
};
use sereno_tests::server::Folder;
use sereno_tests::until;

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn what_is_sent_can_be_queried() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    let address = server.address;
    let before = now();
    let mut stream = connect(address, 1);
    for value in [4, 1, 3, u32::MAX] {
        assert_eq!(send(&mut stream, b"foo", value).unwrap(), OK);
    }
    assert_eq!(values(address, b"foo"), [4.0, 1.0, 3.0, u32::MAX as f32]);
    let all = |aggregation| query(address, b"foo", aggregation, 1e300, 0.0, 0.0);
    assert_eq!(all("count"), [(OK, 4.0)]);
    assert_eq!(all("min"), [(OK, 1.0)]);
    assert_eq!(all("max"), [(OK, u32::MAX as f32)]);
    assert_eq!(all("mean"), [(OK, ((8.0 + f64::from(u32::MAX)) / 4.0) as f32)]);
    assert_eq!(query(address, b"foo", "count", 3600.0, before - 1.0, now() + 1.0), [(OK, 4.0)]);
    assert_eq!(query(address, b"foo", "count", 3600.0, 0.0, before - 10.0), [(EMPTY, 0.0)]);
    assert_eq!(query(address, b"foo", "count", 3600.0, now() + 10.0, 0.0), [(EMPTY, 0.0)]);
    assert_eq!(query(address, b"nope", "mean", 0.0, 0.0, 0.0), [(DOES_NOT_EXIST, 0.0)]);
}

#[test]
fn windows_are_anchored_at_the_first_sample() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    let mut stream = connect(server.address, 1);
    for value in 0..20 {
        assert_eq!(send(&mut stream, b"foo", value).unwrap(), OK);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let counts = query(server.address, b"foo", "count", 0.1, 0.0, 0.0);
    assert!(counts.len() >= 3, "{counts:?}");
    assert_eq!(counts.iter().map(|(_, count)| *count).sum::<f32>(), 20.0, "each sample is in one window");
    let maxima = query(server.address, b"foo", "max", 0.1, 0.0, 0.0);
    assert!(maxima.is_sorted_by(|a, b| a.1 < b.1) && maxima.last() == Some(&(OK, 19.0)), "{maxima:?}");
}

#[test]
fn pipelined_metrics_are_answered_in_order() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    let mut stream = connect(server.address, 1);
    let good: Vec<u8> = (0..5_000).flat_map(|value| metric(b"foo", value)).collect();
    let (first, second) = good.split_at(33_333);
    stream.write_all(first).unwrap();
    stream.write_all(second).unwrap();
    stream.write_all(&metric(b"", 1)).unwrap();
    for _ in 0..5_000 {
        assert_eq!(status(&mut stream).unwrap(), OK);
    }
    assert_eq!(status(&mut stream).unwrap(), BAD_FORMAT, "the last one has no id");
    assert!(status(&mut stream).is_err(), "and then the server closes");
    assert_eq!(values(server.address, b"foo"), (0..5_000).map(|value| value as f32).collect::<Vec<_>>());
}

#[test]
fn queries_that_mean_nothing_are_bad_format() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    let address = server.address;
    assert_eq!(send(&mut connect(address, 1), b"foo", 1).unwrap(), OK);
    let bad = [(BAD_FORMAT, 0.0)];
    for window in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(query(address, b"foo", "mean", window, 0.0, 0.0), bad, "{window}");
    }
    assert_eq!(query(address, b"foo", "nope", 1.0, 0.0, 0.0), bad);
    assert_eq!(query(address, b"", "mean", 1.0, 0.0, 0.0), bad);
    assert_eq!(query(address, b"a\0b", "mean", 1.0, 0.0, 0.0), bad);
}

#[test]
fn an_aggregation_that_is_dropped_in_can_be_used_at_once() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    let address = server.address;
    let mut stream = connect(address, 1);
    for value in [3, 10, 5] {
        assert_eq!(send(&mut stream, b"foo", value).unwrap(), OK);
    }
    folder.write("scripts/aggregations/spread.rhai", "fn aggregate(w) { w.max() - w.min() }\n");
    folder.write("scripts/aggregations/both.rhai", "fn aggregate(w) { #{ a: w.max(), b: w.min() } }\n");
    folder.write("scripts/aggregations/never.rhai", "fn aggregate(w) { }\n");
    folder.write("scripts/aggregations/fails.rhai", "fn aggregate(w) { throw \"no\" }\n");
    folder.write("scripts/aggregations/endless.rhai", "fn aggregate(w) { loop { } }\n");
    let ask = |aggregation| query(address, b"foo", aggregation, 60.0, 0.0, 0.0);
    until("the new aggregation", || (ask("spread") == [(OK, 7.0)]).then_some(()));
    assert_eq!(ask("both"), [(BAD_FORMAT, 0.0)], "a map is no number");
    assert_eq!(ask("never"), [(EMPTY, 0.0)], "windows without a value are left out");
    assert_eq!(ask("fails"), [(SERVER_ERROR, 0.0)]);
    assert_eq!(ask("endless"), [(SERVER_ERROR, 0.0)]);
}
