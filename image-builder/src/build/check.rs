//! A last look at a finished medium, before it gets its name: does firmware find what it looks for?

use crate::profile::PartitionTable;
use anyhow::{Context as _, ensure};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::partition_types::EFI;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The two places where an ISO9660 volume says that it is one, and that it boots.
const PRIMARY_VOLUME: u64 = 16 * 2048;
const BOOT_RECORD: u64 = 17 * 2048;

/// Checks both partition tables, the boot records, and that the EFI partition holds exactly these bytes.
///
/// # Errors
/// What is missing or wrong.
pub(crate) fn medium(path: &Path, table: PartitionTable, esp: &[u8]) -> anyhow::Result<()> {
    inspect(path, table, esp).with_context(|| format!("checking the finished medium `{}`", path.display()))
}

fn inspect(path: &Path, table: PartitionTable, esp: &[u8]) -> anyhow::Result<()> {
    let mut file = File::open(path)?;
    ensure!(bytes(&mut file, 510, 2)? == [0x55, 0xaa], "the first sector is no boot sector");
    ensure!(bytes(&mut file, PRIMARY_VOLUME, 6)? == *b"\x01CD001", "there is no ISO9660 volume");
    let record = bytes(&mut file, BOOT_RECORD, 30)?;
    ensure!(
        &record[1..6] == b"CD001" && &record[7..30] == b"EL TORITO SPECIFICATION",
        "it does not boot as a CD"
    );

    let disk = GptConfig::new()
        .writable(false)
        .logical_block_size(LogicalBlockSize::Lb512)
        .only_valid_headers(true)
        .open_from_device(file)
        .context("reading the partition tables")?;
    let length = path.metadata()?.len();
    let used: Vec<_> = disk.partitions().values().filter(|partition| partition.is_used()).collect();
    for (number, partition) in used.iter().enumerate() {
        let end = (partition.last_lba + 1) * 512;
        ensure!(partition.first_lba <= partition.last_lba && end <= length, "a partition leaves the medium");
        let clear_of_next = used.get(number + 1).is_none_or(|next| partition.last_lba < next.first_lba);
        let clear_of_next = clear_of_next || table == PartitionTable::Overlapping;
        ensure!(clear_of_next, "two partitions overlap");
    }
    let mut systems = used.iter().filter(|partition| partition.part_type_guid == EFI);
    let (Some(system), None) = (systems.next(), systems.next()) else {
        anyhow::bail!("there is not exactly one EFI partition");
    };
    let start = system.first_lba * 512;
    let mut file = File::open(path)?;
    ensure!(bytes(&mut file, start, esp.len())? == esp, "the EFI partition is not the one that was made");
    Ok(())
}

fn bytes(file: &mut File, at: u64, length: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_zeros_is_no_medium() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![0; 1 << 20]).unwrap();
        let error = medium(file.path(), PartitionTable::Valid, &[]).unwrap_err();
        assert!(format!("{error:#}").contains("no boot sector"), "{error:#}");
    }
}
