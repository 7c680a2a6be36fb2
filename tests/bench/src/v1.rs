//! Protocol version 1: round trips on one connection and on four, and pipelined metrics.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::load;
use crate::process::Server;
use crate::servers;

type Load = fn(SocketAddr, usize, bool, Duration) -> io::Result<u64>;

/// Rounds per figure; the median is told.
const ROUNDS: usize = 5;

pub fn run(time: Duration) -> io::Result<()> {
    let folder = servers::folder("rules: []\n")?;
    let bare = Server::start(&["serve-bare"])?;
    let sereno = Server::start(&["serve-sereno", &folder.path().to_string_lossy()])?;
    println!(
        "{:<28} {:>12} {:>12} {:>7} {:>14} {:>14}",
        "", "bare/s", "sereno/s", "ratio", "bare CPU-s/M", "sereno CPU-s/M"
    );
    let loads: [(&str, usize, Load); 4] = [
        ("round trips, 1 connection", 1, load::round_trips),
        ("round trips, 4 connections", 4, load::round_trips),
        ("pipelined, 1 connection", 1, load::pipelined),
        ("pipelined, 4 connections", 4, load::pipelined),
    ];
    for (name, connections, load) in loads {
        // In turn, so that both see the same machine.
        let rounds: Vec<(Figure, Figure)> = (0..ROUNDS)
            .map(|_| {
                Ok((
                    measure(&bare, connections, false, time, load)?,
                    measure(&sereno, connections, true, time, load)?,
                ))
            })
            .collect::<io::Result<_>>()?;
        let median = |figure: fn(&(Figure, Figure)) -> f64| {
            let mut all: Vec<f64> = rounds.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all[ROUNDS / 2]
        };
        println!(
            "{name:<28} {:>12.0} {:>12.0} {:>7.2} {:>14.2} {:>14.2}",
            median(|(bare, _)| bare.rate),
            median(|(_, sereno)| sereno.rate),
            median(|(bare, sereno)| sereno.rate / bare.rate),
            median(|(bare, _)| bare.cpu_per_million),
            median(|(_, sereno)| sereno.cpu_per_million),
        );
    }
    Ok(())
}

struct Figure {
    rate: f64,
    cpu_per_million: f64,
}

fn measure(
    server: &Server,
    connections: usize,
    intention: bool,
    time: Duration,
    load: Load,
) -> io::Result<Figure> {
    let (cpu, start) = (server.cpu_secs()?, Instant::now());
    let count = load(server.address, connections, intention, time)? as f64;
    let elapsed = start.elapsed().as_secs_f64();
    Ok(Figure { rate: count / elapsed, cpu_per_million: (server.cpu_secs()? - cpu) / count * 1e6 })
}
