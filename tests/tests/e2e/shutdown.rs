//! A server that is asked to stop finishes what it has begun.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use sereno_tests::client::{OK, connect, metric, status, told, values};
use sereno_tests::server::Folder;

#[test]
fn a_stop_under_load_loses_nothing_and_says_goodbye() {
    for signal in ["TERM", "INT"] {
        let folder = Folder::new(&[], "");
        let mut server = folder.start();
        let mut monitor = connect(server.address, 3);
        let clients: Vec<_> = (0..4)
            .map(|c| {
                let mut stream = connect(server.address, 1);
                thread::spawn(move || {
                    let mut acked = 0_u32;
                    while stream.write_all(&metric(format!("m{c}").as_bytes(), acked)).is_ok() {
                        match status(&mut stream) {
                            Ok(OK) => acked += 1,
                            _ => break,
                        }
                    }
                    acked
                })
            })
            .collect();
        sereno_tests::until("some traffic", || {
            let answer = sereno_tests::client::query(server.address, b"m0", "count", 1e9, 0.0, 0.0);
            (answer[0].1 > 100.0).then_some(())
        });
        let start = Instant::now();
        server.signal(signal);
        let last = told(&mut monitor).unwrap();
        assert!(last.stopping && last.status == OK, "{last:?}");
        assert!(told(&mut monitor).is_err(), "nothing comes after it");
        assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}: {:#?}", start.elapsed(), server.log());
        let acked: Vec<u32> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let server = folder.start();
        for (c, acked) in acked.into_iter().enumerate() {
            let stored = values(server.address, format!("m{c}").as_bytes());
            assert!(stored.len() as u32 >= acked, "m{c}: {} stored, {acked} acknowledged", stored.len());
        }
    }
}

#[test]
fn a_hang_up_reloads_and_ends_nothing() {
    let folder = Folder::new(&[], "");
    let mut server = folder.start();
    server.signal("HUP");
    sereno_tests::until("the reload", || {
        server.log().iter().any(|line| line.contains("Nothing to reload")).then_some(())
    });
    assert!(server.is_running());
}
