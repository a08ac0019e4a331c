//! Where Brant's source tree is, and what lies where below its `target` folder.

use crate::failure::{Advice, Kind};
use std::path::{Path, PathBuf};

/// Brant's source tree.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the tree from the working folder upwards, else from this program upwards.
    ///
    /// # Errors
    /// Neither lies in Brant's tree.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let here = std::env::current_dir().ok();
        let program = std::env::current_exe().ok();
        let starts = [here, program];
        starts.iter().flatten().find_map(|start| Self::above(start)).ok_or_else(|| {
            Advice::new(Kind::Input, "finding Brant's source tree from the working folder")
                .hint("run it inside the folder that holds `profiles` and `image-builder`")
                .error()
        })
    }

    /// The tree that this folder lies in.
    pub(crate) fn above(start: &Path) -> Option<Self> {
        let holds =
            |dir: &&Path| dir.join("profiles").is_dir() && dir.join("image-builder/Cargo.toml").is_file();
        start.ancestors().find(holds).map(|root| Self { root: root.to_owned() })
    }

    /// The tree's top folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The profiles, one TOML file each.
    pub(crate) fn profiles(&self) -> PathBuf {
        self.root.join("profiles")
    }

    /// The files laid over the root.
    pub(crate) fn overlay(&self) -> PathBuf {
        self.root.join("overlay")
    }

    /// The boot menu templates.
    pub(crate) fn menus(&self) -> PathBuf {
        self.root.join("isolinux")
    }

    /// Everything made, kept or cached.
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Where an image goes when no `--output` says otherwise.
    pub(crate) fn image(&self, profile: &str) -> PathBuf {
        self.target().join(format!("brant-{profile}.iso"))
    }

    /// The cluster secrets, one file per cluster name.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.target().join("secrets")
    }

    /// What a later build can use again; may be deleted at any time.
    pub(crate) fn cache(&self) -> PathBuf {
        self.target().join("cache")
    }
}
