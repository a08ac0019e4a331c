//! What CRIU says to a page server: memory as it is dumped, straight into a socket instead of a file.
//!
//! ```text
//! CRIU ── has parent? ─▶        asked before a round of pre-dump           ◀─ i32: 0 or 1
//! CRIU ── open ───────▶         the runs that follow belong to this owner  ◀─ u8: 0 or 1, the same question
//! CRIU ── run, [pages] ▶        contents follow where the run has them
//! CRIU ── close ──────▶         all is said                                ◀─ i32: 0, or the dump fails
//! ```
//!
//! A word is 24 bytes in CRIU 3.17 to 4.1.1 (command, pages: u32; address, owner: u64; little-endian). CRIU 4.2 makes
//! it 32 bytes; its words are refused here, for their owner is then of no known kind.

use crate::pagemap::{IN_PARENT, Owner, PRESENT, Run};

/// The length of one word, bytes.
pub const WORD: usize = 24;

/// What one word of CRIU means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Are there pages of this owner from the round before? The answer is four bytes long.
    HasParent(Owner),
    /// Runs of this owner follow. The answer to the same question is one byte long.
    Open(Owner),
    /// A run; when it is [`PRESENT`], its pages' contents follow.
    Run(Owner, Run),
    /// That was all; the answer is four bytes long, 0 for success.
    Close,
}

/// Why a word was not understood. Nothing was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstood {
    /// No such command.
    #[error("CRIU's command {0:#x} to a page server is not known")]
    Command(u32),
    /// No such kind of owner; also what CRIU 4.2 looks like.
    #[error("CRIU sent pages of an unknown kind: {0:#x}")]
    Owner(u64),
}

/// Reads one word.
///
/// # Errors
/// [`Misunderstood`]
pub fn decode(word: &[u8; WORD]) -> Result<Word, Misunderstood> {
    let small = |at: usize| u32::from_le_bytes([word[at], word[at + 1], word[at + 2], word[at + 3]]);
    let large = |at: usize| u64::from(small(at)) | u64::from(small(at + 4)) << 32;
    let (command, pages, address, owner) = (small(0), small(4), large(8), large(16));
    let owner = || match owner & 0xff {
        1 => Ok(Owner::Process(owner >> 8)),
        2 => Ok(Owner::Shared(owner >> 8)),
        _ => Err(Misunderstood::Owner(owner)),
    };
    let run = |flags| Run { address, pages, flags };
    Ok(match command & 0xffff {
        1 => Word::Run(owner()?, run(PRESENT)),
        2 => Word::Run(owner()?, run(IN_PARENT)),
        4 => Word::Open(owner()?),
        5 => Word::HasParent(owner()?),
        6 => Word::Run(owner()?, run(command >> 16)),
        0x1023 | 0x1024 => Word::Close,
        _ => return Err(Misunderstood::Command(command)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pagemap::LAZY;

    fn word(command: u32, pages: u32, address: u64, owner: u64) -> [u8; WORD] {
        let bytes =
            [&command.to_le_bytes()[..], &pages.to_le_bytes(), &address.to_le_bytes(), &owner.to_le_bytes()]
                .concat();
        bytes.try_into().unwrap()
    }

    #[test]
    fn each_command_is_understood() {
        let (process, shared) = (0x1201, 0x0702);
        assert_eq!(decode(&word(5, 0, 0, process)), Ok(Word::HasParent(Owner::Process(0x12))));
        assert_eq!(decode(&word(4, 0, 0, shared)), Ok(Word::Open(Owner::Shared(7))));
        let run = Run { address: 0x5000, pages: 9, flags: PRESENT | LAZY };
        assert_eq!(
            decode(&word(6 | (6 << 16), 9, 0x5000, process)),
            Ok(Word::Run(Owner::Process(0x12), run))
        );
        assert_eq!(decode(&word(0x1024, 0, 0, 0)), Ok(Word::Close));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(decode(&word(7, 1, 0, 1)), Err(Misunderstood::Command(7)));
        assert_eq!(decode(&word(4, 0, 0, 3)), Err(Misunderstood::Owner(3)));
        // CRIU 4.2: four bytes of padding and a longer number of pages come before the address and the owner.
        assert_eq!(decode(&word(5, 0, 0, 0)), Err(Misunderstood::Owner(0)));
    }
}
