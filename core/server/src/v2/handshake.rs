//! How a connection begins: which version, which client, and whether it may.
//!
//! Not here: reading the first frame, and the time it may take (`session`).

use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sereno_model::Timestamp;
use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{Code, Error, Hello, Limits, Request, Welcome};
use sereno_protocol::v2::{MAJOR, MINOR};
use sereno_runtime::Disk;

/// The longest frame with a Hello; nobody is known before it.
pub(super) const HELLO_BYTES_MAX: usize = 16 * 1024;
/// The longest name that a client may give itself, in bytes.
const CLIENT_BYTES_MAX: usize = 255;
/// The shortest token, in bytes.
const TOKEN_BYTES_MIN: usize = 16;

/// Why a file with tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("failed to read the tokens of `server.token_file` from `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A token is easily guessed.
    #[error(
        "the token at {path}:{line} has fewer than {TOKEN_BYTES_MIN} characters; make one with `openssl rand -hex 32`"
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    /// Nobody could connect.
    #[error("`{path}` holds no token; put one on a line of its own, or leave `server.token_file` out")]
    None {
        /// The file.
        path: PathBuf,
    },
}

/// The tokens that open the server. Clones share them.
#[derive(Clone)]
pub(crate) struct Tokens(Option<Arc<File>>);

struct File {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    tokens: RwLock<Vec<String>>,
}

impl Tokens {
    /// Reads the file; without one, every client is welcome.
    pub(crate) fn open(path: Option<&Path>, disk: &Arc<dyn Disk>) -> Result<Self, TokenError> {
        let Some(path) = path else { return Ok(Self(None)) };
        let tokens = RwLock::new(read_tokens(&**disk, path)?);
        Ok(Self(Some(Arc::new(File { path: path.to_owned(), disk: disk.clone(), tokens }))))
    }

    /// Whether clients need one.
    pub(crate) fn are_asked_for(&self) -> bool {
        self.0.is_some()
    }

    /// Reads the file again; the old tokens stay if it cannot be used. Connections that are open stay open.
    pub(crate) fn reload(&self) -> Result<(), TokenError> {
        if let Some(file) = &self.0 {
            let tokens = read_tokens(&*file.disk, &file.path)?;
            *file.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
        }
        Ok(())
    }

    fn admit(&self, token: &str) -> bool {
        let Some(file) = &self.0 else { return true };
        let tokens = file.tokens.read().unwrap_or_else(PoisonError::into_inner);
        // All are compared, so that the time tells nothing of which one is near.
        tokens.iter().fold(false, |known, candidate| known | equal(candidate, token))
    }
}

/// Compares in a time that depends on the lengths alone.
fn equal(token: &str, candidate: &str) -> bool {
    let pairs = token.bytes().zip(candidate.bytes());
    let difference = pairs.fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    token.len() == candidate.len() && difference == 0
}

/// Whether a file of tokens can be used.
pub(crate) fn check_tokens(disk: &dyn Disk, path: &Path) -> Result<(), TokenError> {
    read_tokens(disk, path).map(drop)
}

/// One token per line; empty lines and those that begin with `#` do not count.
fn read_tokens(disk: &dyn Disk, path: &Path) -> Result<Vec<String>, TokenError> {
    let failed = |source| TokenError::Read { path: path.to_owned(), source };
    let bytes = disk.read(path).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| failed(io::Error::other(error)))?;
    let lines = text.lines().map(str::trim).enumerate();
    let mut tokens = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        if line.len() < TOKEN_BYTES_MIN {
            return Err(TokenError::Short { path: path.to_owned(), line: index + 1 });
        }
        tokens.push(line.to_owned());
    }
    if tokens.is_empty() {
        return Err(TokenError::None { path: path.to_owned() });
    }
    Ok(tokens)
}

/// Who has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guest {
    /// Which program it is, for logs.
    pub client: String,
    /// Zero if it does not number its batches.
    pub client_id: u64,
}

