//! The arguments of `build`, and what they come to.

use super::secret::SecretSource;
use crate::failure::{Advice, Kind};
use crate::profile::{self, Profile};
use crate::workspace::Workspace;
use anyhow::Context as _;
use clap::Args;
use std::path::{Path, PathBuf};

const DEFAULT_PROFILE: &str = "compute";
const DEFAULT_CLUSTER: &str = "brant";

/// Build a bootable image from a profile.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Which profile to build: one of `brant-image profiles`, or a file.
    #[arg(short, long, default_value = DEFAULT_PROFILE)]
    pub profile: String,
    /// Where the image goes [default: target/brant-PROFILE.iso].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The cluster whose secret the image carries; made when the name is new, kept in target/secrets/NAME.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_CLUSTER)]
    pub cluster: String,
    /// Take the cluster's secret from this file instead.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Take the programs of a node from this folder instead of building them.
    #[arg(long, value_name = "DIR")]
    pub node_bins: Option<PathBuf>,
    /// Build the image also when nothing has changed since it was made.
    #[arg(long)]
    pub rebuild: bool,
    /// Write the packages down in profiles/PROFILE.lock, with versions and digests.
    #[arg(long, conflicts_with = "locked")]
    pub lock: bool,
    /// Refuse all packages but those of profiles/PROFILE.lock.
    #[arg(long)]
    pub locked: bool,
    /// Install what the build needs on this machine, by apt-get.
    #[arg(long)]
    pub install_host_tools: bool,
}

impl Default for BuildArgs {
    /// What `build` does when nothing is said.
    fn default() -> Self {
        Self {
            profile: DEFAULT_PROFILE.to_owned(),
            output: None,
            cluster: DEFAULT_CLUSTER.to_owned(),
            secret_file: None,
            node_bins: None,
            rebuild: false,
            lock: false,
            locked: false,
            install_host_tools: false,
        }
    }
}

/// Everything a build needs to know; nothing below looks at arguments again.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Brant's source tree.
    pub workspace: Workspace,
    /// What to build.
    pub profile: Profile,
    /// The image's final place, absolute.
    pub output: PathBuf,
    /// The cluster's name.
    pub cluster: String,
    /// Where its secret is.
    pub secret: SecretSource,
    /// The profile's lock file, whether there is one or not.
    pub lock: PathBuf,
    /// Programs of a node that somebody has built already.
    pub node_bins: Option<PathBuf>,
}

impl BuildArgs {
    /// Does every look-up once.
    ///
    /// # Errors
    /// A wrong profile or argument, before anything has been touched.
    pub(crate) fn resolve(&self) -> anyhow::Result<Plan> {
        let workspace = Workspace::find()?;
        let profile = profile::load(&workspace, &self.profile)?;
        check_cluster(&self.cluster)?;
        let output = self.output.clone().unwrap_or_else(|| workspace.image(&profile.name));
        let secret = match &self.secret_file {
            Some(file) => SecretSource::Given(absolute(file)?),
            None => SecretSource::Kept(workspace.secrets().join(&self.cluster)),
        };
        Ok(Plan {
            output: absolute(&output)?,
            cluster: self.cluster.clone(),
            lock: workspace.profiles().join(format!("{}.lock", profile.name)),
            secret,
            node_bins: self.node_bins.as_deref().map(absolute).transpose()?,
            workspace,
            profile,
        })
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("looking up `{}`", path.display()))
}

/// A cluster's name is a file name, and goes into host names.
pub(crate) fn check_cluster(name: &str) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=32).contains(&name.len())
        && name.chars().all(fits)
        && !name.starts_with('-')
        && !name.ends_with('-')
    {
        return Ok(());
    }
    let advice = Advice::new(Kind::Input, format!("`{name}` is not a cluster's name"));
    Err(advice.hint("use up to 32 of a-z, 0-9 and -, not - at an end").error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_name_cannot_leave_the_secrets_folder() {
        for name in ["brant", "lab-2", "x"] {
            check_cluster(name).unwrap();
        }
        for name in ["", "..", "a/b", "-x", "x-", "Großrechner", &"x".repeat(33)] {
            check_cluster(name).unwrap_err();
        }
    }
}
