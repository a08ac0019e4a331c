//! Whether an image would come out as the one that is there already.
//!
//! All that goes into an image is known once the programs are compiled and the packages are at hand. A digest of it is
//! kept beside the cache, with the image's length and date: an image that was touched since is built anew.

use super::args::Plan;
use super::base::Base;
use super::bench::Bench;
use super::measure;
use super::programs::Programs;
use super::publish::Published;
use super::release::hex;
use crate::manifest::Tools;
use anyhow::Context as _;
use brant_types::site::Site;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is remembered of an image.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    inputs: String,
    path: PathBuf,
    length: u64,
    modified: i64,
    sha256: String,
}

/// The digest of everything that goes into an image, and where it is remembered.
pub(crate) struct Inputs {
    digest: String,
    file: PathBuf,
}

impl Inputs {
    /// Reads all of it.
    ///
    /// # Errors
    /// Something cannot be read.
    pub(crate) fn of(
        plan: &Plan,
        base: &Base,
        (programs, tools): (&Programs, &Tools),
        site: &Site,
        bench: &Bench,
    ) -> anyhow::Result<Self> {
        let mut hash = Sha256::new();
        hash.update(plan.profile.identity());
        for (tool, version) in tools.all() {
            hash.update(format!("\0{tool}\0{version}\0"));
        }
        hash.update(base.tar.file_name().unwrap_or_default().as_encoded_bytes());
        // The builder itself: a newer one may do something else with the same inputs.
        measure::file(Path::new("/proc/self/exe"), &mut hash)?;
        for program in programs.iter() {
            measure::file(&program.file, &mut hash)?;
        }
        for overlay in &plan.profile.system.overlays {
            measure::tree(&plan.workspace.overlay().join(overlay), &mut hash)?;
        }
        measure::tree(&plan.workspace.menus(), &mut hash)?;
        for hook in &plan.profile.system.hooks {
            measure::file(&plan.workspace.profiles().join(hook), &mut hash)?;
        }
        hash.update(toml::to_string(site).context("reading what belongs to the site")?);
        let name = plan.output.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self { digest: hex(&hash.finalize()), file: bench.cache().join(format!("made-{name}.json")) })
    }

    /// The image that is there, if it is the one that would be made.
    pub(crate) fn made_already(&self, output: &Path) -> Option<Published> {
        let memory: Memory = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        let about = fs::metadata(output).ok()?;
        let beside = ["manifest.json", "spdx.json"].iter().all(|kind| output.with_extension(kind).is_file());
        let private = about.mode() & 0o077 == 0;
        let same = beside
            && private
            && memory.inputs == self.digest
            && memory.path == output
            && memory.length == about.len()
            && memory.modified == about.mtime_nsec() + about.mtime() * 1_000_000_000;
        same.then(|| Published { path: output.to_owned(), size: memory.length, sha256: memory.sha256 })
    }

    /// Remembers the image that was made; an image that is not remembered is only built once more.
    pub(crate) fn remember(&self, image: &Published) {
        let remembered = (|| {
            let about = fs::metadata(&image.path)?;
            let memory = Memory {
                inputs: self.digest.clone(),
                path: image.path.clone(),
                length: about.len(),
                modified: about.mtime_nsec() + about.mtime() * 1_000_000_000,
                sha256: image.sha256.clone(),
            };
            fs::write(&self.file, serde_json::to_vec(&memory)?)
        })();
        if let Err(error) = remembered {
            tracing::warn!(%error, "remembering what the image was made of");
        }
        crate::invoker::give(&self.file);
    }
}
