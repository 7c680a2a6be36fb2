//! A server in a folder of its own, and the command line in front of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use sereno_cli::{Console, Exit, run_in};
use sereno_model::Timestamp;
use sereno_runtime::{Clock, ManualClock, RealDisk, Shutdown, SystemClock};
use sereno_server::{Config, Loaded, Server};
use tokio::runtime::Runtime;

/// A server on a free port. It stops when it is dropped.
pub(crate) struct Site {
    pub(crate) address: String,
    pub(crate) folder: tempfile::TempDir,
    clock: Arc<dyn Clock>,
    config: Config,
    server: Option<Server>,
    runtime: Runtime,
}

impl Site {
    pub(crate) fn start() -> Self {
        Self::with(|_, _| {})
    }

    /// A server whose clock stands still, as does that of the commands.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self::at_with(now, |_, _| {})
    }

    /// The same with a configuration that was changed.
    pub(crate) fn at_with(now: Timestamp, change: impl FnOnce(&mut Config, &Path)) -> Self {
        Self::on(Arc::new(ManualClock::new(now)), change)
    }

    /// A server whose configuration was changed; the path is that of its folder.
    pub(crate) fn with(change: impl FnOnce(&mut Config, &Path)) -> Self {
        Self::on(Arc::new(SystemClock::new()), change)
    }

    fn on(clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.server.listen.set_port(0);
        config.storage.directory = folder.path().join("data");
        config.rules.paths = Vec::new();
        config.rules.scripts = Vec::new();
        change(&mut config, folder.path());
        let runtime = Runtime::new().expect("a runtime");
        let server = start(&runtime, &config, &clock);
        let address = server.address();
        config.server.listen = address;
        Self { address: address.to_string(), folder, clock, config, server: Some(server), runtime }
    }

    /// A server that asks for one of these tokens.
    #[expect(clippy::disallowed_methods, reason = "the server reads a real file")]
    pub(crate) fn with_tokens(tokens: &str) -> Self {
        Self::with(|config, folder| {
            std::fs::write(folder.join("tokens"), tokens).expect("written");
            config.server.token_file = Some(folder.join("tokens"));
        })
    }

    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop(Shutdown::default()));
        }
    }

    /// Stops the server, and starts it again at the same address.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.server = Some(start(&self.runtime, &self.config, &self.clock));
    }

    /// Writes a file beside the store.
    #[expect(clippy::disallowed_methods, reason = "the commands read real files")]
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Runs a command line against this server. Words are divided at blanks.
    pub(crate) fn run(&self, args: &str) -> Done {
        let args: Vec<&str> = args.split(' ').filter(|arg| !arg.is_empty()).collect();
        self.run_words(&args)
    }

    pub(crate) fn run_words(&self, args: &[&str]) -> Done {
        self.run_as(&Caller::default(), args)
    }

    /// Runs a command line on a terminal.
    pub(crate) fn run_on_terminal(&self, args: &str) -> Done {
        let caller = Caller { is_tty: true, ..Caller::default() };
        self.run_as(&caller, &args.split(' ').collect::<Vec<_>>())
    }

    fn run_as(&self, caller: &Caller, args: &[&str]) -> Done {
        let args = [&["--server", self.address.as_str()], args].concat();
        let done = caller.run_at(&args, &*self.clock);
        let folder = self.folder.path().display().to_string();
        Done {
            out: done.out.replace(&self.address, "SERVER"),
            err: done.err.replace(&self.address, "SERVER").replace(&folder, "FOLDER"),
            ..done
        }
    }

    /// The values of a metric, as a query gives them, one series after the other.
    pub(crate) fn values(&self, metric: &str) -> String {
        let done = self.run_words(&["query", metric, "mean", "0"]);
        if done.exit == Exit::Negative {
            return String::new();
        }
        assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""));
        done.out.lines().filter_map(|line| line.rsplit('\t').next()).collect::<Vec<_>>().join(" ")
    }

    /// The executable, sending what it reads.
    pub(crate) fn executable(&self, args: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sereno"));
        command.args(["--server", &self.address]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the executable starts")
    }
}

fn start(runtime: &Runtime, config: &Config, clock: &Arc<dyn Clock>) -> Server {
    let config = config.clone();
    let loaded = Loaded { config, inputs: Vec::new(), sinks: Vec::new(), notification_log: None };
    let started = runtime.block_on(Server::start(loaded, Arc::new(RealDisk), Arc::clone(clock)));
    started.expect("the server starts")
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Who runs a command: a terminal or none, and an environment.
#[derive(Default)]
pub(crate) struct Caller {
    pub(crate) is_tty: bool,
    pub(crate) environment: BTreeMap<&'static str, String>,
}

impl Caller {
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.run_at(args, &SystemClock::new())
    }

    fn run_at(&self, args: &[&str], clock: &dyn Clock) -> Done {
        let (out, err) = (Text::default(), Text::default());
        let console = Console { out: Box::new(out.clone()), err: Box::new(err.clone()), ..self.console() };
        let args = ["sereno"].iter().chain(args).map(Into::into);
        let exit = run_in(args, console, clock, &|name| self.environment.get(name).cloned());
        Done { exit, out: out.read(), err: err.read() }
    }
}

impl Caller {
    /// A console that nobody reads.
    pub(crate) fn console(&self) -> Console {
        Console {
            out: Box::new(io::sink()),
            err: Box::new(io::sink()),
            out_is_tty: self.is_tty,
            // A progress bar would draw on the terminal of whoever runs the tests.
            err_is_tty: false,
            color: self.is_tty,
            width: 100,
            height: 24,
            utf8: true,
        }
    }
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// All of it, without the blanks at the ends of lines, which tables have and editors remove.
    pub(crate) fn told(&self) -> String {
        let text = format!("{:?}\n--- out\n{}--- err\n{}", self.exit, self.out, self.err);
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    /// As [`Done::told`], without how long it took.
    pub(crate) fn told_timeless(&self) -> String {
        let timeless = |line: &str| match line.split_once(" s, ") {
            Some((start, _)) if start.contains(" stored") => {
                let kept = start.rsplit_once("; ").map_or(start, |(kept, _)| kept);
                format!("{kept}; …")
            }
            _ => line.to_owned(),
        };
        self.told().lines().map(timeless).collect::<Vec<_>>().join("\n")
    }
}

/// A stream that a test reads afterwards.
#[derive(Clone, Default)]
struct Text(Rc<RefCell<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Text {
    fn read(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("UTF-8")
    }
}
