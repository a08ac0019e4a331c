//! The image of the stick: partition tables, one FAT partition, and for the old BIOS what starts from there.

use crate::build::{EspFile, EspShape, esp_image};
use crate::failure::{Advice, Kind};
use crate::host::{self, HostTool};
use crate::job::Job;
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{BASIC, LINUX_FS};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use uuid::Uuid;

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// Where the partition begins: firmware and flash like round numbers.
const START: u64 = MIB;
/// Room for the second table.
const END: u64 = MIB;
/// What a partition has that is to grow to the end of the stick.
const PERSISTENCE: u64 = MIB;
/// Room on the stick for what people put there.
const SPARE: u64 = 24 * MIB;
/// "To be started by the old BIOS" (UEFI specification, table 5.7).
const LEGACY_BOOT: u64 = 1 << 2;
/// What the old BIOS starts: it looks for that partition (package syslinux-common).
const BOOT_CODE: &str = "/usr/lib/syslinux/mbr/gptmbr.bin";
/// What the old BIOS takes.
pub(crate) const BIOS_TOOLS: [HostTool; 3] = [
    HostTool { file: "syslinux", package: "syslinux" },
    HostTool { file: "mcopy", package: "mtools" },
    HostTool { file: BOOT_CODE, package: "syslinux-common" },
];
/// How much of it there may be: behind it are the disk's number and the table.
const MOST_BOOT_CODE: usize = 440;

/// Whether this machine can make an image for the old BIOS.
///
/// # Errors
/// What it lacks.
pub(super) fn check_bios_tools() -> Result<()> {
    let missing = BIOS_TOOLS.iter().filter(|tool| host::find(tool.file).is_none());
    let missing: Vec<&str> = missing.map(|tool| tool.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("this machine lacks {}, for sticks that the old BIOS starts", missing.join(" and "));
    let hint = format!("apt-get install {}, or leave the old BIOS out with `--uefi-only`", missing.join(" "));
    Err(Advice::new(Kind::Host, what).hint(hint).error())
}

/// Whether a stick keeps what is written on the PC that was started from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Persistence {
    /// As it is: whoever has the stick can read it.
    Plain,
    /// Encrypted (LUKS), with a passphrase that is asked for at each boot.
    Encrypted,
}

impl Persistence {
    /// The partition's name, by which a node knows it.
    fn partition_name(self) -> &'static str {
        match self {
            Self::Plain => brant_types::boot::PERSISTENCE,
            Self::Encrypted => brant_types::boot::PERSISTENCE_ENCRYPTED,
        }
    }
}

/// What is to be on a stick beside its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Whether the old BIOS starts it.
    pub bios: bool,
    /// What it keeps, if it does.
    pub persistence: Option<Persistence>,
}

/// Writes the image; `path` is where the file is.
pub(super) fn write(file: &File, path: &Path, files: &[EspFile], id: &str, shape: Shape) -> Result<()> {
    let Shape { bios, persistence } = shape;
    let content: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let shape = EspShape::for_content(content + SPARE);
    let size = shape.size as u64;
    let kept = persistence.map_or(0, |_| PERSISTENCE);
    file.set_len(START + size + kept + END).context("making room")?;
    let disk = uuid(id, "disk");
    partition(file, size, (disk, id), persistence)?;
    let volume = u32::from_str_radix(id.get(..8).unwrap_or_default(), 16).unwrap_or(0);
    let fat = esp_image(files, shape, volume)?;
    for (number, piece) in fat.chunks(4 << 20).enumerate() {
        crate::interrupt::check()?;
        file.write_all_at(piece, START + ((number as u64) << 22)).context("writing the partition")?;
    }
    drop(fat);
    if bios {
        Job::new("syslinux")
            .env("MTOOLS_SKIP_CHECK", "1")
            .args(["--install", "--force", "--directory", "/syslinux", "--offset", &START.to_string()])
            .arg(path)
            .run()
            .context("making it start from the old BIOS")?;
        let code = std::fs::read(BOOT_CODE).with_context(|| format!("reading `{BOOT_CODE}`"))?;
        let code = code.get(..MOST_BOOT_CODE.min(code.len())).unwrap_or_default();
        file.write_all_at(code, 0).context("writing the boot code")?;
    }
    file.sync_all().context("writing it to disk")
}

fn partition(
    file: &File,
    size: u64,
    (disk_id, id): (Uuid, &str),
    persistence: Option<Persistence>,
) -> Result<()> {
    let sectors = file.metadata().context("looking at it")?.len() / SECTOR;
    let all = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    let mut device = file.try_clone().context("writing the partition table")?;
    ProtectiveMBR::with_lb_size(all)
        .overwrite_lba0(&mut device)
        .context("writing the old partition table")?;
    let disk = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut disk = disk.create_from_device(device, Some(disk_id)).context("making the partition table")?;
    let partition = Partition {
        // Not that of an EFI system partition: other systems hide those from the people who are to edit this one.
        part_type_guid: BASIC,
        part_guid: uuid(id, "stick"),
        first_lba: START / SECTOR,
        last_lba: (START + size) / SECTOR - 1,
        flags: LEGACY_BOOT,
        name: "Brant".to_owned(),
    };
    let first = partition.last_lba + 1;
    let mut partitions = BTreeMap::from([(1, partition)]);
    if let Some(persistence) = persistence {
        let kept = Partition {
            part_type_guid: LINUX_FS,
            part_guid: uuid(id, "persistence"),
            first_lba: first,
            last_lba: first + PERSISTENCE / SECTOR - 1,
            flags: 0,
            name: persistence.partition_name().to_owned(),
        };
        partitions.insert(2, kept);
    }
    disk.update_partitions(partitions).context("adding the partitions")?;
    disk.write().map(drop).context("writing the partition table")
}

/// Equal images have equal ids.
fn uuid(id: &str, what: &str) -> Uuid {
    use sha2::{Digest, Sha256};
    let sum = Sha256::digest(format!("brant {what} {id}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sum[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_sys::child::Tool;

    #[test]
    fn the_partition_is_where_the_table_says_and_equal_inputs_give_equal_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let files = vec![
            ("brant.toml".to_owned(), b"# hello\r\n".to_vec()),
            ("EFI/BOOT/x".to_owned(), vec![7; 300_000]),
        ];
        let image = |name: &str| {
            let path = folder.path().join(name);
            let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            let shape = Shape { bios: false, persistence: Some(Persistence::Plain) };
            write(&file, &path, &files, "0123456789abcdef", shape).unwrap();
            path
        };
        let (one, other) = (image("one"), image("other"));
        assert!(std::fs::read(&one).unwrap() == std::fs::read(&other).unwrap());
        Tool::new("sgdisk").arg("--verify").arg(&one).run().unwrap();
        let whole = std::fs::read(&one).unwrap();
        let fat = &whole[START as usize..whole.len() - (PERSISTENCE + END) as usize];
        let path = folder.path().join("fat");
        std::fs::write(&path, fat).unwrap();
        Tool::new("fsck.fat").args(["-n"]).arg(&path).run().unwrap();
    }
}
