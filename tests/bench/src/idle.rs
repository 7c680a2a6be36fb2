//! What a server uses that has rules and nothing else to do.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use crate::process::Server;
use crate::servers;

pub fn run(time: Duration) -> io::Result<()> {
    let mut rules = String::from("rules:\n");
    for index in 0..1_000 {
        writeln!(rules, "  - {{ id: r{index}, metric: m{index}, agg: mean, window: 10s, limit: 10 }}")
            .map_err(io::Error::other)?;
    }
    let folder = servers::folder(&rules)?;
    let server = Server::start(&["serve-sereno", &folder.path().to_string_lossy()])?;
    // The load of the rules is not idle time.
    std::thread::sleep(Duration::from_secs(2));
    let (cpu, start) = (server.cpu_secs()?, Instant::now());
    std::thread::sleep(time);
    let share = (server.cpu_secs()? - cpu) / start.elapsed().as_secs_f64();
    println!("1,000 rules every 10 s, no samples, {time:?}: {:.2} % of one core", share * 100.0);
    Ok(())
}
