//! From a sample over the limit to a monitor, and back.

use std::fs;

use sereno_tests::client::{OK, Told, connect, send, told};
use sereno_tests::server::{Folder, Server};
use sereno_tests::{now_secs, until};

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

const HELD: &str = "rules:\n  - { id: held, metric: foo, agg: max, window: 2s, every: 1s, levels: { crit: { when: \"v >= 10\", for: 4s } }, reminder: 1h }\n";

/// What the log of notifications says: kinds, and when the alert began.
fn logged(folder: &Folder) -> Vec<(String, String)> {
    let log = fs::read_to_string(folder.path("data/notifications.jsonl")).unwrap_or_default();
    let event = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (text("rule") == "held").then(|| (text("kind"), text("fired_at")))
    };
    log.lines().filter_map(event).collect()
}

fn send_until<T>(server: &Server, value: u32, what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let mut stream = connect(server.address, 1);
    until(what, || {
        assert_eq!(send(&mut stream, b"foo", value).unwrap(), OK);
        holds()
    })
}

#[test]
fn killed_while_pending_and_while_firing_it_goes_on_and_tells_nothing_twice() {
    let folder = Folder::new(&[("rules/held.yaml", HELD)], "");
    let mut server = folder.start();
    // Some ticks see it, too few to fire.
    let began = std::cell::Cell::new(0);
    send_until(&server, 14, "a few samples", || {
        began.set(began.get() + 1);
        (began.get() > 20).then_some(())
    });
    server.kill();
    assert_eq!(logged(&folder), [], "not for long enough yet");
    let mut server = folder.start();
    let fired = send_until(&server, 14, "the alert", || logged(&folder).first().cloned());
    assert_eq!(fired.0, "firing");
    for _ in 0..2 {
        server.kill();
        server = folder.start();
        let begin = now_secs();
        // Long enough for it to fire anew, if it had forgotten.
        send_until(&server, 14, "some ticks", || (now_secs() > begin + 6.0).then_some(()));
        assert_eq!(
            logged(&folder),
            std::slice::from_ref(&fired),
            "nothing is told twice, and nothing has ended"
        );
    }
    let last = send_until(&server, 3, "the end", || logged(&folder).get(1).cloned());
    assert_eq!(last, ("resolved".to_owned(), fired.1), "it is the same episode");
}
