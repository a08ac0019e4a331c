//! The reading sides of both ends: preambles found, pieces put together.

use super::{FrameError, HEADER, MAGIC, MAX_MESSAGE, MAX_PIECE, Message, ToGuest, ToHost, preamble};

/// Puts messages together from the bytes of a stream, once the preamble is over.
#[derive(Debug, Default)]
struct Assembler {
    buffer: Vec<u8>,
    message: Vec<u8>,
    kind: Option<u8>,
}

impl Assembler {
    fn next<M: Message>(&mut self) -> Result<Option<M>, FrameError> {
        loop {
            let Some((&[kind, more, l0, l1, l2, l3], rest)) = self.buffer.split_first_chunk::<HEADER>()
            else {
                return Ok(None);
            };
            let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            if length > MAX_PIECE || self.message.len() + length > MAX_MESSAGE {
                return Err(FrameError::Length(self.message.len() + length));
            }
            if more > 1 || self.kind.is_some_and(|begun| begun != kind) {
                return Err(FrameError::Malformed(kind));
            }
            let Some(piece) = rest.get(..length) else { return Ok(None) };
            self.message.extend_from_slice(piece);
            self.buffer.drain(..HEADER + length);
            if more == 1 {
                self.kind = Some(kind);
                continue;
            }
            self.kind = None;
            return M::from_parts(kind, &std::mem::take(&mut self.message)).map(Some);
        }
    }
}

/// What a service finds in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A client has come, with this nonce; one that was there before is gone.
    Client([u8; 8]),
    /// A message from the client.
    Message(ToGuest),
}

/// The service's reading side.
#[derive(Debug, Default)]
pub struct GuestDecoder {
    state: GuestState,
    matched: usize,
    frames: Assembler,
}

#[derive(Debug, Default)]
enum GuestState {
    #[default]
    Alone,
    Nonce(Vec<u8>),
    Client,
}

impl GuestDecoder {
    /// Takes bytes in and appends what they meant. After an error everything up to the next client is thrown away.
    ///
    /// # Errors
    /// [`FrameError`]; what was understood before it has been appended.
    pub fn push(&mut self, bytes: &[u8], arrivals: &mut Vec<Arrival>) -> Result<(), FrameError> {
        for byte in bytes {
            self.take(*byte, arrivals);
        }
        while matches!(self.state, GuestState::Client) {
            match self.frames.next() {
                Ok(Some(message)) => arrivals.push(Arrival::Message(message)),
                Ok(None) => break,
                Err(error) => {
                    self.frames = Assembler::default();
                    self.state = GuestState::Alone;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, byte: u8, arrivals: &mut Vec<Arrival>) {
        if let GuestState::Nonce(nonce) = &mut self.state {
            nonce.push(byte);
            if let Ok(nonce) = nonce[..].try_into() {
                arrivals.push(Arrival::Client(nonce));
                self.state = GuestState::Client;
            }
            return;
        }
        if matches!(self.state, GuestState::Client) {
            self.frames.buffer.push(byte);
        }
        // No other byte of the magic equals its first, so a mismatch can only begin it anew.
        self.matched =
            if byte == MAGIC[self.matched] { self.matched + 1 } else { usize::from(byte == MAGIC[0]) };
        if self.matched == MAGIC.len() {
            self.matched = 0;
            self.frames = Assembler::default();
            self.state = GuestState::Nonce(Vec::new());
        }
    }
}

/// The client's reading side: nothing before the service's answer to this client's own preamble counts.
#[derive(Debug)]
pub struct HostDecoder {
    awaited: Option<[u8; 16]>,
    frames: Assembler,
}

impl HostDecoder {
    /// A decoder for a client with this nonce.
    pub fn new(nonce: [u8; 8]) -> Self {
        Self { awaited: Some(preamble(nonce)), frames: Assembler::default() }
    }

    /// Whether the service has answered.
    pub fn answered(&self) -> bool {
        self.awaited.is_none()
    }

    /// Takes bytes in and appends what they meant.
    ///
    /// # Errors
    /// [`FrameError`]; the connection is of no more use.
    pub fn push(&mut self, bytes: &[u8], messages: &mut Vec<ToHost>) -> Result<(), FrameError> {
        self.frames.buffer.extend_from_slice(bytes);
        if let Some(awaited) = self.awaited {
            let buffer = &mut self.frames.buffer;
            let Some(at) = buffer.windows(awaited.len()).position(|window| window == awaited) else {
                buffer.drain(..buffer.len().saturating_sub(awaited.len() - 1));
                return Ok(());
            };
            buffer.drain(..at + awaited.len());
            self.awaited = None;
        }
        while let Some(message) = self.frames.next()? {
            messages.push(message);
        }
        Ok(())
    }
}
