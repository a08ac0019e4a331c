//! Messages over a stream: a length, then postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};

/// Sends one message in one write.
///
/// # Errors
/// What the stream said.
pub fn send<M: Serialize>(to: &mut impl Write, message: &M) -> io::Result<()> {
    let body = postcard::to_allocvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_le_bytes()[..], &body].concat())
}

/// Receives one message; a stream that ends between messages gives none.
///
/// # Errors
/// What the stream said; a message that is too long or not understood.
pub fn receive<M: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<M>> {
    receive_in_time(from).map_err(|error| match error.kind() {
        // What the kernel calls "try again" is a socket's time limit here.
        io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::TimedOut, "the other side said nothing for too long")
        }
        _ => error,
    })
}

fn receive_in_time<M: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match from.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut length[1..])?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > brant_migration::protocol::MOST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes is too long"),
        ));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_migration::protocol::{End, FromTarget};

    #[test]
    fn messages_arrive_in_order_and_the_end_is_seen() {
        let mut stream = Vec::new();
        send(&mut stream, &FromTarget::Failed("hello".to_owned())).unwrap();
        send(&mut stream, &FromTarget::Ended(End::Exited(3))).unwrap();
        let mut from = &stream[..];
        assert_eq!(receive(&mut from).unwrap(), Some(FromTarget::Failed("hello".to_owned())));
        assert_eq!(receive(&mut from).unwrap(), Some(FromTarget::Ended(End::Exited(3))));
        assert_eq!(receive::<FromTarget>(&mut from).unwrap(), None);
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_it_is_believed() {
        let mut from = &u32::MAX.to_le_bytes()[..];
        assert!(receive::<FromTarget>(&mut from).is_err());
    }
}
