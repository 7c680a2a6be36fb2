//! What this process uses, as Linux tells it.

use std::collections::BTreeMap;
use std::io;

/// User and system CPU seconds of the process, threads that have ended included; known to 10 ms.
pub fn process_cpu_secs() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name may hold spaces; the fields after it do not. utime and stime are the 14th and 15th of all.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let both =
        ticks(11).zip(ticks(12)).ok_or_else(|| io::Error::other("/proc/self/stat is not understood"))?;
    Ok((both.0 + both.1) / 100.0)
}

/// CPU seconds of the calling thread, to the nanosecond.
pub fn thread_cpu_secs() -> io::Result<f64> {
    schedule("/proc/thread-self/schedstat")
}

/// CPU seconds of the living threads by name, to the nanosecond.
pub fn cpu_secs_by_thread() -> io::Result<BTreeMap<String, f64>> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        // A thread may end meanwhile.
        let Ok(name) = std::fs::read_to_string(task.join("comm")) else { continue };
        let Ok(secs) = schedule(&task.join("schedstat").to_string_lossy()) else { continue };
        *threads.entry(name.trim().to_owned()).or_default() += secs;
    }
    Ok(threads)
}

fn schedule(path: &str) -> io::Result<f64> {
    let text = std::fs::read_to_string(path)?;
    let nanos = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    nanos.map(|nanos| nanos / 1e9).ok_or_else(|| io::Error::other(format!("`{path}` is not understood")))
}

/// Resident memory now, in bytes.
pub fn resident_bytes() -> io::Result<f64> {
    status("VmRSS:")
}

/// The most there was.
pub fn resident_bytes_peak() -> io::Result<f64> {
    status("VmHWM:")
}

fn status(field: &str) -> io::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).ok_or_else(|| io::Error::other(format!("no {field} in /proc/self/status")))
}

/// The middle one of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
