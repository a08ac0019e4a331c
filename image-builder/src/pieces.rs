//! Reading in pieces of one length.

use std::io::Read;

/// Reads until the buffer is full or the end has come; gives how much there was.
///
/// # Errors
/// What reading failed with; some of it may have been read.
pub(crate) fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match from.read(&mut buffer[got..])? {
            0 => break,
            more => got += more,
        }
    }
    Ok(got)
}
