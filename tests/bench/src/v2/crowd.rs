//! Ten thousand connections that say nothing, two hundred that say a byte a second, and a stream of nonsense, beside fifty
//! clients that mean well.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sereno_protocol::v2::INTENTION;

use super::client::{Connection, stored};
use super::data::{Batches, a_month_ago};
use super::latency::on_each;
use super::{Bench, quantile};
use crate::storage::table::{Table, round};

const IDLE: usize = 10_000;
const SLOW: usize = 200;
const GOOD: usize = 50;
const TIME: Duration = Duration::from_secs(10);
/// Between two connections with nonsense: some thousand a second. More would measure how busy this process is.
const NONSENSE_PAUSE: Duration = Duration::from_micros(200);
/// Between the batches of a good client.
const PAUSE: Duration = Duration::from_millis(20);

pub fn run() -> io::Result<()> {
    let _limit = sereno_runtime::open_files::raise_limit();
    let bench = Bench::start(", connections_max: 20000")?;
    let address = bench.server.address;
    // Both rounds are the same but for the crowd.
    let alone = good(address)?;
    let before = (bench.server.open_files()?, bench.server.resident_bytes()?);
    let idle = (0..IDLE).map(|_| Connection::open(address)).collect::<io::Result<Vec<_>>>()?;
    let crowded_bytes = bench.server.resident_bytes()?;
    let stop = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let slow = scope.spawn(|| speak_slowly(address, &stop));
        let bad = scope.spawn(|| speak_nonsense(address, &stop));
        let beside = good(address);
        stop.store(true, Ordering::Relaxed);
        for other in [slow, bad] {
            other.join().unwrap_or_else(|_| Err(io::Error::other("panic")))?;
        }
        beside
    })?;
    drop(idle);
    let start = Instant::now();
    while bench.server.open_files()? > before.0 && start.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(100));
    }
    let table = Table::new(
        "50 clients, a batch of 100 samples every 20 ms each",
        &["p50 ms", "p99 ms", "of alone", "goal"],
    );
    let row = |name: &str, figures: &[f64], base: f64| {
        let p99 = quantile(figures, 0.99);
        table.row(name, [quantile(figures, 0.5), p99, p99 / base, 3.0].map(round));
    };
    let base = quantile(&alone, 0.99);
    row("alone", &alone, base);
    row("beside 10,000 idle, 200 slow and a stream of nonsense", &beside, base);
    let mib = |bytes: u64| round(bytes as f64 / f64::from(1 << 20));
    println!(
        "open files: {} before, {} after; memory: {} MiB before, {} with the crowd, {} after",
        before.0,
        bench.server.open_files()?,
        mib(before.1),
        mib(crowded_bytes),
        mib(bench.server.resident_bytes()?),
    );
    Ok(())
}

/// Milliseconds of every batch, sorted.
fn good(address: SocketAddr) -> io::Result<Vec<f64>> {
    let mut all = on_each(GOOD, |index| {
        let mut connection = Connection::open(address)?;
        let mut batches = Batches::new(index, 100, 1, a_month_ago());
        let (start, mut taken, mut frame) = (Instant::now(), Vec::new(), Vec::new());
        while start.elapsed() < TIME {
            frame.clear();
            batches.put(&mut frame);
            let begun = Instant::now();
            connection.send(&frame)?;
            stored(&connection.receive()?, 100)?;
            taken.push(begun.elapsed().as_secs_f64() * 1e3);
            thread::sleep(PAUSE);
        }
        Ok(taken)
    })?;
    all.sort_by(f64::total_cmp);
    Ok(all)
}

/// Connections that send a frame, a byte a second.
fn speak_slowly(address: SocketAddr, stop: &AtomicBool) -> io::Result<()> {
    let mut frame = Vec::new();
    Batches::new(0, 100, 1, a_month_ago()).put(&mut frame);
    let mut streams =
        (0..SLOW).map(|_| Connection::open(address)?.stream()).collect::<io::Result<Vec<_>>>()?;
    for byte in frame {
        for stream in &mut streams {
            // One that the server has given up is gone.
            drop(stream.write_all(&[byte]));
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// One connection after the other that shakes hands and then sends what is no frame.
fn speak_nonsense(address: SocketAddr, stop: &AtomicBool) -> io::Result<()> {
    let mut state = 1_u64;
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(address)?;
        let mut bytes = INTENTION.to_vec();
        bytes.extend((0..200).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        }));
        // The server may close before everything is written.
        drop(stream.write_all(&bytes));
        thread::sleep(NONSENSE_PAUSE);
    }
    Ok(())
}
