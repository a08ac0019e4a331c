//! The exec channel: how a workstation runs commands in a node that is a virtual machine.
//!
//! The channel is one byte stream that survives its users: what an earlier client left in it may still come out
//! when the next one has connected. So a client begins with a preamble, [`MAGIC`] and eight bytes of its own, and
//! the service answers with the same sixteen; both throw away all that came before. After it come frames:
//!
//! ```text
//! kind: u8 | more: u8 (0 or 1) | length: u32, little-endian, at most MAX_PIECE | length bytes
//! ```
//!
//! A message is the pieces of one kind up to the first whose `more` is 0. The encoder cuts pieces so that the magic
//! never stands in the stream by accident; hence a service that sees it, even in the middle of a frame, knows that
//! a new client has come.

mod decoder;

pub use decoder::{Arrival, GuestDecoder, HostDecoder};

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// How a client begins. It holds the protocol's version, 1.
pub const MAGIC: [u8; 8] = *b"BRANTEX1";
/// Names of the guest's ports begin with this; a number follows.
pub const PORT_PREFIX: &str = "brant.exec.";
/// The longest payload of one frame.
pub const MAX_PIECE: usize = 32 << 10;
/// The longest message, all pieces together.
pub const MAX_MESSAGE: usize = 1 << 20;

const HEADER: usize = 6;

/// The sixteen bytes that a client with this nonce sends, and the service answers.
pub fn preamble(nonce: [u8; 8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..].copy_from_slice(&nonce);
    bytes
}

/// Rows and columns of the client's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines of text.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// What to run, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// The program and its arguments; none means the user's login shell.
    pub arguments: Vec<OsString>,
    /// Variables added to those of a login.
    pub environment: Vec<(OsString, OsString)>,
    /// Whose process it is, by name or number; empty means root.
    pub user: String,
    /// The working folder; empty means the user's home.
    pub folder: OsString,
    /// The size of its terminal, or none for three plain streams.
    pub terminal: Option<TerminalSize>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Exited(u8),
    /// This signal ended it.
    Killed(u8),
}

impl Ending {
    /// The exit status that a shell would show.
    pub fn status(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Killed(signal) => 128_u8.saturating_add(signal),
        }
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToGuest {
    /// Begin the one session of this connection.
    Start(Start),
    /// Bytes for its standard input, or typed at its terminal.
    Input(Vec<u8>),
    /// Its standard input ends here.
    InputEnds,
    /// The client's terminal has a new size.
    Resize(TerminalSize),
}

/// What the service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToHost {
    /// The session runs, with this process id.
    Started(u32),
    /// Bytes of its standard output, or all that its terminal shows.
    Output(Vec<u8>),
    /// Bytes of its standard error.
    Error(Vec<u8>),
    /// It has ended, and all its output is sent.
    Ended(Ending),
    /// It was never started; nothing ran. The status is the one a shell would show.
    Refused {
        /// 127 for a program that is not there, else 126.
        status: u8,
        /// Why, for people.
        reason: String,
    },
}

/// Why the other side cannot be understood. The connection is of no more use; a new preamble begins a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame of a kind that does not exist.
    #[error("frame of unknown kind {0}")]
    Kind(u8),
    /// A frame or message longer than allowed.
    #[error("frame or message of {0} bytes is too long")]
    Length(usize),
    /// A message whose bytes do not mean anything.
    #[error("malformed frame of kind {0}")]
    Malformed(u8),
}

/// A message of one direction. Kinds stay below 32, so that no header can take part in an accidental magic.
pub trait Message: Sized {
    /// Its kind and its bytes.
    fn to_parts(&self) -> (u8, Vec<u8>);
    /// The message of this kind with these bytes.
    ///
    /// # Errors
    /// [`FrameError::Kind`] or [`FrameError::Malformed`].
    fn from_parts(kind: u8, body: &[u8]) -> Result<Self, FrameError>;
    /// Appends the message's frames to a buffer.
    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, body) = self.to_parts();
        let mut rest = &body[..];
        loop {
            let (piece, after) = rest.split_at(piece_length(rest));
            out.extend_from_slice(&[kind, u8::from(!after.is_empty())]);
            out.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(piece);
            if after.is_empty() {
                return;
            }
            rest = after;
        }
    }
}

/// As much as one frame may hold: up to the first magic's first byte, so that a header comes to stand inside it.
fn piece_length(body: &[u8]) -> usize {
    let longest = &body[..body.len().min(MAX_PIECE)];
    longest.windows(MAGIC.len()).position(|window| window == MAGIC).map_or(longest.len(), |at| at + 1)
}

