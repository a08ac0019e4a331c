//! Who is dumped, and how CRIU gets there.

use super::{DUMPS, FOLDER};
use crate::guest::capsule::{DEPARTURE, WORK_GROUP};
use crate::{criu, inspect};
use anyhow::{Context, Result, bail};
use brant_migration::protocol::SessionId;
use brant_sys::cgroup::Cgroup;
use brant_sys::child::Tool;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Why one cannot move on that has left processes of its own to PID 1.
pub const CUT_LOOSE: &str =
    "a process that it has started has cut itself loose, and can only go on where it is";

/// A process and its descendants, and where they are.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its number on this node.
    pid: i32,
    /// Its number where CRIU runs.
    known_as: i32,
    folder: PathBuf,
    folder_there: PathBuf,
    capsule: Option<Inside>,
}

/// How to get into a capsule.
#[derive(Debug)]
struct Inside {
    /// Its PID 1, as this node numbers it.
    init: i32,
    group: Cgroup,
}

impl Subject {
    /// One that runs on this node as its home.
    pub(crate) fn at_home(pid: i32, session: SessionId) -> Self {
        let folder = Path::new(DUMPS).join(session.to_string());
        Self { pid, known_as: pid, folder_there: folder.clone(), folder, capsule: None }
    }

    /// One that runs in a capsule, which has these control groups, and this folder to make its image in.
    ///
    /// # Errors
    /// When the capsule, or the process in it, is not there any more.
    pub(crate) fn in_capsule(known_as: i32, group: Cgroup, work: &Cgroup, departure: &Path) -> Result<Self> {
        let find = |group: &Cgroup, number| -> Result<i32> {
            let all = group.processes().context("listing a capsule's control group")?;
            all.into_iter()
                .find(|pid| inspect::innermost_number(*pid) == Some(number))
                .with_context(|| format!("there is no process {number} in the capsule"))
        };
        let (pid, init) = (find(work, known_as)?, find(&group, 1)?);
        let all = work.processes().context("listing a capsule's control group")?;
        // An image is of a process and its descendants; those that others of them have left behind would be lost.
        if all.iter().any(|member| *member != pid && inspect::parent(*member) == Some(init)) {
            bail!("{CUT_LOOSE}");
        }
        Ok(Self {
            pid,
            known_as,
            folder: departure.join(FOLDER),
            folder_there: Path::new(DEPARTURE).join(FOLDER),
            capsule: Some(Inside { init, group }),
        })
    }

    /// Its number on this node.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Its number where CRIU runs.
    pub(super) fn known_as(&self) -> i32 {
        self.known_as
    }

    /// Where its image is made.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same folder, as CRIU knows it.
    pub(super) fn folder_there(&self) -> &Path {
        &self.folder_there
    }

    /// CRIU, where the process is.
    pub(super) fn criu(&self) -> Result<Tool> {
        let Some(Inside { init, group }) = &self.capsule else { return Ok(Tool::new("criu")) };
        let processes = File::options().write(true).open(group.path().join("cgroup.procs"));
        // Not the time namespace: CRIU makes one for what it restores, and PID 1 is not in it.
        let enter = ["--mount", "--uts", "--ipc", "--net", "--pid", "--", "criu"];
        let criu = Tool::new("nsenter").args(["--target", &init.to_string()]).args(enter);
        Ok(criu.in_cgroup(processes.context("opening the capsule's control group")?))
    }

    /// Tells CRIU how to dump what is frozen in this group, and stays so.
    pub(super) fn frozen(&self, criu: Tool, group: &Path) -> Result<Tool> {
        let Some(Inside { init, .. }) = &self.capsule else {
            return Ok(criu::frozen(criu, group, Path::new("/dev/tty")));
        };
        let folder = File::open(group).context("opening the group of the process")?;
        // The capsule has no control groups to look at: CRIU inherits this one.
        let criu = criu.keep(WORK_GROUP, folder.into());
        let there = format!("/proc/self/fd/{WORK_GROUP}");
        let terminal = format!("/proc/{init}/root/dev/tty");
        // A file that was deleted while NFS had it open has another name there; see `criu::make_links`.
        Ok(criu::frozen(criu, Path::new(&there), Path::new(&terminal)).arg("--link-remap"))
    }
}
