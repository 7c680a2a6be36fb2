//! Where a server is, and how long a client waits for it.

use std::fmt;
use std::time::Duration;

/// How long a client waits for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, name lookup and handshake included.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub answer: Duration,
}

impl Default for Timeouts {
    /// 5 s for a connection, 30 s for an answer.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(30) }
    }
}

/// Which server, and how to behave towards it.
///
/// ```
/// use sereno_client::Options;
///
/// let options = Options { token: Some("correct horse battery staple".into()), ..Options::new("localhost:5678") };
/// assert!(!format!("{options:?}").contains("horse"), "a token is not for logs");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// `host:port`.
    pub address: String,
    /// What the server's `token_file` has, if it wants one.
    pub token: Option<String>,
    /// Which program this is, for the server's log: `thermometer 1.2`. At most 255 bytes are sent.
    pub client: String,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try again while nobody listens at the address, with a pause that doubles from 250 ms to 4 s: a
    /// server that is starting gets a moment. Only for the first connection; what connects again by itself does so
    /// for as long as it says.
    pub retries: u32,
}

impl Options {
    /// A server at `host:port`, without a token; nothing is tried twice.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: None,
            client: concat!("sereno-client ", env!("CARGO_PKG_VERSION")).into(),
            timeouts: Timeouts::default(),
            retries: 0,
        }
    }
}

impl fmt::Debug for Options {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("client", &self.client)
            .field("timeouts", &self.timeouts)
            .field("retries", &self.retries)
            .finish()
    }
}
