//! Making a manifest while an image is built.

use super::{Debian, FileEntry, Manifest, PLACE, Package, SCHEMA, Sizes, is_menu, spdx, what_counts};
use crate::build::hex;
use anyhow::{Context as _, ensure};
use brant_sys::child::Tool;
use brant_types::boot::{ImageFacts, MEDIUM_SUMS};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use twox_hash::XxHash64;

/// What compiles the programs of a node.
const COMPILER: &str = "rustc";

/// Tools whose version may change an image, and how they are asked for it.
const TOOLS: [(&str, &str); 4] = [
    ("mmdebstrap", "--version"),
    ("mksquashfs", "-version"),
    ("xorriso", "-version"),
    (COMPILER, "--version"),
];

/// Debian's packages of an image.
pub(crate) struct Packages(Vec<Package>);

impl Packages {
    /// From the list that the base's hook has made: name, version, architecture, digest.
    ///
    /// # Errors
    /// The list cannot be read or is damaged.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let reading = || format!("reading the list of packages `{}`", path.display());
        let text = fs::read_to_string(path).with_context(reading)?;
        let mut packages = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, version, architecture, sha256] = fields[..] else {
                anyhow::bail!("{}: `{line}` is no package", reading());
            };
            packages.push(Package {
                name: name.to_owned(),
                version: version.to_owned(),
                architecture: architecture.to_owned(),
                sha256: sha256.to_owned(),
            });
        }
        ensure!(!packages.is_empty(), "{}: it is empty", reading());
        packages.sort();
        packages.dedup();
        Ok(Self(packages))
    }
}

impl Packages {
    /// All of them, by name.
    pub(crate) fn all(&self) -> &[Package] {
        &self.0
    }
}

/// The tools of this machine with their versions.
pub(crate) struct Tools(BTreeMap<String, String>);

impl Tools {
    /// Names and versions.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Asks each of them; the compiler only where it `compiles` the programs of a node. One that is not there took no part.
    pub(crate) fn ask(compiles: bool) -> Self {
        let mut tools = BTreeMap::new();
        tools.insert("brant-image".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        for (tool, option) in TOOLS.into_iter().filter(|(tool, _)| compiles || *tool != COMPILER) {
            let said = Tool::new(tool).arg(option).output().unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            if let Some(line) = said.lines().find(|line| line.bytes().any(|byte| byte.is_ascii_digit())) {
                tools.insert(tool.to_owned(), line.trim().to_owned());
            }
        }
        Self(tools)
    }
}

/// A manifest without the medium, which is laid out later.
pub(crate) fn begin(
    image: &ImageFacts,
    kernel: String,
    (suite, date): (&str, u64),
    packages: Packages,
    tools: Tools,
    root: Vec<FileEntry>,
) -> Manifest {
    Manifest {
        sizes: Sizes::default(),
        schema: SCHEMA,
        image: image.clone(),
        kernel,
        debian: Debian { suite: suite.to_owned(), date },
        tools: tools.0,
        packages: packages.0,
        medium: Vec::new(),
        root,
    }
}

/// Adds the files of the medium's tree to the manifest, and the manifest to the tree.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn add_medium(manifest: &mut Manifest, tree: &Path) -> anyhow::Result<()> {
    let mut sums = Vec::new();
    let mut pending = vec![String::new()];
    while let Some(folder) = pending.pop() {
        let path = tree.join(folder.trim_start_matches('/'));
        let reading = || format!("reading `{}`", path.display());
        for entry in fs::read_dir(&path).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().with_context(reading)?.is_dir() {
                pending.push(name);
            } else if let Some(counted) = what_counts(&name, fs::read(entry.path()).with_context(reading)?) {
                let sha256 = hex(&Sha256::digest(&counted));
                // The menus change with the site; a node reads the initramfs up to what changes.
                if !is_menu(&name) {
                    let sum = XxHash64::oneshot(0, &counted);
                    sums.push(format!("{sum:016x} {} {name}\n", counted.len()));
                }
                manifest.medium.push(FileEntry { path: name, bytes: counted.len() as u64, sha256 });
            }
        }
    }
    manifest.medium.sort_by(|a, b| a.path.cmp(&b.path));
    sums.sort_by(|a, b| a.rsplit(' ').next().cmp(&b.rsplit(' ').next()));
    let sums_place = tree.join(MEDIUM_SUMS.trim_start_matches('/'));
    let place = tree.join(PLACE.trim_start_matches('/'));
    let writing = || format!("writing `{}`", place.display());
    fs::create_dir_all(place.parent().unwrap_or(tree)).with_context(writing)?;
    fs::write(&sums_place, sums.concat()).with_context(writing)?;
    fs::write(&place, manifest.packed()?).with_context(writing)
}

impl Manifest {
    /// Writes it beside an image, as JSON and as SPDX.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn write_beside(&self, image: &Path) -> anyhow::Result<()> {
        for (extension, text) in [("manifest.json", self.to_json()?), ("spdx.json", spdx::render(self)?)] {
            let path = image.with_extension(extension);
            let half = image.with_extension(format!("{extension}.part"));
            let writing = || format!("writing `{}`", path.display());
            fs::write(&half, text + "\n").and_then(|()| fs::rename(&half, &path)).with_context(writing)?;
            crate::invoker::give(&path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_packages_is_read_and_a_damaged_one_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "b\t2\tall\tbb\na\t1:1-1\tamd64\taa\na\t1:1-1\tamd64\taa\n").unwrap();
        let packages = Packages::read(file.path()).unwrap().0;
        assert_eq!(packages.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        fs::write(file.path(), "a 1\n").unwrap();
        assert!(Packages::read(file.path()).is_err());
    }
}
