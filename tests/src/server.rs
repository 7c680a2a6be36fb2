//! The real server in a folder of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::until;

/// The folder of a server: configuration, rules, scripts, data.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with these files beside the configuration, to which `extra` is added.
    ///
    /// # Panics
    /// The files cannot be written.
    #[must_use]
    pub fn new(files: &[(&str, &str)], extra: &str) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for name in ["rules", "scripts/aggregations", "scripts/rules"] {
            fs::create_dir_all(folder.path(name)).expect("a folder");
        }
        let config = format!(
            "server: {{ listen: 127.0.0.1:0 }}\nstorage: {{ directory: data }}\nplugins: {{ inputs: {{}} }}\n\
             rules: {{ paths: [rules], scripts: [scripts] }}\nlog: {{ format: json }}\n{extra}"
        );
        folder.write("server.yaml", &config);
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    /// The same with another section `storage`.
    ///
    /// # Panics
    /// The configuration cannot be read or written.
    #[must_use]
    pub fn with_storage(self, section: &str) -> Self {
        self.set_storage(section);
        self
    }

    /// The same with another section `server`.
    ///
    /// # Panics
    /// The configuration cannot be read or written.
    #[must_use]
    pub fn with_server(self, section: &str) -> Self {
        self.set_section("server", section);
        self
    }

    /// Has the next start find another section `storage`.
    ///
    /// # Panics
    /// The configuration cannot be read or written.
    pub fn set_storage(&self, section: &str) {
        self.set_section("storage", section);
    }

    fn set_section(&self, name: &str, section: &str) {
        let config = fs::read_to_string(self.path("server.yaml")).expect("a file");
        let start = format!("{name}:");
        let line = |line: &str| match line.starts_with(&start) {
            true => format!("{name}: {section}\n"),
            false => format!("{line}\n"),
        };
        self.write("server.yaml", &config.lines().map(line).collect::<String>());
    }

    /// The path of something in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Starts the server in it and waits until it is ready.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(&self) -> Server {
        let mut server = self.launch();
        server.wait_ready();
        server
    }

    /// Starts the server in it and does not wait.
    ///
    /// # Panics
    /// There is no such executable.
    #[must_use]
    pub fn launch(&self) -> Server {
        let mut child = Command::new(executable("serenod"))
            .arg("--config")
            .arg(self.path("server.yaml"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("serenod starts");
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, stderr) = (log.clone(), child.stderr.take().expect("a pipe"));
        // It ends with the server, whose end closes the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Server { child, log, address: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }
}

/// So much of the log is told when a test fails.
const TOLD_MAX: usize = 40;

fn address(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    (line["message"] == "Ready.").then(|| line["address"].as_str()?.parse().ok())?
}

/// An executable of this workspace.
///
/// # Panics
/// It has not been built.
#[must_use]
pub fn executable(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.ancestors().find(|path| path.join(name).is_file()).map(Path::to_owned);
    profile.unwrap_or_else(|| panic!("`{name}` is not built; run `cargo build -p sereno` first")).join(name)
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// Where it listens, once it is ready.
    pub address: SocketAddr,
}

impl Server {
    /// Waits until it is ready.
    ///
    /// # Panics
    /// It ends before it is.
    pub fn wait_ready(&mut self) {
        self.address = until("the server to be ready", || {
            let ended = self.child.try_wait().expect("a process");
            assert!(ended.is_none(), "the server ended: {:#?}", self.log());
            self.log().iter().find_map(|line| address(line))
        });
    }

    /// How many lines of its log have this text.
    #[must_use]
    pub fn count_in_log(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is still running.
    ///
    /// # Panics
    /// Nobody knows.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_none()
    }

    /// How much memory it has in the machine now, and had at most, in bytes.
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let find = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a running process");
            let kib: u64 = line.trim_end_matches("kB").trim().parse().expect("a number");
            kib << 10
        };
        (find("VmRSS:"), find("VmHWM:"))
    }

    /// How many sockets it has open.
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("a process");
        let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill").success(), "kill -{name}");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        until("the server to end", || self.child.try_wait().expect("a process"))
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Panics
    /// It cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("a process");
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "tests talk to whoever runs them")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("the server's last words: {:#?}", &log[log.len().saturating_sub(TOLD_MAX)..]);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
