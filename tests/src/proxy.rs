//! A bad line between a client and its server: it forwards bytes, cuts a connection after so many of them, and holds
//! answers back until it is told.
//!
//! What goes through before a cut is exact; what is under way in the kernel then may be lost or not, as on any line.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Where to cut a connection: after so many bytes to the server, or from it. `None`: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Bytes to the server.
    pub up: Option<u64>,
    /// Bytes to the client.
    pub down: Option<u64>,
}

impl Cut {
    /// No cut.
    pub const NEVER: Self = Self { up: None, down: None };
}

/// A line that can be cut.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    server: SocketAddr,
    held: bool,
    stopped: bool,
    connections: usize,
    cuts: usize,
    lines: Vec<TcpStream>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while_held(&self) {
        let state = self.lock();
        drop(self.changed.wait_while(state, |state| state.held && !state.stopped));
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        write!(f, "{} connections, {} cuts", state.connections, state.cuts)
    }
}

impl Proxy {
    /// A line to `server` that is cut as `plan` says for each connection, which are counted from 0.
    ///
    /// # Panics
    /// There is no port.
    #[must_use]
    pub fn new(server: SocketAddr, mut plan: impl FnMut(usize) -> Cut + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = State { server, held: false, stopped: false, connections: 0, cuts: 0, lines: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        // It ends when the proxy is dropped, which connects once more.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = accepting.lock();
                if state.stopped {
                    return;
                }
                let cut = plan(state.connections);
                state.connections += 1;
                // A server that is gone shows to the client as a line that ends at once.
                let Ok(server) = TcpStream::connect(state.server) else { continue };
                state.lines.extend([&client, &server].map(|line| line.try_clone().expect("a descriptor")));
                drop(state);
                join(client, server, cut, &accepting);
            }
        });
        Self { address, shared }
    }

    /// Sends later connections to another server.
    pub fn set_server(&self, server: SocketAddr) {
        self.shared.lock().server = server;
    }

    /// Holds back what comes from the server from now on, or lets it go.
    pub fn hold_answers(&self, held: bool) {
        self.shared.lock().held = held;
        self.shared.changed.notify_all();
    }

    /// Cuts all connections. Answers that are held back never come.
    pub fn cut_all(&self) {
        let mut state = self.shared.lock();
        state.cuts += 1;
        for line in state.lines.drain(..) {
            drop(line.shutdown(Shutdown::Both));
        }
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// How often it cut.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.shared.lock().cuts
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut_all();
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        drop(TcpStream::connect(self.address));
    }
}

fn join(client: TcpStream, server: TcpStream, cut: Cut, shared: &Arc<Shared>) {
    for line in [&client, &server] {
        // Frames go as they come, small ones too.
        drop(line.set_nodelay(true));
    }
    let ends = [&client, &server].map(|line| line.try_clone().expect("a descriptor"));
    let [client_again, server_again] = ends;
    let (up, down) = (Arc::clone(shared), Arc::clone(shared));
    thread::spawn(move || carry(client, server, cut.up, false, &up));
    thread::spawn(move || carry(server_again, client_again, cut.down, true, &down));
}

fn carry(mut from: TcpStream, mut to: TcpStream, cut: Option<u64>, is_down: bool, shared: &Shared) {
    let mut left = cut.unwrap_or(u64::MAX);
    let mut bytes = [0; 4096];
    while left > 0 {
        let most = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let read = from.read(&mut bytes[..most]);
        if is_down {
            shared.wait_while_held();
        }
        match read {
            Ok(0) => {
                drop(to.shutdown(Shutdown::Write));
                return;
            }
            Ok(count) if to.write_all(&bytes[..count]).is_ok() => left -= count as u64,
            _ => break,
        }
    }
    shared.lock().cuts += usize::from(left == 0);
    for line in [&from, &to] {
        drop(line.shutdown(Shutdown::Both));
    }
}
