//! From a sample over the limit to a monitor, and back.

use std::fs;

use sereno_tests::client::{OK, Told, connect, send, told};
use sereno_tests::server::Folder;
use sereno_tests::until;

const FOO: &str =
    "rules:\n  - { id: foo_high, metric: foo, agg: mean, window: 1s, limit: 10, reminder: 2s }\n";

/// Reads what a monitor is told, while `value` is sent again and again.
fn told_while(
    folder_value: (&mut std::net::TcpStream, u32),
    monitor: &mut std::net::TcpStream,
    part: &str,
) -> Told {
    let (stream, value) = folder_value;
    monitor.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    until(part, || {
        assert_eq!(send(stream, b"foo", value).unwrap(), OK);
        // Records come whole, so a time-out is between two of them.
        told(monitor).ok().filter(|told| told.message.contains(part))
    })
}

#[test]
fn a_rule_fires_reminds_and_resolves() {
    let folder = Folder::new(&[("rules/foo.yaml", FOO)], "");
    let server = folder.start();
    let (mut monitor, mut stream) = (connect(server.address, 3), connect(server.address, 1));
    let fired = told_while((&mut stream, 14), &mut monitor, "foo_high: mean(foo) over 1s is 14 (>= 10)");
    assert!(!fired.stopping && fired.status == OK);
    assert_eq!(fired.time.fract(), 0.0, "a tick is a multiple of a second");
    let reminded = told_while((&mut stream, 20), &mut monitor, "is 20 (>= 10)");
    assert!(reminded.time - fired.time >= 2.0, "{reminded:?} after {fired:?}");
    // The window of that tick may still hold some of the earlier values.
    told_while((&mut stream, 3), &mut monitor, "foo_high: resolved, mean(foo) over 1s is ");
    let log = fs::read_to_string(folder.path("data/notifications.jsonl")).unwrap();
    let kinds: Vec<String> = log
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!((kinds.first().unwrap().as_str(), kinds.last().unwrap().as_str()), ("firing", "resolved"));
}

#[test]
fn a_broken_edit_is_told_and_the_rule_goes_on() {
    let folder = Folder::new(&[("rules/foo.yaml", FOO)], "");
    let server = folder.start();
    folder.write("rules/foo.yaml", &FOO.replace("mean", "maen"));
    until("the error", || {
        server.log().iter().any(|line| line.contains("foo.yaml:2:") && line.contains("`mean`")).then_some(())
    });
    let (mut monitor, mut stream) = (connect(server.address, 3), connect(server.address, 1));
    told_while((&mut stream, 14), &mut monitor, "foo_high: mean(foo)");
}
