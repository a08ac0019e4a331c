//! `/etc/brant/cluster.toml`: written as the cluster has agreed, and looked at for what somebody has edited.
//!
//! ```text
//! written ──(another file is there)──▶ judged ──▶ settings changed: told to the cluster ──▶ written
//!                                         └─────▶ refused: put aside, with the reason ────▶ written
//! ```

use super::files;
use crate::door::{self, Edit};
use anyhow::{Context, Result};
use brant_types::cluster::{CLUSTER_TOML, ClusterConfig};
use brant_types::node::ClusterId;
use brant_types::settings::{Key, NoSuchKey, Settings};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
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
}

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
        Self { path: CLUSTER_TOML.into(), written: None }
    }

    /// Replaces it in one step; says what somebody has made of the one before.
    pub(super) fn write(&mut self, config: &ClusterConfig) -> Result<Option<Edit>> {
        let edit = self.look()?;
        self.replace(config)?;
        Ok(edit)
    }

    /// Looks for what somebody has made of it. Then it is again as the cluster has agreed.
    pub(super) fn look(&mut self) -> Result<Option<Edit>> {
        let Some((stamp, config)) = &self.written else { return Ok(None) };
        let found = self.stamp()?;
        if found == Some(*stamp) {
            return Ok(None);
        }
        let config = config.clone();
        let edit = if found.is_some() { self.judge(&config)? } else { None };
        self.replace(&config)?;
        Ok(edit)
    }

    fn judge(&self, config: &ClusterConfig) -> Result<Option<Edit>> {
        let reading = || format!("reading `{}`", self.path.display());
        let mut text = String::new();
        let read =
            File::open(&self.path).with_context(reading)?.take(door::MOST as u64).read_to_string(&mut text);
        let changes = match read {
            Ok(_) => changes(&text, &config.settings),
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

/// The file as people write it: only the settings matter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    #[serde(default, rename = "cluster")]
    _cluster: IgnoredAny,
    #[serde(default, rename = "revision")]
    _revision: IgnoredAny,
    #[serde(default, rename = "node")]
    _nodes: IgnoredAny,
}

/// `balance = "off"`, `balance-after = 9`, or a register as the agent writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(i64),
    Register { value: Option<String> },
}

impl Value {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number.to_string()),
            Self::Register { value } => value,
        }
    }
}

/// How the settings in this text differ from the cluster's.
fn changes(text: &str, settings: &Settings) -> Result<Vec<(Key, Option<String>)>, String> {
    let mut written: Written = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        format!("line {line}: {}", error.message().replace('\n', ", "))
    })?;
    let mut changes = Vec::new();
    for key in Key::ALL {
        let value = written.settings.remove(key.name()).and_then(Value::text);
        if let Some(value) = &value {
            key.check(value).map_err(|bad| format!("line {}: {bad}", line_with(text, key.name())))?;
        }
        if value.as_deref() != settings.register(key).and_then(|setting| setting.value.as_deref()) {
            changes.push((key, value));
        }
    }
    let known = |name: &str| settings.iter().any(|(ours, _)| ours == name);
    match written.settings.keys().find(|name| !known(name)) {
        Some(name) => Err(format!("line {}: {}", line_with(text, name), NoSuchKey { name: name.clone() })),
        None => Ok(changes),
    }
}

/// The number of the line that this byte is in.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The number of the first line that names this setting.
fn line_with(text: &str, name: &str) -> usize {
    let names = |line: &str| {
        let line = line.trim_start().trim_start_matches("[settings.").trim_start_matches('"');
        line.strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '-'))
    };
    text.lines().position(names).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::node::NodeId;

    fn settings(balance: &str) -> Settings {
        let mut settings = Settings::default();
        settings.set(Key::Balance, Some(balance.to_owned()), NodeId::from([1; 8])).unwrap();
        settings
    }

    fn config(settings: &Settings) -> ClusterConfig {
        ClusterConfig::of("x", ClusterId([0; 8]), settings, [])
    }

    #[test]
    fn only_what_was_changed_counts_however_it_is_written() {
        let ours = settings("off");
        let text = config(&ours).to_toml();
        assert_eq!(changes(&text, &ours), Ok(vec![]));
        let on = vec![(Key::Balance, Some("on".to_owned()))];
        assert_eq!(changes(&text.replace("\"off\"", "\"on\""), &ours), Ok(on.clone()));
        assert_eq!(changes("[settings]\nbalance = \"on\"\n", &ours), Ok(on));
        let both = vec![(Key::Balance, None), (Key::BalanceAfter, Some("9".to_owned()))];
        assert_eq!(changes("settings.balance-after = 9", &ours), Ok(both));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let ours = settings("off");
        let why = |text: &str| changes(text, &ours).unwrap_err();
        assert!(why("cluster = \"x\"\n\n[settings\nbalance = 1\n").starts_with("line 3: "));
        assert!(
            why("cluster = \"x\"\n[settings]\nbalance-after = 1\nbalance = \"maybe\"\n")
                .starts_with("line 4: `balance` cannot be `maybe`")
        );
        assert!(why("[settings]\nbalanse = \"on\"\n").starts_with("line 2: there is no setting `balanse`"));
        assert!(why("cluster = \"x\"\nnodes = []\n").starts_with("line 2: unknown field `nodes`"));
    }

    #[test]
    fn a_broken_file_is_put_aside_and_the_clusters_is_back() {
        let folder = std::env::temp_dir().join(format!("brant-shared-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("cluster.toml");
        let mut shared = SharedFile { path: path.clone(), written: None };
        let config = config(&settings("off"));
        assert_eq!(shared.write(&config).unwrap(), None);
        assert_eq!(shared.look().unwrap(), None);
        fs::write(&path, "settings = [").unwrap();
        assert!(matches!(shared.look().unwrap(), Some(Edit::Refused(why)) if why.contains("line 1: ")));
        assert_eq!(fs::read_to_string(&path).unwrap(), config.to_toml());
        assert_eq!(fs::read_to_string(folder.join("cluster.toml.refused")).unwrap(), "settings = [");
        fs::write(&path, "settings.balance = \"on\"\n").unwrap();
        let on = Edit::Settings(vec![(Key::Balance, Some("on".to_owned()))]);
        assert_eq!(shared.write(&config).unwrap(), Some(on));
        fs::remove_file(&path).unwrap();
        assert_eq!(shared.look().unwrap(), None);
        assert!(path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
