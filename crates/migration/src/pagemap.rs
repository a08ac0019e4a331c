//! CRIU's `pagemap-*.img`: which pages a process (or a piece of shared memory) has, in the order in which their
//! contents follow each other in a `pages-N.img`.
//!
//! ```text
//! file   = magic of all images, magic of page maps, record (head), record (entry)*      all little-endian
//! record = length: u32, protobuf message
//! head   = 1: number of the pages file
//! entry  = 1: address, 2: number of pages, 4: flags          addresses ascend
//! ```
//!
//! Only what CRIU 4.1.1 reads is written; later versions take these files as well.

use crate::protobuf::number;
use serde::{Deserialize, Serialize};

/// Bytes in a page.
pub const PAGE: u64 = 4096;

const COMMON_MAGIC: u32 = 0x5456_4319;
const PAGEMAP_MAGIC: u32 = 0x5608_4025;

/// The pages did not change since the round before: their contents are there.
pub const IN_PARENT: u32 = 1;
/// The pages may be filled in after the process runs again.
pub const LAZY: u32 = 2;
/// The contents are in this image.
pub const PRESENT: u32 = 4;

/// What pages belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// A process, by its number as it sees it itself.
    Process(u64),
    /// Shared memory (or a memory file), by CRIU's number for it.
    Shared(u64),
}

impl Owner {
    /// The name of its page map.
    pub fn file_name(self) -> String {
        match self {
            Self::Process(pid) => format!("pagemap-{pid}.img"),
            Self::Shared(id) => format!("pagemap-shmem-{id}.img"),
        }
    }
}

/// The name of a pages file.
pub fn pages_file_name(number: u32) -> String {
    format!("pages-{number}.img")
}

/// Pages that follow each other, as CRIU describes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The first page's address; in shared memory, its distance from the beginning.
    pub address: u64,
    /// How many.
    pub pages: u32,
    /// [`IN_PARENT`], [`LAZY`], [`PRESENT`].
    pub flags: u32,
}

/// A whole page map; `pages_file` says which `pages-N.img` holds the contents.
pub fn encode(pages_file: u32, runs: impl IntoIterator<Item = Run>) -> Vec<u8> {
    let mut file = [COMMON_MAGIC.to_le_bytes(), PAGEMAP_MAGIC.to_le_bytes()].concat();
    let mut message = Vec::new();
    number(&mut message, 1, pages_file.into());
    record(&mut file, &message);
    for run in runs {
        message.clear();
        number(&mut message, 1, run.address);
        number(&mut message, 2, run.pages.into());
        number(&mut message, 4, run.flags.into());
        record(&mut file, &message);
    }
    file
}

fn record(file: &mut Vec<u8>, message: &[u8]) {
    // Three numbers of at most ten bytes each: the length always fits.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    file.extend(length.to_le_bytes());
    file.extend(message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An independent reader: a protobuf library would do the same.
    fn decode(file: &[u8]) -> (u64, Vec<Run>) {
        assert_eq!(file[..8], [0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56]);
        let mut records = Vec::new();
        let mut rest = &file[8..];
        while !rest.is_empty() {
            let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            let (message, after) = rest[4..].split_at(length);
            rest = after;
            let mut fields = [0; 6];
            let mut bytes = message.iter();
            while let Some(tag) = bytes.next() {
                assert_eq!(tag & 7, 0, "every field is a number");
                let mut value = 0;
                for (place, byte) in bytes.by_ref().enumerate() {
                    value |= u64::from(byte & 0x7f) << (7 * place);
                    if byte & 0x80 == 0 {
                        break;
                    }
                }
                fields[usize::from(tag >> 3)] = value;
            }
            records.push(fields);
        }
        let runs = records[1..]
            .iter()
            .map(|f| Run { address: f[1], pages: f[2].try_into().unwrap(), flags: f[4].try_into().unwrap() })
            .collect();
        (records[0][1], runs)
    }

    #[test]
    fn a_page_map_has_the_bytes_that_criu_writes() {
        let run = Run { address: 0x7f00_0000_1000, pages: 300, flags: PRESENT | LAZY };
        assert_eq!(
            encode(3, [run])[8..],
            [
                2, 0, 0, 0, 0x08, 3, // head
                13, 0, 0, 0, 0x08, 0x80, 0xa0, 0x80, 0x80, 0x80, 0xe0, 0x1f, 0x10, 0xac, 0x02, 0x20, 6,
            ]
        );
    }

    #[test]
    fn files_are_named_as_criu_names_them() {
        assert_eq!(Owner::Process(41).file_name(), "pagemap-41.img");
        assert_eq!(Owner::Shared(7).file_name(), "pagemap-shmem-7.img");
        assert_eq!(pages_file_name(2), "pages-2.img");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            file in 1_u32..,
            runs in prop::collection::vec((any::<u64>(), any::<u32>(), 0_u32..8), 0..20),
        ) {
            let runs: Vec<Run> =
                runs.into_iter().map(|(address, pages, flags)| Run { address, pages, flags }).collect();
            prop_assert_eq!(decode(&encode(file, runs.clone())), (u64::from(file), runs));
        }
    }
}
