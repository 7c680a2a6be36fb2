//! The terminal while `sereno top` has it: raw, on a screen of its own. It is given back when the [`Screen`] is dropped,
//! and before the message of a panic.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use ratatui::{DefaultTerminal, Frame};
use sereno_runtime::threads;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::{Exit, Failure};

/// How soon the thread that reads keys notices that nobody wants them.
const PATIENCE: Duration = Duration::from_millis(100);
/// Keys that wait.
const WAITING: usize = 16;

pub(super) struct Screen {
    terminal: DefaultTerminal,
    inputs: mpsc::Receiver<Event>,
    reader: Option<JoinHandle<()>>,
}

impl Screen {
    pub(super) fn open() -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Exit::Negative, "failed to take the terminal")
                .cause(error.to_string())
                .hint("`sereno top --once` needs none")
        };
        let (keys, inputs) = mpsc::channel(WAITING);
        let terminal = ratatui::try_init().map_err(|error| {
            // It may have got half way.
            drop(ratatui::try_restore());
            failed(error)
        })?;
        let mut screen = Self { terminal, inputs, reader: None };
        let reader = threads::spawn("keys", threads::STACK_BYTES, move || read(&keys));
        screen.reader = Some(reader.map_err(failed)?);
        Ok(screen)
    }

    pub(super) fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(render).map(drop)
    }

    /// The next key, or that the size has changed; `None` when the terminal is gone. Cancel safe.
    pub(super) async fn input(&mut self) -> Option<Event> {
        self.inputs.recv().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.inputs.close();
        if let Some(reader) = self.reader.take() {
            // It has no state that a panic could have broken.
            drop(reader.join());
        }
        // A panic has given it back already; a second time would put the cursor into the middle of its message.
        if !std::thread::panicking() {
            // If it cannot be given back, nobody is left to be told.
            drop(ratatui::try_restore());
        }
    }
}

/// Passes inputs on until nobody wants them.
fn read(keys: &mpsc::Sender<Event>) {
    while !keys.is_closed() {
        match event::poll(PATIENCE) {
            Ok(false) => {}
            Ok(true) => match event::read().map(|input| keys.blocking_send(input)) {
                Ok(Ok(())) => {}
                _ => return,
            },
            Err(_) => return,
        }
    }
}

/// The signals that end a program, so that it can give the terminal back before.
pub(super) struct Signals([Signal; 4]);

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::of(Exit::Negative, &error).hint("`sereno top --once` needs no signals")
        };
        let [terminate, interrupt, hangup, quit] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()]
                .map(|kind| signal(kind).map_err(failed));
        Ok(Self([terminate?, interrupt?, hangup?, quit?]))
    }

    /// Cancel safe.
    pub(super) async fn next(&mut self) {
        let [terminate, interrupt, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}
