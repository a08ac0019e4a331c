//! As much of protobuf's encoding as CRIU's images and requests need: fields that are numbers, or bytes.

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no protobuf message")]
pub(crate) struct Damaged;

/// A field, as it stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
    /// The whole field, its number and kind included.
    pub(crate) whole: &'a [u8],
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes, which nothing here uses.
    Fixed,
}

/// Writes a field that is a number.
pub(crate) fn number(message: &mut Vec<u8>, field: u64, value: u64) {
    varint(message, field << 3);
    varint(message, value);
}

/// Writes a field that is bytes, a text or a message.
pub(crate) fn bytes(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(message, field << 3 | 2);
    varint(message, value.len() as u64);
    message.extend(value);
}

/// Seven bits a byte, the lowest first.
fn varint(message: &mut Vec<u8>, value: u64) {
    let mut left = value;
    while left > 0x7f {
        message.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    message.push(left as u8);
}

/// Takes a message apart.
pub(crate) fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, Damaged> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let start = rest;
        let key = read_varint(&mut rest)?;
        let value = match key & 7 {
            0 => Value::Number(read_varint(&mut rest)?),
            1 => take(&mut rest, 8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(read_varint(&mut rest)?).map_err(|_| Damaged)?;
                Value::Bytes(take(&mut rest, length)?)
            }
            5 => take(&mut rest, 4).map(|_| Value::Fixed)?,
            _ => return Err(Damaged),
        };
        fields.push(Field { number: key >> 3, value, whole: &start[..start.len() - rest.len()] });
    }
    Ok(fields)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Damaged> {
    let (taken, after) = rest.split_at_checked(length).ok_or(Damaged)?;
    *rest = after;
    Ok(taken)
}

fn read_varint(rest: &mut &[u8]) -> Result<u64, Damaged> {
    let mut value = 0_u64;
    for place in 0..10 {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f).checked_shl(7 * place).ok_or(Damaged)?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_message_is_refused() {
        for damaged in [&[0x08][..], &[0x0a, 5, 1], &[0x0b], &[0x80; 11], &[0x09, 1, 2]] {
            assert_eq!(fields(damaged), Err(Damaged), "{damaged:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            one in 1_u64..1000,
            value in any::<u64>(),
            two in 1_u64..1000,
            text in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut message = Vec::new();
            number(&mut message, one, value);
            bytes(&mut message, two, &text);
            let read: Vec<(u64, Value<'_>)> =
                fields(&message).unwrap().into_iter().map(|field| (field.number, field.value)).collect();
            prop_assert_eq!(read, vec![(one, Value::Number(value)), (two, Value::Bytes(&text))]);
        }
    }
}
