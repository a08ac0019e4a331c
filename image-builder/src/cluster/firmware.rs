//! Finding UEFI firmware: given by hand, cached, downloaded, or Debian's.

use crate::failure::{Advice, Kind};
use anyhow::{Context, Result, anyhow};
use ovmf_prebuilt::{Arch, FileType, Prebuilt, Source};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// How long a download may take before Debian's firmware is used instead.
const DOWNLOAD: Duration = Duration::from_secs(30);
/// Where Debian's package `ovmf` puts it.
const DEBIAN: &str = "/usr/share/OVMF";
/// The names of code and variables, ours and Debian's.
const PAIRS: [(&str, &str); 3] =
    [("code.fd", "vars.fd"), ("x64/code.fd", "x64/vars.fd"), ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd")];
/// What the crate compares with its own mark to see whether a folder is up to date.
const DEBIAN_SOURCE: Source = Source { tag: "debian-ovmf", sha256: "taken from the Debian package ovmf" };

/// The code, and the variables to start with.
///
/// # Errors
/// None could be had; the hints say from where it can.
pub(crate) fn find(given: Option<&Path>, cache: &Path) -> Result<(PathBuf, PathBuf)> {
    let given = given.map(Path::to_owned).or_else(|| std::env::var_os("OVMF_DIR").map(PathBuf::from));
    if let Some(folder) = given {
        return pair_in(&folder).ok_or_else(|| {
            let what = format!(
                "looking for UEFI firmware in `{}`: no known pair of files is there",
                folder.display()
            );
            Advice::new(Kind::Input, what)
                .hint("name a folder with `OVMF_CODE_4M.fd` and `OVMF_VARS_4M.fd`")
                .error()
        });
    }
    let cache = cache.join("ovmf");
    let (downloaded, debian) = (cache.join(Source::LATEST.tag), cache.join(DEBIAN_SOURCE.tag));
    for (folder, source) in [(&downloaded, Source::LATEST), (&debian, DEBIAN_SOURCE)] {
        // Only with the right mark does the crate leave both the folder and the network alone.
        if fs::read_to_string(folder.join("sha256")).is_ok_and(|mark| mark == source.sha256) {
            return prebuilt(source, folder);
        }
    }
    let not_downloaded = match download(&cache, &downloaded) {
        Ok(()) => return prebuilt(Source::LATEST, &downloaded),
        Err(error) => error,
    };
    tracing::debug!(error = %format!("{not_downloaded:#}"), "UEFI firmware could not be downloaded");
    match pair_in(Path::new(DEBIAN)) {
        Some(pair) => {
            copy_debian(&pair, &cache, &debian)?;
            prebuilt(DEBIAN_SOURCE, &debian)
        }
        None => Err(not_downloaded.context(
            Advice::new(Kind::Host, "getting UEFI firmware")
                .hint("sudo apt-get install ovmf")
                .hint("or name a folder that has it with `--ovmf-dir`"),
        )),
    }
}

/// Code and variables for Secure Boot: those variables hold Microsoft's keys. Only Debian's package has them.
///
/// # Errors
/// They are not there.
pub(crate) fn with_keys(given: Option<&Path>) -> Result<(PathBuf, PathBuf)> {
    let folder = given.unwrap_or(Path::new(DEBIAN));
    let (code, vars) = (folder.join("OVMF_CODE_4M.secboot.fd"), folder.join("OVMF_VARS_4M.ms.fd"));
    if code.is_file() && vars.is_file() {
        return Ok((code, vars));
    }
    let what = format!("looking for UEFI firmware with Microsoft's keys in `{}`", folder.display());
    Err(Advice::new(Kind::Host, what).hint("sudo apt-get install ovmf").error())
}

fn pair_in(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let pairs = PAIRS.map(|(code, vars)| (folder.join(code), folder.join(vars)));
    let (code, vars) = pairs.into_iter().find(|(code, vars)| code.is_file() && vars.is_file())?;
    // QEMU will look from another folder.
    Some((fs::canonicalize(code).ok()?, fs::canonicalize(vars).ok()?))
}

fn prebuilt(source: Source, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let prebuilt =
        Prebuilt::fetch(source, folder).map_err(|error| anyhow!("{error}")).context("reading the cache")?;
    Ok((prebuilt.get_file(Arch::X64, FileType::Code), prebuilt.get_file(Arch::X64, FileType::Vars)))
}

/// Downloads into a folder of its own, and moves it to its place when it is whole.
fn download(cache: &Path, to: &Path) -> Result<()> {
    let fresh = cache.join(format!("download-{}", std::process::id()));
    fs::create_dir_all(&fresh).with_context(|| format!("making `{}`", fresh.display()))?;
    let (sender, receiver) = channel();
    let folder = fresh.clone();
    thread::spawn(move || {
        let fetched = Prebuilt::fetch(Source::LATEST, &folder).map(drop).map_err(|error| anyhow!("{error}"));
        let _nobody_waits_any_more = sender.send(fetched);
    });
    let fetched = receiver.recv_timeout(DOWNLOAD).unwrap_or_else(|_| Err(anyhow!("it took too long")));
    let moved = fetched.context("downloading UEFI firmware").and_then(|()| move_to(&fresh, to));
    let _moved_or_half_done = fs::remove_dir_all(&fresh);
    moved
}

fn copy_debian((code, vars): &(PathBuf, PathBuf), cache: &Path, to: &Path) -> Result<()> {
    let fresh = cache.join(format!("copy-{}", std::process::id()));
    let copied = (|| {
        fs::create_dir_all(fresh.join("x64"))?;
        fs::copy(code, fresh.join("x64/code.fd"))?;
        fs::copy(vars, fresh.join("x64/vars.fd"))?;
        fs::write(fresh.join("sha256"), DEBIAN_SOURCE.sha256)
    })();
    let moved = copied.context("copying Debian's UEFI firmware").and_then(|()| move_to(&fresh, to));
    let _moved_or_half_done = fs::remove_dir_all(&fresh);
    moved
}

fn move_to(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("removing `{}`", to.display()))?;
    }
    fs::rename(from, to).with_context(|| format!("moving UEFI firmware to `{}`", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn firmware(folder: &Path, names: (&str, &str)) {
        for name in [names.0, names.1] {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), name).unwrap();
        }
    }

    #[test]
    fn a_given_folder_is_used_or_refused_by_name() {
        let folder = TempDir::new().unwrap();
        let refused = find(Some(folder.path()), Path::new("/nonexistent")).unwrap_err();
        assert!(refused.to_string().contains(&folder.path().display().to_string()), "{refused}");
        firmware(folder.path(), PAIRS[2]);
        let (code, vars) = find(Some(folder.path()), Path::new("/nonexistent")).unwrap();
        assert!(code.ends_with("OVMF_CODE_4M.fd") && vars.ends_with("OVMF_VARS_4M.fd"));
    }

    #[test]
    fn debians_firmware_is_cached_so_that_the_next_time_asks_no_network() {
        let (package, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        firmware(package.path(), PAIRS[2]);
        let debian = cache.path().join("ovmf").join(DEBIAN_SOURCE.tag);
        copy_debian(&pair_in(package.path()).unwrap(), &cache.path().join("ovmf"), &debian).unwrap();
        let (code, vars) = find(None, cache.path()).unwrap();
        assert_eq!((code, vars), (debian.join("x64/code.fd"), debian.join("x64/vars.fd")));
        assert_eq!(fs::read_dir(cache.path().join("ovmf")).unwrap().count(), 1);
    }
}
