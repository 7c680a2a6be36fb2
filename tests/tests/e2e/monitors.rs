//! A monitor that does not read is dropped; the others notice nothing.

use std::fmt::Write as _;

use sereno_tests::client::{OK, connect, send, told};
use sereno_tests::server::Folder;
use sereno_tests::until;

/// Rules that all fire in turn: enough bytes to fill the buffers of the kernel.
const RULES: usize = 500;

#[test]
fn a_reader_that_stops_is_dropped_and_the_others_get_everything() {
    let mut rules = String::from("rules:\n");
    for n in 0..RULES {
        writeln!(
            rules,
            "  - {{ id: r{n}, metric: foo, agg: last, window: 1s, every: 1s, limit: 1, reminder: 1s }}"
        )
        .unwrap();
    }
    let folder = Folder::new(&[("rules/many.yaml", &rules)], "delivery: { monitor_queue_len_max: 1000 }\n");
    let server = folder.start();
    let stuck = connect(server.address, 3);
    let mut good = connect(server.address, 3);
    let mut stream = connect(server.address, 1);
    let reader = std::thread::spawn(move || {
        let mut count = 0_usize;
        while let Ok(told) = told(&mut good) {
            if told.stopping {
                return Some(count);
            }
            count += 1;
        }
        None
    });
    until("the stuck one to be dropped", || {
        assert_eq!(send(&mut stream, b"foo", 5).unwrap(), OK);
        server.log().iter().any(|line| line.contains("Monitor dropped")).then_some(())
    });
    server.signal("TERM");
    let count = reader.join().unwrap().expect("the good one is told of the end");
    let log = std::fs::read_to_string(folder.path("data/notifications.jsonl")).unwrap();
    assert_eq!(count, log.lines().count(), "the good one got all that there was");
    assert_eq!(server.log().iter().filter(|line| line.contains("Monitor dropped")).count(), 1);
    drop(stuck);
}
