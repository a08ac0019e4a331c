//! The sums by which damage is found.

use std::hash::Hasher;
use std::io::Read;
use twox_hash::XxHash64;

/// XXH64 of all that can be read, and how many bytes that was.
pub(super) fn of(from: &mut impl Read) -> std::io::Result<(u64, u64)> {
    let mut hash = XxHash64::with_seed(0);
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok((hash.finish(), bytes)),
            got => {
                hash.write(&buffer[..got]);
                bytes += got as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_changes_the_sum() {
        let mut bytes = vec![5; 600_000];
        let before = of(&mut &bytes[..]).unwrap();
        assert_eq!(of(&mut &bytes[..]).unwrap(), before);
        assert_eq!(before.1, 600_000);
        bytes[300_000] ^= 1;
        assert_ne!(of(&mut &bytes[..]).unwrap(), before);
    }
}
