//! Messages over a stream: postcard in the frames of [`brant_migration::frame`].

use brant_migration::frame::{HEADER, Header, seal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};

/// Sends one message in one write.
///
/// # Errors
/// What the stream said.
pub fn send<M: Serialize>(to: &mut impl Write, message: &M) -> io::Result<()> {
    let body = postcard::to_allocvec(message).map_err(io::Error::other)?;
    to.write_all(&seal(&body).map_err(io::Error::other)?)
}

/// Receives one message; a stream that ends between messages gives none.
///
/// # Errors
/// What the stream said; bytes that are no frame, of which nothing was decoded; a message that is not understood.
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
    let mut header = [0; HEADER];
    // A program that was stopped and continued has not lost its other side.
    let first = loop {
        match from.read(&mut header[..1]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    match first {
        0 => return Ok(None),
        _ => from.read_exact(&mut header[1..])?,
    }
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let header = Header::read(&header).map_err(invalid)?;
    let mut body = vec![0; header.length()];
    from.read_exact(&mut body)?;
    let body = header.open(body).map_err(invalid)?;
    postcard::from_bytes(body.bytes())
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
#[path = "../../../fuzz/damage.rs"]
mod damage;

#[cfg(test)]
mod tests {
    use super::*;
    use brant_migration::protocol::{FromCapsule, ToCapsule};

    #[test]
    fn messages_arrive_in_order_and_the_end_is_seen() {
        let mut stream = Vec::new();
        send(&mut stream, &FromCapsule::Failed("hello".to_owned())).unwrap();
        send(&mut stream, &FromCapsule::Departing).unwrap();
        let mut from = &stream[..];
        assert_eq!(receive(&mut from).unwrap(), Some(FromCapsule::Failed("hello".to_owned())));
        assert_eq!(receive(&mut from).unwrap(), Some(FromCapsule::Departing));
        assert_eq!(receive::<FromCapsule>(&mut from).unwrap(), None);
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_it_is_believed() {
        let mut stream = Vec::new();
        send(&mut stream, &ToCapsule::Stay).unwrap();
        stream[6..10].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = receive::<FromCapsule>(&mut &stream[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_message_that_was_damaged_is_not_decoded() {
        let mut stream = Vec::new();
        send(&mut stream, &FromCapsule::Failed("hello".to_owned())).unwrap();
        *stream.last_mut().unwrap() ^= 1;
        assert!(receive::<FromCapsule>(&mut &stream[..]).is_err());
    }

    #[test]
    fn no_damaged_message_harms_its_reader() {
        let mut stream = Vec::new();
        send(&mut stream, &FromCapsule::Failed("CRIU".to_owned())).unwrap();
        damage::damaged(&stream, 20_000, |bytes| {
            // Only what stands whole at the front is taken for a message.
            let whole = bytes.starts_with(&stream);
            assert_eq!(receive::<FromCapsule>(&mut &bytes[..]).is_ok_and(|it| it.is_some()), whole);
        });
        // Inside a frame that is whole, postcard itself has to stand it.
        damage::damaged(
            &postcard::to_allocvec(&FromCapsule::Failed("CRIU".to_owned())).unwrap(),
            20_000,
            |bytes| {
                let _not_understood = receive::<FromCapsule>(&mut &seal(bytes).unwrap()[..]);
            },
        );
    }
}