impl Message for ToGuest {
    fn to_parts(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Start(start) => (1, start.to_bytes()),
            Self::Input(bytes) => (2, bytes.clone()),
            Self::InputEnds => (3, Vec::new()),
            Self::Resize(size) => (4, size.to_bytes().to_vec()),
        }
    }

    fn from_parts(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        let malformed = FrameError::Malformed(kind);
        match kind {
            1 => Start::from_bytes(body).map(Self::Start).ok_or(malformed),
            2 => Ok(Self::Input(body.to_vec())),
            3 if body.is_empty() => Ok(Self::InputEnds),
            4 => body
                .try_into()
                .map(|size| Self::Resize(TerminalSize::from_bytes(size)))
                .map_err(|_| malformed),
            3 => Err(malformed),
            _ => Err(FrameError::Kind(kind)),
        }
    }
}

impl Message for ToHost {
    fn to_parts(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Started(pid) => (16, pid.to_le_bytes().to_vec()),
            Self::Output(bytes) => (17, bytes.clone()),
            Self::Error(bytes) => (18, bytes.clone()),
            Self::Ended(Ending::Exited(status)) => (19, vec![0, *status]),
            Self::Ended(Ending::Killed(signal)) => (19, vec![1, *signal]),
            Self::Refused { status, reason } => (20, [&[*status], reason.as_bytes()].concat()),
        }
    }

    fn from_parts(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        let malformed = FrameError::Malformed(kind);
        match (kind, body) {
            (16, _) => {
                body.try_into().map(|pid| Self::Started(u32::from_le_bytes(pid))).map_err(|_| malformed)
            }
            (17, _) => Ok(Self::Output(body.to_vec())),
            (18, _) => Ok(Self::Error(body.to_vec())),
            (19, [0, status]) => Ok(Self::Ended(Ending::Exited(*status))),
            (19, [1, signal]) => Ok(Self::Ended(Ending::Killed(*signal))),
            (20, [status, reason @ ..]) => {
                Ok(Self::Refused { status: *status, reason: String::from_utf8_lossy(reason).into_owned() })
            }
            (19 | 20, _) => Err(malformed),
            _ => Err(FrameError::Kind(kind)),
        }
    }
}

impl TerminalSize {
    fn to_bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.rows.to_le_bytes(), self.columns.to_le_bytes());
        [a, b, c, d]
    }

    fn from_bytes([a, b, c, d]: [u8; 4]) -> Self {
        Self { rows: u16::from_le_bytes([a, b]), columns: u16::from_le_bytes([c, d]) }
    }
}

impl Start {
    /// Four strings' worth of header, then counted lists of counted strings.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.user.as_bytes());
        put(&mut out, self.folder.as_bytes());
        put(&mut out, &self.terminal.map(TerminalSize::to_bytes).map_or(Vec::new(), |size| size.to_vec()));
        put_count(&mut out, self.arguments.len());
        for argument in &self.arguments {
            put(&mut out, argument.as_bytes());
        }
        put_count(&mut out, self.environment.len());
        for (name, value) in &self.environment {
            put(&mut out, name.as_bytes());
            put(&mut out, value.as_bytes());
        }
        out
    }

    fn from_bytes(mut from: &[u8]) -> Option<Self> {
        let from = &mut from;
        let user = String::from_utf8(take(from)?.to_vec()).ok()?;
        let folder = take_os(from)?;
        let terminal = match take(from)? {
            [] => None,
            size => Some(TerminalSize::from_bytes(size.try_into().ok()?)),
        };
        let mut start = Self { user, folder, terminal, ..Self::default() };
        for _ in 0..take_count(from)? {
            start.arguments.push(take_os(from)?);
        }
        for _ in 0..take_count(from)? {
            start.environment.push((take_os(from)?, take_os(from)?));
        }
        from.is_empty().then_some(start)
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn take_count(from: &mut &[u8]) -> Option<usize> {
    let (count, rest) = from.split_first_chunk::<4>()?;
    *from = rest;
    usize::try_from(u32::from_le_bytes(*count)).ok()
}

fn take<'bytes>(from: &mut &'bytes [u8]) -> Option<&'bytes [u8]> {
    let length = take_count(from)?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

/// A string as the kernel takes them: without a NUL.
fn take_os(from: &mut &[u8]) -> Option<OsString> {
    let bytes = take(from)?;
    (!bytes.contains(&0)).then(|| OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests;
