//! Making the image of a process: its memory goes straight to another node, in rounds while it runs and the rest while
//! it stands still; what is not memory lies in this node's own until it is sent.
//!
//! It is the same for one that leaves its home node and for one that moves on from a capsule ([`Subject`]). `precopy`
//! sends rounds, `pages` is one of them, and `moves` says when what was sent is of no use.
//!
//! Each dump has a folder of its own, for CRIU looks into the one before it (when was that, and in which way), though
//! no page is there.

mod moves;
mod pages;
mod precopy;
mod subject;

pub use precopy::can_track_memory;
pub(crate) use precopy::{record, run as pre_copy};
pub use subject::CUT_LOOSE;
pub(crate) use subject::Subject;

use crate::node::Node;
use crate::{criu, image, inspect, link};
use anyhow::{Context, Result};
use brant_migration::pagemap::{Owner, PAGE};
use brant_migration::protocol::{ImagePart, Opening, SessionId};
use brant_migration::rounds::Round;
use brant_sys::child::Tool;
use brant_types::agent::NodeView;
use brant_types::node::NodeId;
use moves::Moves;
use pages::{Dump, Streamed};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the images of processes that leave their home lie, in memory; only root may look.
pub(crate) const DUMPS: &str = "/run/brant/dumps";
/// The folder of the dumps that are made in a capsule, below the one that it was given for that.
pub const FOLDER: &str = "dump";
/// The folder of the dump that is made while the process stands still.
pub const LAST: &str = "last";

/// An image; its folder is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Image {
    of: Subject,
    /// The name of the folder of the dump before.
    before: Option<String>,
    rounds: u32,
    /// Whose pages were in the round before; nobody's where that is of no use.
    owners: BTreeSet<Owner>,
    /// Whether memory was moved about since the first round that is of use.
    moves: Option<Moves>,
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(self.of.folder())
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "removing an image");
        }
    }
}

impl Image {
    /// Makes room for it.
    pub(crate) fn begin(of: Subject) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(DUMPS)
            .context("making a folder for images")?;
        make_folder(of.folder())?;
        Ok(Self { of, before: None, rounds: 0, owners: BTreeSet::new(), moves: None })
    }

    /// Sends what was written to since the last time, or everything; the process runs on.
    fn pre_dump(&mut self, link: &mut TcpStream) -> Result<Streamed> {
        if self.moves.as_ref().is_none_or(Moves::any) {
            self.start_over();
            // Before CRIU looks at the process: what is moved from now on is known.
            self.moves = Some(Moves::watch(self.of.pid())?);
        }
        self.rounds += 1;
        let name = self.rounds.to_string();
        let criu = self.criu("pre-dump", &name)?.arg("--track-mem");
        self.stream(criu, name, link, false)
    }

    /// Sends the rest of the memory, and makes the rest of the image; the process stays frozen in its group.
    pub(crate) fn make(&mut self, group: &Path, link: &mut TcpStream) -> Result<Round> {
        let start = Instant::now();
        let tracked = self.rounds > 0;
        if tracked && self.moves.as_ref().is_none_or(Moves::any) {
            self.start_over();
        }
        let mut criu = self.of.frozen(self.criu("dump", LAST)?, group)?;
        if tracked {
            criu = criu.arg("--track-mem");
        }
        let streamed = self.stream(criu, LAST.to_owned(), link, true)?;
        criu::cut_terminals_off(&self.of.folder().join(LAST))?;
        let eager = stack_pages(group);
        image::send(link, &ImagePart::LastRoundOver { eager })?;
        Ok(Round { pages: streamed.pages, bytes: streamed.bytes, took: start.elapsed() })
    }

    /// What was sent is of no use: the next round is like the first.
    fn start_over(&mut self) {
        if !self.owners.is_empty() {
            let pid = self.of.pid();
            tracing::info!(pid, "what was sent does not tell its memory: all of it is sent again");
        }
        self.owners.clear();
        self.moves = None;
    }

    fn criu(&self, verb: &str, name: &str) -> Result<Tool> {
        let criu = self.of.criu()?;
        make_folder(&self.of.folder().join(name))?;
        let criu = criu.args([verb, "-t", &self.of.known_as().to_string(), "-o", "dump.log", "-v2"]);
        let criu = criu.arg("-D").arg(self.of.folder_there().join(name));
        Ok(match &self.before {
            Some(before) if !self.owners.is_empty() => {
                criu.args(["--prev-images-dir", &format!("../{before}")])
            }
            _ => criu,
        })
    }

    fn stream(&mut self, criu: Tool, name: String, link: &mut TcpStream, last: bool) -> Result<Streamed> {
        let outcome = Dump { criu, before: &self.owners, last }.stream(link);
        let log = self.of.folder().join(&name).join("dump.log");
        let streamed = outcome
            .map_err(|error| error.context(format!("CRIU says: {}", criu::errors(&log))))
            .context("dumping the process")?;
        self.owners = streamed.owners.clone();
        self.before = Some(name);
        Ok(streamed)
    }

    /// Sends all that is not memory; gives the number of bytes.
    pub(crate) fn send(&self, link: &mut TcpStream) -> Result<u64> {
        let is_image = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "img");
        let sent = send_files(link, &self.of.folder().join(LAST), is_image)?;
        image::send(link, &ImagePart::Complete)?;
        Ok(sent)
    }
}

/// Connects to the node that a process goes to, for its image; gives that node as well.
pub(crate) fn connect(node: &Node, to: NodeId, stay: SessionId) -> Result<(TcpStream, NodeView)> {
    let secret = node.secrets.present()?;
    let to = node.by_id(to).context("finding the node that it goes to")?;
    let link = link::connect(to.overlay, &secret, Opening::Image(stay), link::OPENING);
    Ok((link.context("connecting to the node that it goes to")?, to))
}

/// Sends those files of a folder that are wanted; gives the number of bytes.
pub(crate) fn send_files(
    link: &mut TcpStream,
    folder: &Path,
    wanted: impl Fn(&PathBuf) -> bool,
) -> Result<u64> {
    let mut sent = 0;
    for entry in std::fs::read_dir(folder).context("listing the image")? {
        let path = entry.context("listing the image")?.path();
        if path.is_file() && wanted(&path) {
            sent += image::send_file(link, &path)?;
        }
    }
    Ok(sent)
}

/// Removes what an earlier daemon left; its moves are off, and CRIU, where it still runs, has lost its socket.
pub fn remove_leftovers() {
    match std::fs::remove_dir_all(DUMPS) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, "removing images that were left");
        }
        _ => {}
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    // Not its parents: where those are gone, nobody wants the image any more.
    std::fs::DirBuilder::new().mode(0o700).create(folder).context("making the image folder")
}

/// The pages that the stacks of frozen tasks are at. CRIU never leaves those to be filled in later; a page that was
/// not one of them when it was sent, but is now, must be named; by the number that the process has where CRIU runs.
fn stack_pages(group: &Path) -> Vec<(u64, u64)> {
    let pids = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut pages = Vec::new();
    for pid in pids.lines().filter_map(|line| line.parse().ok()) {
        let Some(known_as) = inspect::innermost_number(pid).and_then(|number| number.try_into().ok()) else {
            continue;
        };
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let text = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
            pages.extend(stack_pointer(&text).map(|stack| (known_as, stack / PAGE * PAGE)));
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
