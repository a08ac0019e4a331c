//! Control groups, version 2: create, fill, freeze, kill, measure, remove.
//!
//! A [`Cgroup`] is a path and holds no kernel state: dropping it removes nothing.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the unified hierarchy is mounted.
pub const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Why a control group did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The kernel refused one read or write; the group is as it was.
    #[error("{doing} of the control group `{path}`")]
    File {
        /// What was being done, as a gerund with its object: "writing `cgroup.procs`".
        doing: String,
        /// The group's folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The group did not reach the state in time; it may still reach it later.
    #[error("the control group `{path}` did not become {state} within {} ms", .waited.as_millis())]
    Late {
        /// The group's folder.
        path: PathBuf,
        /// "frozen", "thawed" or "empty".
        state: &'static str,
        /// How long was waited.
        waited: Duration,
    },
}

/// What a group's processes have used of the processors so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// User and system time together.
    pub usage: Duration,
    /// Time in user mode.
    pub user: Duration,
    /// Time in the kernel.
    pub system: Duration,
}

/// What `cgroup.events` says of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Events {
    /// Whether a process lives in the group or below it.
    pub populated: bool,
    /// Whether every process in it has stopped for the freezer.
    pub frozen: bool,
}

/// One control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The group at this folder, whether it exists or not.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The group at this folder, made with its parents where they are missing.
    ///
    /// # Errors
    /// [`CgroupError::File`]; some of the parents may have been made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, CgroupError> {
        let group = Self::at(path);
        fs::create_dir_all(&group.path)
            .map_err(|source| group.error("making the folder".to_owned(), source))?;
        Ok(group)
    }

    /// The group that a process is in (its line `0::` in `/proc/PID/cgroup`).
    ///
    /// # Errors
    /// [`CgroupError::File`] when there is no such process.
    pub fn of_process(pid: i32) -> Result<Self, CgroupError> {
        let file = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = fs::read_to_string(&file).map_err(|source| CgroupError::File {
            doing: "reading the membership".to_owned(),
            path: file,
            source,
        })?;
        let inside = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        Ok(Self::at(Path::new(CGROUP_ROOT).join(inside.trim_start_matches('/'))))
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The group of this name below it, whether it exists or not.
    pub fn child(&self, name: &str) -> Self {
        Self::at(self.path.join(name))
    }

    /// Puts a process (all its threads) in the group; 0 is the caller.
    ///
    /// # Errors
    /// [`CgroupError::File`]; the process is where it was.
    pub fn add(&self, pid: i32) -> Result<(), CgroupError> {
        self.set("cgroup.procs", &pid.to_string())
    }

    /// Hands these controllers (`cpu`, `memory`, …) down to the groups below it.
    ///
    /// # Errors
    /// [`CgroupError::File`]; none of them has been handed down.
    pub fn hand_down(&self, controllers: &[&str]) -> Result<(), CgroupError> {
        let line = controllers.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
        self.set("cgroup.subtree_control", &line)
    }

    /// Writes one of its files (`memory.max`, `cpu.weight`, …).
    ///
    /// # Errors
    /// [`CgroupError::File`]; the value is as it was.
    pub fn set(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        fs::write(self.path.join(file), value)
            .map_err(|source| self.error(format!("writing `{file}`"), source))
    }

    /// Reads one of its files.
    ///
    /// # Errors
    /// [`CgroupError::File`].
    pub fn get(&self, file: &str) -> Result<String, CgroupError> {
        fs::read_to_string(self.path.join(file))
            .map_err(|source| self.error(format!("reading `{file}`"), source))
    }

    /// The processes in the group itself, not those below it.
    ///
    /// # Errors
    /// [`CgroupError::File`].
    pub fn processes(&self) -> Result<Vec<i32>, CgroupError> {
        Ok(self.get("cgroup.procs")?.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Whether it is populated and frozen at this moment.
    ///
    /// # Errors
    /// [`CgroupError::File`].
    pub fn events(&self) -> Result<Events, CgroupError> {
        self.get("cgroup.events").map(|text| parse_events(&text))
    }

    /// Processor time used so far by all processes that are or were in it.
    ///
    /// # Errors
    /// [`CgroupError::File`].
    pub fn cpu_stat(&self) -> Result<CpuStat, CgroupError> {
        self.get("cpu.stat").map(|text| parse_cpu_stat(&text))
    }

    /// Stops every process in the group and below it, and returns when all of them stand still.
    ///
    /// # Errors
    /// [`CgroupError::Late`]: the freezer stays on, so call [`Cgroup::thaw`]. [`CgroupError::File`]: nothing froze.
    pub fn freeze(&self, within: Duration) -> Result<(), CgroupError> {
        self.set("cgroup.freeze", "1")?;
        self.wait(within, "frozen", |events| events.frozen)
    }

    /// Lets the processes run again, and returns when the kernel says so.
    ///
    /// # Errors
    /// [`CgroupError::Late`]: the freezer is off nevertheless. [`CgroupError::File`]: still frozen.
    pub fn thaw(&self, within: Duration) -> Result<(), CgroupError> {
        self.set("cgroup.freeze", "0")?;
        self.wait(within, "thawed", |events| !events.frozen)
    }

    /// Kills every process in the group and below it, frozen ones too; does not wait.
    ///
    /// # Errors
    /// [`CgroupError::File`]; nobody was killed.
    pub fn kill(&self) -> Result<(), CgroupError> {
        self.set("cgroup.kill", "1")
    }

    /// Waits until no process is left in the group and below it.
    ///
    /// # Errors
    /// [`CgroupError::Late`] when some process is still there.
    pub fn wait_empty(&self, within: Duration) -> Result<(), CgroupError> {
        self.wait(within, "empty", |events| !events.populated)
    }

    /// Removes the group; it must be empty and have none below it. One that is gone already is fine.
    ///
    /// # Errors
    /// [`CgroupError::File`]; it is still there.
    pub fn remove(&self) -> Result<(), CgroupError> {
        match fs::remove_dir(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(self.error("removing the folder".to_owned(), source))
            }
            _ => Ok(()),
        }
    }

    /// The groups directly below it, by name.
    ///
    /// # Errors
    /// [`CgroupError::File`].
    pub fn children(&self) -> Result<Vec<String>, CgroupError> {
        let listing = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    names.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        listing().map_err(|source| self.error("listing the groups".to_owned(), source))
    }

    fn wait(
        &self,
        within: Duration,
        state: &'static str,
        reached: impl Fn(Events) -> bool,
    ) -> Result<(), CgroupError> {
        let reading = |source| self.error("reading `cgroup.events`".to_owned(), source);
        let mut file = File::open(self.path.join("cgroup.events")).map_err(reading)?;
        let start = Instant::now();
        loop {
            let mut text = String::new();
            file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text)).map_err(reading)?;
            if reached(parse_events(&text)) {
                return Ok(());
            }
            let left = within.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(CgroupError::Late { path: self.path.clone(), state, waited: within });
            }
            let left = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(reading(errno.into())),
            }
        }
    }

    fn error(&self, doing: String, source: io::Error) -> CgroupError {
        CgroupError::File { doing, path: self.path.clone(), source }
    }
}

