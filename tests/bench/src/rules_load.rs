//! How long it takes to load rules, and from the save of a file until its rules are active.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sereno_rules::{Config, Context, Reload, Rules};
use sereno_runtime::{Metrics, Queue, RealDisk, SystemClock};
use sereno_script::Limits;
use sereno_storage::Store;

const SAVES: usize = 20;
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Measures with the rules in a few large files, and in a thousand small ones.
pub fn run() -> io::Result<()> {
    for (files, rules) in [(10, 10_000), (1_000, 10_000), (1_000, 1_000)] {
        measure(files, rules)?;
    }
    Ok(())
}

fn measure(files: usize, count: usize) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let each = count / files;
    let rules = folder.path().join("rules");
    fs::create_dir_all(&rules)?;
    for file in 0..files {
        write(&rules, file, each, 0)?;
    }
    let config = Config {
        paths: vec![rules.clone()],
        scripts: Vec::new(),
        reload: Reload { debounce: DEBOUNCE, ..Reload::default() },
        ..Config::default()
    };
    let started = Instant::now();
    let running = start(&config, folder.path())?;
    let took = started.elapsed();
    let generation = running.generation();
    assert_eq!((generation.rules.len(), generation.diagnostics.len()), (count, 0));
    println!("{count} rules in {files} files: {took:.0?} until they are loaded");
    let (mut times, mut works) = (Vec::new(), Vec::new());
    for save in 1..=SAVES {
        // The folder of stored generations is synced after each change; let that end.
        while running.history().first().is_none_or(|newest| newest.number != running.generation().number) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(300));
        let before = running.generation().number;
        let saved = Instant::now();
        write(&rules, save % files, each, save)?;
        while running.generation().number == before {
            std::thread::sleep(Duration::from_micros(200));
        }
        times.push(saved.elapsed().saturating_sub(DEBOUNCE));
        while running.diagnostics().generation.number == before {
            std::thread::sleep(Duration::from_millis(1));
        }
        works.push(running.diagnostics().duration);
    }
    times.sort_unstable();
    works.sort_unstable();
    println!(
        "  save of one file until it is active, beyond the rest of {DEBOUNCE:?}: median {:.1?}, worst {:.1?}; \
         of that, after the first look at all files: {:.1?}",
        times[SAVES / 2],
        times[SAVES - 1],
        works[SAVES / 2]
    );
    let late = running.stop(Duration::from_secs(10));
    assert!(late.is_empty(), "{late:?}");
    Ok(())
}

fn start(config: &Config, folder: &Path) -> io::Result<Rules> {
    let (clock, metrics) = (Arc::new(SystemClock::new()), Metrics::default());
    let storage = sereno_storage::Config { directory: folder.join("data"), ..Default::default() };
    let store =
        Store::open(&storage, Arc::new(RealDisk), clock.clone(), &metrics).map_err(io::Error::other)?;
    let context = Context {
        store,
        clock,
        disk: Arc::new(RealDisk),
        notifications: Queue::bounded("notification_messages", 10_000, &metrics),
        metrics,
        confirmations: sereno_model::Confirmations::default(),
        limits: Limits::default(),
        directory: Some(folder.join("data/rules")),
    };
    Rules::start(config, context).map_err(io::Error::other)
}

/// Writes one of the files; a save is a new limit in its first rule.
fn write(folder: &Path, file: usize, each: usize, save: usize) -> io::Result<()> {
    let mut text = String::from("rules:\n");
    for index in file * each..(file + 1) * each {
        let limit = if index == file * each { save } else { 80 };
        writeln!(text, "  - id: r{index}\n    metric: cpu.load{index}\n    by: [host]")
            .map_err(io::Error::other)?;
        writeln!(text, "    agg: p95\n    window: 2h\n    every: 1h\n    limit: {limit}")
            .map_err(io::Error::other)?;
        writeln!(text, "    message: \"${{labels.host}}: ${{v}}\"").map_err(io::Error::other)?;
    }
    let beside = folder.join(format!("{file}.new~"));
    fs::write(&beside, text)?;
    fs::rename(beside, folder.join(format!("{file}.yaml")))
}
