//! The Debian root as it comes from its packages: made by mmdebstrap, kept as a tar under a name that says what
//! went in, so that the next build takes a second for it.

use super::bench::Bench;
use super::mirror::Archive;
use super::release::hex;
use crate::failure::{Advice, Kind};
use crate::invoker;
use crate::job::Job;
use crate::profile::Profile;
use crate::progress::Stage;
use anyhow::Context as _;
use brant_sys::child::ChildError;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Debian's archive keys, from the package `debian-archive-keyring`.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// To be counted up when this stage changes in a way that its other inputs do not show.
const STAGE_VERSION: u32 = 4;

const HOOK: &str = include_str!("base-hook.sh");

/// How many roots are kept for later builds.
const KEPT: usize = 3;

const DPKG_OPTIONS: [&str; 1] = [
    // A root that a power cut spoils is made again.
    "force-unsafe-io",
];

/// Without documentation also these.
const WITHOUT_DOCUMENTATION: [&str; 8] = [
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
    // The folders stay: Java's installation puts links there, and fails where it cannot.
    "path-include=/usr/share/man/man?",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/vim/*/doc/*",
];

/// A root of Debian packages, as a tar.
#[derive(Debug)]
pub(crate) struct Base {
    /// The tar.
    pub tar: PathBuf,
    /// The date of the archive it was made from, in seconds since 1970.
    pub date: u64,
}

/// Whether a root with these packages is kept, of whatever date.
pub(crate) fn any_cached(profile: &Profile, cache: &Path) -> bool {
    let prefix = format!("base-{}-", inputs(profile));
    kept(cache)
        .iter()
        .any(|tar| tar.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
}

/// Finds the root among those kept.
///
/// Without an archive to compare with, the newest one with the same packages will do.
pub(crate) fn cached(profile: &Profile, archive: Option<&Archive>, bench: &Bench) -> Option<Base> {
    let prefix = format!("base-{}-", inputs(profile));
    let state = archive.map(|archive| &archive.state[..16]);
    kept(bench.cache()).into_iter().rev().find_map(|tar| {
        let rest = tar.file_name()?.to_str()?.strip_prefix(&prefix)?.strip_suffix(".tar")?.to_owned();
        let (its_state, date) = rest.split_once('-')?;
        let fits = state.is_none_or(|state| state == its_state);
        fits.then_some(date.parse().ok()).flatten().map(|date| Base { tar, date })
    })
}

/// Makes the root from its packages.
///
/// # Errors
/// The packages cannot be fetched, verified or installed. Nothing is kept then.
pub(crate) fn make(
    profile: &Profile,
    archive: &Archive,
    bench: &Bench,
    stage: &Stage,
) -> anyhow::Result<Base> {
    let hook = bench.work("base-hook.sh");
    write_program(&hook, HOOK)?;
    let half = bench.work("base.tar");
    let components = profile.debian.components.join(" ");
    let job = Job::new("mmdebstrap")
        .env("TMPDIR", bench.work(""))
        .env("SOURCE_DATE_EPOCH", archive.date.to_string())
        .env("BRANT_KERNEL", &profile.kernel.package)
        .env("BRANT_UNWANTED_MODULES", profile.kernel.unwanted_modules.join(" "))
        .env("BRANT_MEMORY_TEST", if profile.boot.memory_test { "memtest86+" } else { "" })
        .env("BRANT_FIRMWARE_PACKAGES", profile.firmware.packages.join(" "))
        .env("BRANT_FIRMWARE_FILES", profile.firmware.files.join(" "))
        .args(["--mode=root", "--variant=minbase", "--format=tar", "--architectures=amd64"])
        // The kernel makes them on a node; in a user namespace nobody can.
        .arg("--skip=output/dev")
        .arg(format!("--components={}", profile.debian.components.join(",")))
        .args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""])
        .args(["--aptopt=Acquire::Retries \"3\"", "--aptopt=Acquire::http::Timeout \"30\""])
        .args(dpkg_options(profile).map(|option| format!("--dpkgopt={option}")))
        .arg(format!("--include={}", profile.debian.packages.join(",")))
        .arg(format!("--customize-hook={}", hook.display()))
        .arg(&profile.debian.suite)
        .arg(&half)
        .args(
            archive
                .sources
                .iter()
                .map(|(uri, suite)| format!("deb [signed-by={KEYRING}] {uri} {suite} {components}")),
        );
    job.watch(|line| stage.detail(line.trim_start_matches("I: ")))
        .map_err(|error| explained(error, archive))?;
    fs::File::open(&half).and_then(|file| file.sync_all()).context("writing the root's tar to disk")?;
    let tar =
        bench.cache().join(format!("base-{}-{}-{}.tar", inputs(profile), &archive.state[..16], archive.date));
    fs::rename(&half, &tar).with_context(|| format!("keeping the root as `{}`", tar.display()))?;
    invoker::give(&tar);
    forget_old(bench.cache())?;
    Ok(Base { tar, date: archive.date })
}

fn dpkg_options(profile: &Profile) -> impl Iterator<Item = &'static str> {
    let trimmed = WITHOUT_DOCUMENTATION.into_iter().filter(|_| !profile.debian.documentation);
    DPKG_OPTIONS.into_iter().chain(trimmed)
}

/// Everything but the state of the archive.
fn inputs(profile: &Profile) -> String {
    let mut hash = Sha256::new();
    hash.update(STAGE_VERSION.to_le_bytes());
    hash.update(HOOK);
    let debian = &profile.debian;
    let lists = [
        &dpkg_options(profile).map(str::to_owned).collect::<Vec<_>>(),
        std::slice::from_ref(&debian.suite),
        &debian.components,
        &debian.packages,
        &profile.kernel.unwanted_modules,
        &profile.firmware.packages,
        &profile.firmware.files,
    ];
    for list in lists {
        hash.update(list.join("\n"));
        hash.update([0]);
    }
    hash.update(&profile.kernel.package);
    hash.update([u8::from(profile.boot.memory_test)]);
    hex(&hash.finalize())[..16].to_owned()
}

/// The roots kept, oldest first.
fn kept(cache: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(SystemTime, PathBuf)> = fs::read_dir(cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("base-"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn forget_old(cache: &Path) -> anyhow::Result<()> {
    let kept = kept(cache);
    for old in &kept[..kept.len().saturating_sub(KEPT)] {
        fs::remove_file(old).with_context(|| format!("removing `{}`", old.display()))?;
    }
    Ok(())
}

fn write_program(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let writing = || format!("writing `{}`", path.display());
    fs::write(path, text).with_context(writing)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).with_context(writing)
}

/// Tells a download that went wrong from the rest, by what apt says.
fn explained(error: ChildError, archive: &Archive) -> anyhow::Error {
    let error = without_chatter(error);
    let said = error.to_string();
    let mirror = archive.sources.first().map_or("the mirror", |(uri, _)| uri.as_str());
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let what = "building the Debian root";
    let suite = archive.sources.first().map_or("the suite", |(_, suite)| suite.as_str());
    let advice = if says(&["Hash Sum mismatch", "unexpected size", "File has unexpected"]) {
        Advice::new(Kind::Network, format!("{what}: a package came broken from {mirror}")).hint(
            "build again in a while; a mirror in the middle of an update does that, and so does a bad proxy",
        )
    } else if says(&["NO_PUBKEY", "is not signed", "BADSIG", "Missing key", "EXPKEYSIG"]) {
        Advice::new(Kind::Network, format!("{what}: the signature of {mirror} is not Debian's"))
            .hint("check the mirror, and that the package debian-archive-keyring is up to date")
    } else if says(&[
        "Unable to locate package",
        "has no installation candidate",
        "Unable to correct problems",
    ]) {
        Advice::new(Kind::Input, format!("{what}: Debian's {suite} has not all of the profile's packages"))
            .hint("look at `packages` in the profile's `[debian]`")
    } else if says(&["Failed to fetch", "Could not resolve", "Could not connect", "Temporary failure"]) {
        Advice::new(Kind::Network, format!("{what}: fetching packages from {mirror}"))
            .hint("check the network, and build again")
    } else {
        Advice::new(Kind::Other, what)
    };
    anyhow::Error::new(error).context(advice)
}

/// The error without the lines that only tell what went well, and without the end of very long ones.
fn without_chatter(error: ChildError) -> ChildError {
    const CHATTER: [&str; 9] =
        ["Get:", "Ign:", "Hit:", "I: ", "Fetched ", "Reading ", "Selecting ", "Unpacking ", "Setting up "];
    match error {
        ChildError::Failed { program, how, status, tail } => {
            let telling = tail.lines().filter(|line| !CHATTER.iter().any(|word| line.starts_with(word)));
            let lines: Vec<String> = telling.map(|line| line.chars().take(200).collect()).collect();
            ChildError::Failed { program, how, status, tail: lines.join("\n") }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_download_is_told_from_a_package_that_does_not_exist() {
        let archive =
            Archive { sources: vec![("http://m".into(), "trixie".into())], state: String::new(), date: 0 };
        let explain = |tail: &str| {
            let error = ChildError::Failed {
                program: "mmdebstrap".into(),
                how: "x".into(),
                status: Some(1),
                tail: tail.into(),
            };
            explained(error, &archive).to_string()
        };
        assert!(explain("E: Failed to fetch http://m/x.deb  Hash Sum mismatch").contains("came broken"));
        assert!(explain("E: Unable to locate package foo").contains("has not all"));
        assert!(
            explain("E: Failed to fetch http://m/x.deb  Connection failed").contains("fetching packages")
        );
    }
}
