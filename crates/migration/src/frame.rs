//! The frame round every message between migrationd, capsule and deputy: what is not one is refused before anything in
//! it is decoded.
//!
//! ```text
//! "BRMG" | version: u16 | length: u32, at most MOST | checksum: u64 | length bytes            (numbers little-endian)
//! ```
//!
//! The checksum is XXH64 over all that stands before it and all that comes after. It finds damage, not malice: who may
//! speak at all is settled by WireGuard and the cluster's secret before the first frame.

use crate::protocol::MOST;
use twox_hash::XxHash64;

/// How each frame begins.
pub const MAGIC: [u8; 4] = *b"BRMG";
/// The frame's own version; zero is none.
pub const VERSION: u16 = 1;
/// The bytes before the body.
pub const HEADER: usize = 18;

const SUMMED: usize = 10;

/// Why bytes are no frame. Nothing of the body was looked at, and the stream is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Something else speaks here.
    #[error("a frame does not begin with its magic")]
    Magic,
    /// Another version of the frame.
    #[error("a frame has version {0}, and version {VERSION} is understood")]
    Version(u16),
    /// Longer than a message may be.
    #[error("a message of {0} bytes is too long")]
    Length(usize),
    /// Damaged on the way.
    #[error("a message's checksum does not match")]
    Checksum,
}

/// A frame's beginning, believed so far as to read the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    length: usize,
    checksum: u64,
    summed: [u8; SUMMED],
}

/// A body that came whole; only [`Header::open`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(Vec<u8>);

impl Body {
    /// The message, encoded.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`Refused`], but for the checksum.
    pub fn read(bytes: &[u8; HEADER]) -> Result<Self, Refused> {
        let [m0, m1, m2, m3, v0, v1, l0, l1, l2, l3, checksum @ ..] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(Refused::Magic);
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(Refused::Version(version));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MOST {
            return Err(Refused::Length(length));
        }
        let summed = [m0, m1, m2, m3, v0, v1, l0, l1, l2, l3];
        Ok(Self { length, checksum: u64::from_le_bytes(checksum), summed })
    }

    /// How long the body is, bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Checks the body.
    ///
    /// # Errors
    /// [`Refused::Checksum`], also when it has another length.
    pub fn open(self, body: Vec<u8>) -> Result<Body, Refused> {
        let whole = body.len() == self.length && checksum(&self.summed, &body) == self.checksum;
        if whole { Ok(Body(body)) } else { Err(Refused::Checksum) }
    }
}

/// The frame round a body.
///
/// # Errors
/// [`Refused::Length`].
pub fn seal(body: &[u8]) -> Result<Vec<u8>, Refused> {
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MOST);
    let length = length.ok_or(Refused::Length(body.len()))?;
    let mut frame = Vec::with_capacity(HEADER + body.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&VERSION.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
    let checksum = checksum(&frame, body);
    frame.extend_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

fn checksum(before: &[u8], body: &[u8]) -> u64 {
    // What comes before decides where the body's sum begins.
    XxHash64::oneshot(XxHash64::oneshot(0, before), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(frame: &[u8]) -> Result<Body, Refused> {
        let (header, body) = frame.split_first_chunk().unwrap();
        Header::read(header)?.open(body.to_vec())
    }

    #[test]
    fn what_is_sealed_opens_and_a_changed_bit_anywhere_does_not() {
        let frame = seal(b"hello").unwrap();
        assert_eq!(open(&frame).unwrap().bytes(), b"hello");
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&changed).is_err(), "bit {bit}");
        }
        assert_eq!(open(&frame[..frame.len() - 1]), Err(Refused::Checksum));
    }

    #[test]
    fn each_refusal_has_its_name() {
        let changed = |at: usize, to: u8| {
            let mut frame = seal(b"hello").unwrap();
            frame[at] = to;
            open(&frame).unwrap_err()
        };
        assert_eq!(changed(0, b'X'), Refused::Magic);
        assert_eq!(changed(4, 0), Refused::Version(0));
        assert_eq!(changed(9, 1), Refused::Length((1 << 24) + 5));
        assert_eq!(changed(10, 0), Refused::Checksum);
        assert_eq!(seal(&vec![0; MOST + 1]), Err(Refused::Length(MOST + 1)));
    }
}
