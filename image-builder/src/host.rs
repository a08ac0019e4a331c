//! What a verb needs of this machine: tools, named all at once with the one line that installs them; and room.

use crate::failure::{Advice, Kind};
use crate::job::Job;
use crate::progress::Progress;
use anyhow::Context as _;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Something that has to be installed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostTool {
    /// A program's name, or the whole path of a file.
    pub file: &'static str,
    /// The Debian package that holds it.
    pub package: &'static str,
}

/// Makes sure that these tools are here; installs them, if that was asked for and this is root.
///
/// # Errors
/// Some are missing; the error names them all, and the line that installs them.
pub(crate) fn require(tools: &[HostTool], install: bool, progress: &Progress) -> anyhow::Result<()> {
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    if !install || !is_root() {
        return Err(lacking(&missing).error());
    }
    let packages = packages(&missing);
    let stage = progress.stage(&format!("installing {}", packages.join(", ")));
    let installing = || Advice::new(Kind::Host, format!("installing {}", packages.join(", ")));
    for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends"]] {
        let job = Job::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        let job = if arguments[0] == "install" { job.args(&packages) } else { job };
        job.watch(|line| stage.detail(line)).with_context(installing)?;
    }
    let still = self::missing(tools);
    if still.is_empty() {
        stage.done("");
        return Ok(());
    }
    Err(lacking(&still).error())
}

fn lacking(missing: &[HostTool]) -> Advice {
    let files: Vec<&str> = missing.iter().map(|tool| tool.file).collect();
    let line = format!("apt-get install {}", packages(missing).join(" "));
    let hint = if is_root() {
        format!("{line}    (or let `--install-host-tools` do it)")
    } else {
        format!("sudo {line}")
    };
    Advice::new(Kind::Host, format!("this machine lacks {}", files.join(", "))).hint(hint)
}

fn missing(tools: &[HostTool]) -> Vec<HostTool> {
    tools.iter().filter(|tool| find(tool.file).is_none()).copied().collect()
}

fn packages(tools: &[HostTool]) -> Vec<&'static str> {
    tools.iter().map(|tool| tool.package).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Looks for a program in the path (and where ordinary users' paths do not lead), or for a file by its whole path.
pub(crate) fn find(file: &str) -> Option<PathBuf> {
    if file.starts_with('/') {
        return Some(PathBuf::from(file)).filter(|path| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    folders.map(|folder| folder.join(file)).find(is_program)
}

/// Whether this process may do everything here.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes sure that a disk has room, before any work is done.
///
/// # Errors
/// It has not; the error says how much there is and how much is needed.
pub(crate) fn require_room(folder: &Path, needed: u64, what_for: &str) -> anyhow::Result<()> {
    let looking = || format!("looking at the disk of `{}`", folder.display());
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(existing).map_err(std::io::Error::from).with_context(looking)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    let (free, needed) = (megabytes(free), megabytes(needed));
    let what =
        format!("the disk of `{}` has {free} MB free, {what_for} needs about {needed} MB", folder.display());
    Err(Advice::new(Kind::Space, what).hint("free some room there, or use another disk").error())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOLS: [HostTool; 4] = [
        HostTool { file: "sh", package: "dash" },
        HostTool { file: "no-such-program", package: "nothing" },
        HostTool { file: "/no/such/file", package: "nothing" },
        HostTool { file: "nor-this", package: "also-nothing" },
    ];

    #[test]
    fn all_missing_tools_come_in_one_message_with_one_line_to_install_them() {
        let error = require(&TOOLS, false, &Progress::new()).unwrap_err();
        assert_eq!(error.to_string(), "this machine lacks no-such-program, /no/such/file, nor-this");
        assert_eq!(packages(&missing(&TOOLS)), ["also-nothing", "nothing"]);
    }

    #[test]
    fn nothing_is_said_when_all_is_there() {
        require(&TOOLS[..1], false, &Progress::new()).unwrap();
    }

    #[test]
    fn a_disk_that_is_too_small_is_named_with_both_figures() {
        let error = require_room(Path::new("/no/such/folder"), u64::MAX, "the build").unwrap_err();
        assert!(error.to_string().starts_with("the disk of `/no/such/folder` has "), "{error}");
        require_room(Path::new("/"), 1, "the build").unwrap();
    }
}