fn parse_events(text: &str) -> Events {
    let is = |name: &str| keyed(text, name) == Some(1);
    Events { populated: is("populated"), frozen: is("frozen") }
}

fn parse_cpu_stat(text: &str) -> CpuStat {
    let time = |name| Duration::from_micros(keyed(text, name).unwrap_or(0));
    CpuStat { usage: time("usage_usec"), user: time("user_usec"), system: time("system_usec") }
}

fn keyed(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_by_name() {
        assert_eq!(parse_events("populated 1\nfrozen 0\n"), Events { populated: true, frozen: false });
        assert_eq!(parse_events("frozen 1\npopulated 0\n"), Events { populated: false, frozen: true });
        assert_eq!(parse_events(""), Events::default());
    }

    #[test]
    fn processor_time_is_in_microseconds() {
        let stat =
            parse_cpu_stat("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n");
        assert_eq!(stat.usage, Duration::from_millis(2500));
        assert_eq!(stat.user + stat.system, stat.usage);
    }

    #[test]
    fn a_group_that_is_not_there_is_named() {
        let said = Cgroup::at("/no/such/group").kill().unwrap_err().to_string();
        assert_eq!(said, "writing `cgroup.kill` of the control group `/no/such/group`");
        Cgroup::at("/no/such/group").remove().unwrap();
    }
}
