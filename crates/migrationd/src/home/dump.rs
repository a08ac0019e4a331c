//! A process's image, made by CRIU: its memory goes straight to the target, the rest lies in this node's memory until
//! it is sent.
//!
//! Each dump has a folder of its own, for CRIU looks into the one before it (when was that, and in which way), though
//! no page is there.

use super::moves::Moves;
use super::pages::{Dump, Streamed};
use crate::{criu, image};
use anyhow::{Context, Result};
use brant_migration::pagemap::{Owner, PAGE};
use brant_migration::protocol::{ImagePart, SessionId};
use brant_sys::child::Tool;
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where images lie, in memory; only root may look.
const DUMPS: &str = "/run/brant/dumps";

/// An image; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Image {
    session: SessionId,
    folder: PathBuf,
    dumps: u32,
    /// Whose pages were in the round before; nobody's where that is of no use.
    owners: BTreeSet<Owner>,
    /// Whether memory was moved about since the first round that is of use.
    moves: Option<Moves>,
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, "removing an image");
        }
    }
}

impl Image {
    /// Makes room for it.
    pub(super) fn begin(session: SessionId) -> Result<Self> {
        let folder = Path::new(DUMPS).join(session.to_string());
        make_folder(&folder)?;
        Ok(Self { session, folder, dumps: 0, owners: BTreeSet::new(), moves: None })
    }

    /// The stay that it is made for.
    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Sends what was written to since the last time, or everything; the process runs on.
    pub(super) fn pre_dump(&mut self, pid: i32, link: &mut TcpStream) -> Result<Streamed> {
        if self.moves.as_ref().is_none_or(Moves::any) {
            self.start_over(pid);
            // Before CRIU looks at the process: what is moved from now on is known.
            self.moves = Some(Moves::watch(pid)?);
        }
        let criu = self.next("pre-dump", pid)?.arg("--track-mem");
        self.stream(criu, link, false)
    }

    /// Sends the rest of the memory, and makes the rest of the image; the process stays frozen in its group.
    pub(super) fn make(&mut self, pid: i32, group: &Path, link: &mut TcpStream) -> Result<Streamed> {
        let tracked = self.dumps > 0;
        if tracked && self.moves.as_ref().is_none_or(Moves::any) {
            self.start_over(pid);
        }
        let mut criu = criu::frozen(self.next("dump", pid)?, group);
        if tracked {
            criu = criu.arg("--track-mem");
        }
        let streamed = self.stream(criu, link, true)?;
        criu::cut_terminals_off(&self.current())?;
        let eager = stack_pages(group);
        image::send(link, &ImagePart::LastRoundOver { eager })?;
        Ok(streamed)
    }

    /// What was sent is of no use: the next round is like the first.
    pub(super) fn start_over(&mut self, pid: i32) {
        if !self.owners.is_empty() {
            tracing::info!(pid, "what was sent does not tell its memory: all of it is sent again");
        }
        self.owners.clear();
        self.moves = None;
    }

    fn current(&self) -> PathBuf {
        self.folder.join(self.dumps.to_string())
    }

    fn next(&mut self, verb: &str, pid: i32) -> Result<Tool> {
        let before = self.dumps;
        self.dumps += 1;
        make_folder(&self.current())?;
        let mut criu = Tool::new("criu")
            .args([verb, "-t", &pid.to_string(), "-o", "dump.log", "-v2"])
            .arg("-D")
            .arg(self.current());
        if !self.owners.is_empty() {
            criu = criu.args(["--prev-images-dir", &format!("../{before}")]);
        }
        Ok(criu)
    }

    fn stream(&mut self, criu: Tool, link: &mut TcpStream, last: bool) -> Result<Streamed> {
        let outcome = Dump { criu, before: &self.owners, last }.stream(link);
        let streamed = outcome.map_err(|error| self.explain(error)).context("dumping the process")?;
        self.owners = streamed.owners.clone();
        Ok(streamed)
    }

    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let said = criu::errors(&self.current().join("dump.log"));
        error.context(format!("CRIU says: {said}"))
    }

    /// Sends all that is not memory; gives the number of bytes.
    pub(super) fn send(&self, link: &mut TcpStream) -> Result<u64> {
        let mut sent = 0;
        for entry in std::fs::read_dir(self.current()).context("listing the image")? {
            let entry = entry.context("listing the image")?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".img") {
                continue;
            }
            sent += image::send_file(link, &entry.path())?;
        }
        image::send(link, &ImagePart::Complete)?;
        Ok(sent)
    }
}

/// Removes what an earlier daemon left; its moves are off, and CRIU, where it still runs, has lost its socket.
pub fn remove_leftovers() {
    match std::fs::remove_dir_all(DUMPS) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, "removing images that were left");
        }
        _ => {}
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).context("making the image folder")
}

/// The pages that the stacks of frozen tasks are at. CRIU never leaves those to be filled in later; a page that was
/// not one of them when it was sent, but is now, must be named.
fn stack_pages(group: &Path) -> Vec<(u64, u64)> {
    let pids = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut pages = Vec::new();
    for pid in pids.lines() {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let text = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
            if let (Ok(pid), Some(stack)) = (pid.parse(), stack_pointer(&text)) {
                pages.push((pid, stack / PAGE * PAGE));
            }
        }
    }
    pages
}

/// The last but one number of `/proc/PID/syscall`, both inside a system call and outside of one.
fn stack_pointer(text: &str) -> Option<u64> {
    let number = text.split_whitespace().rev().nth(1)?;
    u64::from_str_radix(number.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_pointer_is_found_inside_and_outside_of_a_system_call() {
        let inside = "35 0x7ffe0 0x0 0x0 0x7ff 0x7fe 0x8 0x7ffc44b6a2f8 0x7f2b4c0ec5a3\n";
        assert_eq!(stack_pointer(inside), Some(0x7ffc_44b6_a2f8));
        assert_eq!(stack_pointer("-1 0x7ffc44b6a2f8 0x55d0\n"), Some(0x7ffc_44b6_a2f8));
        assert_eq!(stack_pointer("running\n"), None);
        assert_eq!(stack_pointer(""), None);
    }
}
