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
    let fields = fields(message)?;
    let is_external = fields.iter().any(|field| field.number == TYPE && field.value == Some(EXTERNAL));
    if !is_external {
        return Ok(message.to_vec());
    }
    let mut changed = Vec::new();
    for field in fields {
        let value = match field.number {
            SESSION | GROUP => 0,
            FILE_SYSTEM => 1,
            _ => {
                changed.extend(field.bytes);
                continue;
            }
        };
        write_number(&mut changed, field.number << 3);
        write_number(&mut changed, value);
    }
    Ok(changed)
}

/// A field of a protobuf message, as it stands there.
struct Field<'a> {
    number: u64,
    /// Its value, where that is a number.
    value: Option<u64>,
    bytes: &'a [u8],
}

fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, Damaged> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let start = rest;
        let key = read_number(&mut rest)?;
        let mut value = None;
        let length = match key & 7 {
            0 => {
                value = Some(read_number(&mut rest)?);
                0
            }
            1 => 8,
            2 => usize::try_from(read_number(&mut rest)?).map_err(|_| Damaged)?,
            5 => 4,
            _ => return Err(Damaged),
        };
        rest = rest.get(length..).ok_or(Damaged)?;
        fields.push(Field { number: key >> 3, value, bytes: &start[..start.len() - rest.len()] });
    }
    Ok(fields)
}

fn read_number(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let mut value = 0_u64;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * place).ok_or(Damaged)?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Damaged)
}

fn write_number(bytes: &mut Vec<u8>, value: u64) {
    let mut left = value;
    while left > 0x7f {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

#[cfg(test)]
#[path = "../../../fuzz/damage.rs"]
mod damage;

#[cfg(test)]
mod tests {
    use super::*;

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
