//! CRIU's command lines that several programs use, and what it says when it fails.

use anyhow::{Context, Result};
use brant_migration::link_remaps::{self, Link};
use brant_migration::tty_info;
use brant_sys::child::Tool;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a dump of a frozen tree is told; it stays frozen in its group. `terminal` is the tree's `/dev/tty`.
pub(crate) fn frozen(criu: Tool, group: &Path, terminal: &Path) -> Tool {
    // CRIU would look for the session of a `/dev/tty` that somebody has open, and that one stays.
    let criu = match std::fs::metadata(terminal) {
        Ok(meta) => criu.args(["--external", &format!("tty[{:x}:{:x}]", meta.rdev(), meta.dev())]),
        Err(_) => criu,
    };
    criu.args(["--shell-job", "--manage-cgroups=ignore"])
        // As much as the judge lets pass.
        .args(["--ghost-limit", &(brant_migration::obstacle::MOST_NAMELESS_KIB << 10).to_string()])
        // Not --leave-stopped: it sends SIGSTOP, and the shell would see that. The freezer holds it instead.
        .args(["--leave-running", "--freeze-cgroup"])
        .arg(group)
}

/// The links that an image has for deleted files; none where that cannot be found out.
fn links(folder: &Path) -> Result<Vec<Link>> {
    let read = |name: &str| match std::fs::read(folder.join(name)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        image => image.map(Some).with_context(|| format!("reading the image's `{name}`")),
    };
    let (Some(files), Some(remaps)) = (read("files.img")?, read("remap-fpath.img")?) else {
        return Ok(Vec::new());
    };
    link_remaps::links(&files, &remaps).context("understanding which deleted files the process has open")
}

/// Makes the links of an image that is to be restored elsewhere: CRIU has removed them, since the process is still there.
///
/// # Errors
/// One could not be made; those that were made are gone again.
pub fn make_links(folder: &Path) -> Result<Links> {
    let mut made = Links(Vec::new());
    for link in links(folder)? {
        match std::fs::hard_link(&link.of, &link.path) {
            Ok(()) => made.0.push(link),
            // By a move before, which was called off.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && is_of_its_file(&link) => {
                made.0.push(link);
            }
            Err(error) => {
                made.remove();
                return Err(error).with_context(|| format!("making the link `{}`", link.path));
            }
        }
    }
    Ok(made)
}

/// Links that were made for an image.
#[derive(Debug)]
pub struct Links(Vec<Link>);

impl Links {
    /// Removes them: the move that they were made for is off. One of another process with the same name stays.
    pub fn remove(self) {
        self.0.iter().filter(|link| is_of_its_file(link)).for_each(remove_link);
    }
}

fn remove_link(link: &Link) {
    let _gone_already = std::fs::remove_file(&link.path);
}

fn is_of_its_file(link: &Link) -> bool {
    let identity = |path: &str| std::fs::symlink_metadata(path).map(|about| (about.dev(), about.ino())).ok();
    identity(&link.of).is_some_and(|file| identity(&link.path) == Some(file))
}

/// Looks for them, so that a folder which NFS remembers from before they were made is read anew.
pub fn look_for_links(folder: &Path) {
    for Link { path, .. } in links(folder).unwrap_or_default() {
        let parent = Path::new(&path).parent().unwrap_or(Path::new("/"));
        let _restore_will_say_so = std::fs::read_dir(parent).and_then(|_| std::fs::symlink_metadata(&path));
    }
}

/// Makes an image's `/dev/tty`, if it has one, something that a restore can be given.
///
/// # Errors
/// What the file system said; an image that is not understood. It is as it was.
pub(crate) fn cut_terminals_off(folder: &Path) -> Result<()> {
    let path = folder.join("tty-info.img");
    let image = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        image => image.context("reading the image's terminals")?,
    };
    let changed = tty_info::cut_off(&image).context("looking for the image's controlling terminal")?;
    if changed == image {
        Ok(())
    } else {
        std::fs::write(&path, changed).context("changing the image's terminals")
    }
}

/// What CRIU has written into its log about a failure.
pub fn errors(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("Error")).collect();
    errors.iter().rev().take(6).rev().copied().collect::<Vec<_>>().join("; ")
}
