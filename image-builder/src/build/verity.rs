//! The tree of digests behind a root on a medium, by which dm-verity notices every changed bit when it is read.
//!
//! Format 1 of the kernel's dm-verity, blocks of 4096 bytes, SHA-256: each block of a level holds the digests of 128
//! blocks of the level below; the top level comes first, and the digest of its only block is the root digest.

use super::release::hex;
use crate::interrupt;
use crate::pieces::fill;
use anyhow::Context as _;
use brant_types::boot::Verity;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

const BLOCK: usize = 4096;
const DIGEST: usize = 32;

/// Appends the tree to the file. The salt is part of no secret; that it differs from image to image keeps equal
/// blocks of two images from having equal digests.
///
/// # Errors
/// The file cannot be read or written, or a signal asked to stop.
pub(crate) fn append(file: &Path, salt: &[u8]) -> anyhow::Result<Verity> {
    let doing = || format!("appending the tree of digests to `{}`", file.display());
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file).with_context(doing)?);
    let mut digests = Vec::new();
    let mut block = [0; BLOCK];
    let mut data_blocks = 0;
    loop {
        let got = fill(&mut reader, &mut block).with_context(doing)?;
        if got == 0 {
            break;
        }
        block[got..].fill(0);
        digests.extend(digest(salt, &block));
        data_blocks += 1;
        if data_blocks % 4096 == 0 {
            interrupt::check()?;
        }
    }
    let (levels, root) = levels(digests, salt);
    let tree_blocks: usize = levels.iter().map(|level| level.len() / BLOCK).sum();
    let appended = OpenOptions::new().append(true).open(file).with_context(doing)?;
    let missing = data_blocks * Verity::BLOCK - appended.metadata().with_context(doing)?.len();
    let mut writer = BufWriter::new(appended);
    writer.write_all(&vec![0; usize::try_from(missing)?]).with_context(doing)?;
    for level in levels.iter().rev() {
        writer.write_all(level).with_context(doing)?;
    }
    writer.flush().with_context(doing)?;
    Ok(Verity { data_blocks, tree_blocks: tree_blocks as u64, root_digest: hex(&root), salt: hex(salt) })
}

/// The levels of the tree, the lowest first, each filled up to whole blocks; and the digest at the top.
fn levels(digests: Vec<u8>, salt: &[u8]) -> (Vec<Vec<u8>>, [u8; DIGEST]) {
    let mut levels = Vec::new();
    let mut level = digests;
    loop {
        level.resize(level.len().next_multiple_of(BLOCK), 0);
        let above: Vec<u8> = level.chunks(BLOCK).flat_map(|block| digest(salt, block)).collect();
        levels.push(level);
        match <[u8; DIGEST]>::try_from(above) {
            Ok(root) => return (levels, root),
            Err(more) => level = more,
        }
    }
}

fn digest(salt: &[u8], block: &[u8]) -> [u8; DIGEST] {
    Sha256::new().chain_update(salt).chain_update(block).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_has_one_level_and_is_filled_up_to_a_block() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 5000]).unwrap();
        let verity = append(file.path(), &[1, 2]).unwrap();
        assert_eq!((verity.data_blocks, verity.tree_blocks), (2, 1));
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(bytes.len() as u64, verity.file_length());
        assert_eq!(bytes[8192..8224], digest(&[1, 2], &bytes[..4096]));
        assert_eq!(verity.root_digest, hex(&digest(&[1, 2], &bytes[8192..])));
    }

    #[test]
    fn the_top_level_comes_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 129 * BLOCK]).unwrap();
        let verity = append(file.path(), &[]).unwrap();
        assert_eq!((verity.data_blocks, verity.tree_blocks), (129, 3));
        let bytes = std::fs::read(file.path()).unwrap();
        let (top, low) = (&bytes[129 * BLOCK..130 * BLOCK], &bytes[130 * BLOCK..]);
        assert_eq!(verity.root_digest, hex(&digest(&[], top)));
        assert_eq!(top[..DIGEST], digest(&[], &low[..BLOCK]));
        assert_eq!(top[DIGEST..2 * DIGEST], digest(&[], &low[BLOCK..]));
        assert!(top[2 * DIGEST..].iter().all(|byte| *byte == 0));
    }
}
