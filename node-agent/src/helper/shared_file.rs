//! `/etc/brant/cluster.toml`: written as the cluster has agreed, and looked at for what somebody has edited.
//!
//! ```text
//! written ──(another file is there)──▶ edited ──(the same at the next look)──▶ judged ──▶ told to the cluster ──▶ written
//!                                       ▲  └─(yet another)─┐                    └─▶ refused: put aside ─────────▶ written
//!                                       └──────────────────┘
//! ```
//! Most programs empty a file before they write it, and some take it away: what is seen in between is nobody's wish.

use super::files;
use crate::door::{self, Edit};
use anyhow::{Context, Result};
use brant_types::cluster::{CLUSTER_TOML, ClusterConfig};
use brant_types::node::ClusterId;
use brant_types::settings::{Settings, edited};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const REFUSED: &str = "refused";

/// The file, as it was written last.
#[derive(Debug)]
pub(super) struct SharedFile {
    path: PathBuf,
    written: Option<(Stamp, ClusterConfig)>,
    /// What was found instead of it at the last look, and what is to be written when that is over.
    edited: Option<Found>,
    wanted: Option<ClusterConfig>,
}

/// A file's stamp, or nothing where there is no file.
type Found = Option<Stamp>;

/// Changes whenever a file is replaced or written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl SharedFile {
    /// As an agent that has not written it yet.
    pub(super) fn new() -> Self {
        Self { path: CLUSTER_TOML.into(), written: None, edited: None, wanted: None }
    }

    /// Replaces it in one step; where somebody has edited it, when [`SharedFile::look`] has taken that.
    pub(super) fn write(&mut self, config: &ClusterConfig) -> Result<()> {
        match &self.written {
            Some((stamp, _)) if self.stamp()? != Some(*stamp) => self.wanted = Some(config.clone()),
            _ => self.replace(config)?,
        }
        Ok(())
    }

    /// Looks for what somebody has made of it, and has done with since the look before; to be called now and then. Then it is
    /// again as the cluster has agreed.
    pub(super) fn look(&mut self) -> Result<Option<Edit>> {
        let Some((stamp, config)) = &self.written else { return Ok(None) };
        let found = self.stamp()?;
        if found == Some(*stamp) {
            return Ok(None);
        }
        if self.edited != Some(found) {
            self.edited = Some(found);
            return Ok(None);
        }
        let config = config.clone();
        let edit = if found.is_some() { self.judge(&config)? } else { None };
        let newest = self.wanted.clone().unwrap_or(config);
        self.replace(&newest)?;
        Ok(edit)
    }

    fn judge(&self, config: &ClusterConfig) -> Result<Option<Edit>> {
        let reading = || format!("reading `{}`", self.path.display());
        let mut text = String::new();
        let read =
            File::open(&self.path).with_context(reading)?.take(door::MOST as u64).read_to_string(&mut text);
        let changes = match read {
            Ok(_) => edited::changes(&text, &config.settings),
            Err(error) if error.kind() == ErrorKind::InvalidData => Err("it is not UTF-8 text".to_owned()),
            Err(error) => return Err(error).with_context(reading),
        };
        match changes {
            Ok(changes) => Ok((!changes.is_empty()).then_some(Edit::Settings(changes))),
            Err(reason) => {
                let aside = self.path.with_extension(format!("toml.{REFUSED}"));
                fs::rename(&self.path, &aside).context("putting the edited file aside")?;
                let (was, is) = (self.path.display(), aside.display());
                Ok(Some(Edit::Refused(format!(
                    "the edited `{was}` is not taken: {reason}; it is `{is}` now"
                ))))
            }
        }
    }

    fn replace(&mut self, config: &ClusterConfig) -> Result<()> {
        files::replace(&self.path, &config.to_toml())?;
        self.written = self.stamp()?.map(|stamp| (stamp, config.clone()));
        (self.edited, self.wanted) = (None, None);
        Ok(())
    }

    fn stamp(&self) -> Result<Option<Stamp>> {
        match fs::symlink_metadata(&self.path) {
            Ok(about) => Ok(Some(Stamp {
                inode: about.ino(),
                bytes: about.len(),
                changed: (about.ctime(), about.ctime_nsec()),
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("looking at `{}`", self.path.display())),
        }
    }
}

/// The settings that an earlier agent of this cluster has left, in this boot or, on a stick, in the one before.
pub(super) fn remembered(cluster: &str, id: ClusterId) -> Settings {
    let text = fs::read_to_string(Path::new(CLUSTER_TOML)).unwrap_or_default();
    let config = toml::from_str::<ClusterConfig>(&text).ok();
    // Overlay addresses tell clusters of one name apart.
    let ours = |config: &ClusterConfig| {
        config.cluster == cluster
            && config.nodes.iter().any(|node| node.overlay == id.overlay_address(node.id))
    };
    config.filter(ours).map(|config| config.settings).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::node::NodeId;
    use brant_types::settings::Key;

    /// A folder, the file in it, and what is written there.
    fn written(name: &str) -> (PathBuf, SharedFile, ClusterConfig) {
        let folder = std::env::temp_dir().join(format!("brant-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut shared = SharedFile { path: folder.join("cluster.toml"), ..SharedFile::new() };
        let mut off = Settings::default();
        off.set(Key::Balance, Some("off".to_owned()), NodeId::from([1; 8])).unwrap();
        let config = ClusterConfig::of("x", ClusterId([0; 8]), &off, []);
        shared.write(&config).unwrap();
        (folder, shared, config)
    }

    #[test]
    fn a_broken_file_is_put_aside_and_the_clusters_is_back() {
        let (folder, mut shared, config) = written("shared-file");
        let path = shared.path.clone();
        assert_eq!(shared.look().unwrap(), None);
        fs::write(&path, "settings = [").unwrap();
        assert_eq!(shared.look().unwrap(), None);
        assert!(matches!(shared.look().unwrap(), Some(Edit::Refused(why)) if why.contains("line 1: ")));
        assert_eq!(fs::read_to_string(&path).unwrap(), config.to_toml());
        assert_eq!(fs::read_to_string(folder.join("cluster.toml.refused")).unwrap(), "settings = [");
        fs::write(&path, "settings.balance = \"on\"\n").unwrap();
        let on = Edit::Settings(vec![(Key::Balance, Some("on".to_owned()))]);
        assert_eq!(shared.look().unwrap(), None);
        assert_eq!(shared.look().unwrap(), Some(on));
        fs::remove_file(&path).unwrap();
        assert_eq!((shared.look().unwrap(), shared.look().unwrap()), (None, None));
        assert!(path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_is_being_written_is_left_alone() {
        let (folder, mut shared, config) = written("being-written");
        let path = shared.path.clone();
        let newer = ClusterConfig { cluster: "y".to_owned(), ..config };
        // Emptied first, then written, as a shell does; and the cluster has agreed on another one meanwhile.
        fs::write(&path, "").unwrap();
        assert_eq!(shared.look().unwrap(), None);
        shared.write(&newer).unwrap();
        fs::write(&path, "settings = [").unwrap();
        assert_eq!(shared.look().unwrap(), None);
        shared.write(&newer).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "settings = [");
        assert!(matches!(shared.look().unwrap(), Some(Edit::Refused(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), newer.to_toml());
        fs::remove_dir_all(&folder).unwrap();
    }
}
