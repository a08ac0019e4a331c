//! The cluster's secret as an input of the build: made once per cluster name, and kept.

use crate::failure::{Advice, Kind};
use crate::invoker;
use anyhow::Context as _;
use brant_types::secret::ClusterSecret;
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the secret comes from.
#[derive(Debug, Clone)]
pub(crate) enum SecretSource {
    /// A file that somebody has given, which must exist.
    Given(PathBuf),
    /// Our own file, made when it does not exist.
    Kept(PathBuf),
}

/// The cluster's secret, and whether it has just been made.
///
/// # Errors
/// The file cannot be read, written, or holds something else.
pub(crate) fn obtain(source: &SecretSource) -> anyhow::Result<(ClusterSecret, bool)> {
    let (path, made) = match source {
        SecretSource::Given(path) => (path, false),
        SecretSource::Kept(path) => (path, make_if_absent(path)?),
    };
    let text = fs::read_to_string(path)
        .with_context(|| format!("reading the cluster secret `{}`", path.display()))?;
    let secret: ClusterSecret = text.parse().map_err(|error| {
        anyhow::Error::new(error).context(
            Advice::new(Kind::Input, format!("reading the cluster secret `{}`", path.display()))
                .hint("a new one: head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'"),
        )
    })?;
    if let SecretSource::Kept(_) = source {
        keep_private(path)?;
    }
    Ok((secret, made))
}

fn make_if_absent(path: &Path) -> anyhow::Result<bool> {
    let making = || format!("making the cluster secret `{}`", path.display());
    if path.exists() {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(making)?;
        invoker::give(folder);
    }
    let mut bytes = [0; 32];
    let got = getrandom(&mut bytes, GetRandomFlags::empty()).map_err(io::Error::from).with_context(making)?;
    anyhow::ensure!(got == bytes.len(), "making the cluster secret: only {got} random bytes came");
    // Under a name of its own first: an interrupted write must not leave half a secret to be taken for one.
    let half = path.with_extension("new");
    let _left_by_an_earlier_run = fs::remove_file(&half);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half).with_context(making)?;
    let text = format!("{}\n", ClusterSecret::from_bytes(bytes).reveal());
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(making)?;
    invoker::give(&half);
    fs::rename(&half, path).with_context(making)?;
    Ok(true)
}

fn keep_private(path: &Path) -> anyhow::Result<()> {
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(path, private).with_context(|| format!("making `{}` private", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let source = SecretSource::Kept(folder.path().join("secrets/lab"));
        let (first, made) = obtain(&source).unwrap();
        let (second, made_again) = obtain(&source).unwrap();
        assert!(made && !made_again);
        assert_eq!(first, second);
        let mode = fs::metadata(folder.path().join("secrets/lab")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_given_file_must_exist_and_hold_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("given");
        assert!(obtain(&SecretSource::Given(path.clone())).is_err());
        fs::write(&path, "not a secret").unwrap();
        let error = obtain(&SecretSource::Given(path.clone())).unwrap_err();
        assert!(!format!("{error:#}").contains("not a secret"), "a secret's file is never repeated");
        fs::write(&path, "ab".repeat(32)).unwrap();
        obtain(&SecretSource::Given(path)).unwrap();
    }
}
