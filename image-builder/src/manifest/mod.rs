//! What is in an image: each package, each file, and what it was made with. It lies on the medium itself, and beside it.

mod artefact;
mod diff;
mod inspect;
mod make;
mod spdx;

pub(crate) use diff::{DiffArgs, run as diff};
pub(crate) use inspect::{InspectArgs, run as inspect};
pub(crate) use make::{Packages, Tools, add_medium, begin};

use crate::build::{INITRAMFS, MENUS};
use crate::site::{AREA, blank_arguments};
use anyhow::{Context as _, ensure};
use brant_types::boot::{ImageFacts, MEDIUM_SUMS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where it is on the medium, compressed.
pub(crate) const PLACE: &str = "/brant/manifest.json.zst";
/// The format that this program writes and reads.
const SCHEMA: u32 = 1;
/// More than any image of ours has; a damaged one may say anything.
const MOST_PACKED: u64 = 64 << 20;
const MOST: usize = 256 << 20;

/// What is in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which image it is.
    pub image: ImageFacts,
    /// The kernel's version.
    pub kernel: String,
    /// The state of Debian's archive: suite, digest of its package lists, and when it was published (seconds since 1970).
    pub debian: Debian,
    /// The programs of the workstation that made it, with their versions.
    pub tools: BTreeMap<String, String>,
    /// What takes how much room.
    #[serde(default)]
    pub sizes: Sizes,
    /// Debian's packages, those of which only files were taken included.
    pub packages: Vec<Package>,
    /// The files of the medium. What belongs to a site does not count.
    pub medium: Vec<FileEntry>,
    /// The files of the root.
    pub root: Vec<FileEntry>,
}

/// What of an image takes how much room, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sizes {
    /// The kernel.
    pub kernel: u64,
    /// `init`, and the drivers that it needs to find the root and the network.
    pub drivers: u64,
    /// The root, as it is packed.
    pub root: u64,
}

impl Sizes {
    /// All parts of an image of this length, the rest last.
    pub(crate) fn rows(&self, image: u64) -> [(&'static str, u64); 4] {
        let Self { kernel, drivers, root } = *self;
        let rest = image.saturating_sub(kernel + drivers + root);
        [("kernel", kernel), ("init and drivers", drivers), ("root", root), ("the rest", rest)]
    }
}

/// The state of Debian's archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Debian {
    /// The release.
    pub suite: String,
    /// When the newest part of it was published, in seconds since 1970.
    pub date: u64,
}

/// A package of Debian.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// The SHA-256 of its file, in hexadecimal.
    pub sha256: String,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Its path.
    pub path: String,
    /// How many bytes count.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// The manifest that a medium carries.
    ///
    /// # Errors
    /// It has none, or a damaged one, or one of another version of this program.
    fn unpack(packed: &[u8]) -> anyhow::Result<Self> {
        let text = zstd::bulk::decompress(packed, MOST).context("unpacking the manifest")?;
        let manifest: Self = serde_json::from_slice(&text).context("reading the manifest")?;
        ensure!(
            manifest.schema == SCHEMA,
            "the manifest has schema {}, and {SCHEMA} is known",
            manifest.schema
        );
        Ok(manifest)
    }

    /// As JSON for people and programs.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn to_json(&self) -> anyhow::Result<String> {
        serde_json::to_string_pretty(self).context("writing the manifest")
    }

    fn packed(&self) -> anyhow::Result<Vec<u8>> {
        let text = serde_json::to_vec(self).context("writing the manifest")?;
        zstd::bulk::compress(&text, 15).context("packing the manifest")
    }
}

/// Whether it is a boot menu, which has room for what belongs to a site.
fn is_menu(path: &str) -> bool {
    MENUS.contains(&path)
}

/// What of a file on the medium counts: not the room at the end of the initramfs, nor that in the boot menus. None for
/// the file that xorriso writes its own addresses into.
fn what_counts(path: &str, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    match path {
        "/isolinux/isolinux.bin" | "/isolinux/boot.cat" | MEDIUM_SUMS | PLACE => None,
        INITRAMFS => {
            bytes.truncate(bytes.len().saturating_sub(AREA));
            Some(bytes)
        }
        menu if is_menu(menu) => Some(
            String::from_utf8(bytes)
                .map_or_else(|error| error.into_bytes(), |menu| blank_arguments(&menu).into_bytes()),
        ),
        _ => Some(bytes),
    }
}
