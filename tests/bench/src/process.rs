//! A server in a process of its own.

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts this program again with other words; the first line it prints is its address.
    pub fn start(words: &[&str]) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program).args(words).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no stdout"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().map_err(|_| io::Error::other("the server did not start"))?;
        Ok(Self { child, address })
    }

    /// User and system CPU seconds that the process has used so far.
    pub fn cpu_secs(&self) -> io::Result<f64> {
        cpu_secs(&self.child.id().to_string())
    }

    /// Waits until the process has used next to no CPU for `time`, a minute at most.
    pub fn wait_idle(&self, time: Duration) -> io::Result<()> {
        for _ in 0..60 {
            let before = self.cpu_secs()?;
            std::thread::sleep(time);
            if self.cpu_secs()? - before <= 0.03 * time.as_secs_f64() {
                return Ok(());
            }
        }
        Err(io::Error::other("the server does not come to rest"))
    }

    /// Bytes of memory that the process holds.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.map(|count| count * 1_024).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }
}

/// User and system CPU seconds that a process has used so far; it is named by its number, or `self`.
pub fn cpu_secs(process: &str) -> io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold spaces; the fields after it do not. utime and stime are the 14th and 15th of all.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    // Linux tells 100 ticks a second on every architecture that we build for.
    Ok((ticks(11) + ticks(12)) / 100.0)
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