/// Looks at the first request. A refusal ends the connection.
pub(super) fn receive(request: Request, tokens: &Tokens) -> Result<Guest, Box<Error>> {
    let Some(Body::Hello(hello)) = request.body else {
        return Err(refused(Code::Malformed, "a connection begins with a Hello", ""));
    };
    let Hello { major, client, token, client_id, .. } = hello;
    if major != MAJOR {
        let message = format!("this server does not speak version {major}.x; it speaks {MAJOR}.{MINOR}");
        let hint = "use a client of the same major version as the server";
        return Err(refused(Code::Unsupported, message, hint));
    }
    if request.id == 0 {
        return Err(refused(Code::Malformed, "a request has the id 0", ""));
    }
    if client.len() > CLIENT_BYTES_MAX {
        let message = format!("the client's name has more than {CLIENT_BYTES_MAX} bytes");
        return Err(refused(Code::Invalid, message, ""));
    }
    if !tokens.admit(&token) {
        let message = if token.is_empty() { "this server asks for a token" } else { "the token is wrong" };
        let hint = "give one of the tokens in the file that the server's `server.token_file` names";
        return Err(refused(Code::Unauthenticated, message, hint));
    }
    Ok(Guest { client, client_id })
}

fn refused(code: Code, message: impl Into<String>, hint: &str) -> Box<Error> {
    let error = Error { code: code.into(), message: message.into(), hint: hint.into(), ..Error::default() };
    Box::new(error)
}

/// The answer to a Hello.
pub(super) fn welcome(limits: Limits, now: Timestamp) -> Welcome {
    Welcome {
        major: MAJOR,
        minor: MINOR,
        server: concat!("serenod ", env!("CARGO_PKG_VERSION")).into(),
        features: Vec::new(),
        time: now.nanos(),
        limits: Some(limits),
    }
}

#[cfg(test)]
mod tests {
    use sereno_runtime::SimDisk;

    use super::*;

    fn tokens(text: &str) -> Result<(Tokens, SimDisk), TokenError> {
        let disk = SimDisk::new();
        disk.write_file("/tokens", text.as_bytes());
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        Ok((Tokens::open(Some(Path::new("/tokens")), &shared)?, disk))
    }

    fn hello(change: impl FnOnce(&mut Hello)) -> Request {
        let mut hello = Hello { major: 2, client: "test".into(), ..Hello::default() };
        change(&mut hello);
        Request { id: 1, body: Some(Body::Hello(hello)) }
    }

    fn code(request: Request, tokens: &Tokens) -> Option<Code> {
        receive(request, tokens).err().map(|error| error.code())
    }

    #[test]
    fn only_known_tokens_open_the_server() {
        let (tokens, disk) =
            tokens("# ours\n\n  aaaaaaaaaaaaaaaa \nbbbbbbbbbbbbbbbbb\n").expect("they are good");
        let with = |token: &str| code(hello(|hello| hello.token = token.into()), &tokens);
        assert_eq!(with("aaaaaaaaaaaaaaaa"), None);
        assert_eq!(with("bbbbbbbbbbbbbbbbb"), None);
        for wrong in ["", "aaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaab", "# ours", "aaaaaaaaaaaaaaab"] {
            assert_eq!(with(wrong), Some(Code::Unauthenticated), "{wrong}");
        }
        disk.write_file("/tokens", b"short");
        tokens.reload().expect_err("the old ones stay");
        assert_eq!(with("aaaaaaaaaaaaaaaa"), None);
        disk.write_file("/tokens", b"cccccccccccccccc");
        tokens.reload().expect("they are good");
        assert_eq!((with("cccccccccccccccc"), with("aaaaaaaaaaaaaaaa")), (None, Some(Code::Unauthenticated)));
    }

    #[test]
    fn a_file_that_protects_nothing_is_refused() {
        let told = |text: &str| tokens(text).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told("# none\n").contains("holds no token"));
        assert!(told("# one\nshort\n").contains("/tokens:2"), "{}", told("# one\nshort\n"));
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        assert!(matches!(Tokens::open(Some(Path::new("/none")), &disk), Err(TokenError::Read { .. })));
    }

    #[test]
    fn the_first_request_must_be_a_hello_of_this_version() {
        let open = Tokens(None);
        assert_eq!(code(hello(|hello| hello.minor = 99), &open), None, "a newer minor version is welcome");
        assert_eq!(code(hello(|hello| hello.token = "any".into()), &open), None);
        for major in [0, 1, 3] {
            assert_eq!(code(hello(|hello| hello.major = major), &open), Some(Code::Unsupported));
        }
        assert_eq!(code(hello(|hello| hello.client = "x".repeat(256)), &open), Some(Code::Invalid));
        assert_eq!(code(Request { id: 1, body: None }, &open), Some(Code::Malformed));
        assert_eq!(code(Request { id: 0, ..hello(|_| {}) }, &open), Some(Code::Malformed));
    }
}
