//! CRIU's `tty-info.img`: the terminals of an image. Those that were dumped as external ones (`/dev/tty`, whatever
//! terminal that is) are cut off from the session that they had, which is not in the image, and get one name that a
//! restore can give them by.
//!
//! ```text
//! file  = magic of all images, magic of terminals, record*     record = length: u32 (little-endian), protobuf message
//! entry = …, 2: type, 6: session, 7: foreground group, 8: device number, 13: file system
//! ```
//!
//! Only these fields are looked at, and all others are kept as they are (CRIU 4.1.1, `images/tty.proto`).

use crate::protobuf::{self, Field, Value};

/// The name by which a restore gives the process its `/dev/tty` (`--inherit-fd`).
pub const CONTROLLING_TERMINAL: &str = "tty[500:1]";

const HEADER: usize = 8;
const EXTERNAL: u64 = 5;
const TYPE: u64 = 2;
const SESSION: u64 = 6;
const GROUP: u64 = 7;
const FILE_SYSTEM: u64 = 13;

/// The bytes are no list of terminals; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the image's list of terminals is damaged")]
pub struct Damaged;

/// The same list, with its external terminals cut off.
///
/// # Errors
/// [`Damaged`].
pub fn cut_off(image: &[u8]) -> Result<Vec<u8>, Damaged> {
    let (header, mut rest) = image.split_at_checked(HEADER).ok_or(Damaged)?;
    let mut changed = header.to_vec();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or(Damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (message, after) = after.split_at_checked(length).ok_or(Damaged)?;
        rest = after;
        let message = cut_off_one(message)?;
        changed.extend(u32::try_from(message.len()).map_err(|_| Damaged)?.to_le_bytes());
        changed.extend(message);
    }
    Ok(changed)
}

fn cut_off_one(message: &[u8]) -> Result<Vec<u8>, Damaged> {
    let fields = protobuf::fields(message).map_err(|_| Damaged)?;
    let is_external = |field: &Field<'_>| field.number == TYPE && field.value == Value::Number(EXTERNAL);
    if !fields.iter().any(is_external) {
        return Ok(message.to_vec());
    }
    let mut changed = Vec::new();
    for field in fields {
        match field.number {
            SESSION | GROUP => protobuf::number(&mut changed, field.number, 0),
            FILE_SYSTEM => protobuf::number(&mut changed, field.number, 1),
            _ => changed.extend(field.whole),
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage;

    const MAGIC: [u8; 8] = [0x19, 0x43, 0x56, 0x54, 1, 2, 3, 4];

    fn record(message: &[u8]) -> Vec<u8> {
        [&u32::try_from(message.len()).unwrap().to_le_bytes()[..], message].concat()
    }

    /// Id, type, session 300, group 301, device, a window size, file system 5.
    fn terminal(kind: u8) -> Vec<u8> {
        let session = [0x30, 0xac, 0x02, 0x38, 0xad, 0x02];
        let rest = [0x40, 0x80, 0x0a, 0x5a, 2, 0x08, 24, 0x68, 5];
        [&[0x08, 1, 0x10, kind][..], &session, &rest].concat()
    }

    #[test]
    fn only_an_external_terminal_is_cut_off_and_nothing_else_of_it_is_changed() {
        let image = [&MAGIC[..], &record(&terminal(1)), &record(&terminal(5))].concat();
        let cut = [0x08, 1, 0x10, 5, 0x30, 0, 0x38, 0, 0x40, 0x80, 0x0a, 0x5a, 2, 0x08, 24, 0x68, 1];
        let expected = [&MAGIC[..], &record(&terminal(1)), &record(&cut)].concat();
        assert_eq!(cut_off(&image), Ok(expected.clone()));
        assert_eq!(cut_off(&expected), Ok(expected), "a second time changes nothing");
    }

    #[test]
    fn a_damaged_list_is_refused_and_harms_nobody() {
        let image = [&MAGIC[..], &record(&terminal(5))].concat();
        assert_eq!(cut_off(&image[..5]), Err(Damaged));
        assert_eq!(cut_off(&image[..image.len() - 1]), Err(Damaged));
        damage::damaged(&image, 20_000, |bytes| {
            let _refused_or_not = cut_off(bytes);
        });
    }
}
