//! What `/proc` says of a process, as the pure judge wants it.

use brant_migration::balancer::Candidate;
use brant_migration::obstacle::{Descriptor, Migratable, Obstacle, Opened, ProcessFacts, judge};
use brant_sys::cgroup::{CGROUP_ROOT, Cgroup};
use brant_sys::namespace::same_open_file;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Where logins and exec sessions live.
pub const SESSIONS: &str = "/sys/fs/cgroup/brant/sessions";
/// Where processes stand while they are being moved.
pub const JOBS: &str = "/sys/fs/cgroup/brant/jobs";
/// Where guests' capsules live.
pub const CAPSULES: &str = "/sys/fs/cgroup/brant/capsules";
/// The deputy's program.
pub const DEPUTY: &str = "/usr/lib/brant/deputy";

/// What is shown of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub comm: String,
    /// Its arguments, separated by spaces.
    pub args: String,
    /// Its arguments as they are.
    pub arguments: Vec<Vec<u8>>,
    /// Its owner.
    pub uid: u32,
    /// Processor time used.
    pub cpu: Duration,
    /// Resident memory, KiB.
    pub resident_kib: u64,
    /// Whether it computes at this moment.
    pub runnable: bool,
    /// When it started, in clock ticks since boot: with the number, its identity.
    pub started: u64,
}

/// Whether this process can move now.
///
/// # Errors
/// The first obstacle.
pub fn migratable(pid: i32) -> Result<Migratable, Obstacle> {
    judge(&facts(pid).ok_or(Obstacle::NoSuchProcess(pid))?)
}

/// What is shown of a process; none if it is gone.
pub fn summary(pid: i32) -> Option<Summary> {
    let stat = Stat::read(pid)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<Vec<u8>> =
        raw.strip_suffix(&[0]).unwrap_or(&raw).split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let args =
        arguments.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect::<Vec<_>>().join(" ");
    Some(Summary {
        comm: stat.comm.clone(),
        args,
        arguments,
        uid: numbers(&status, "Uid").first().copied().and_then(|uid| u32::try_from(uid).ok())?,
        cpu: stat.cpu(),
        resident_kib: numbers(&status, "VmRSS").first().copied().unwrap_or(0),
        runnable: stat.state == 'R',
        started: stat.field(22)?,
    })
}

/// The processes of sessions that compute, for the balancer.
pub fn candidates() -> Vec<Candidate> {
    let sessions = Cgroup::at(SESSIONS);
    let names = sessions.children().unwrap_or_default();
    let pids = names.iter().flat_map(|name| sessions.child(name).processes().unwrap_or_default());
    pids.filter_map(|pid| {
        let stat = Stat::read(pid)?;
        let deputy = fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(DEPUTY));
        let resident_kib = stat.field(24)? * 4;
        (!deputy).then(|| Candidate { pid, cpu: stat.cpu(), runnable: stat.state == 'R', resident_kib })
    })
    .collect()
}

/// Signals that are pending for a (single-threaded) process, one bit each.
pub fn pending_signals(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    ["SigPnd", "ShdPnd"].iter().filter_map(|name| hexadecimal(&status, name)).fold(0, |all, some| all | some)
}

/// `/proc/PID/stat`, taken apart.
struct Stat {
    comm: String,
    state: char,
    /// From field 3 on.
    rest: Vec<String>,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name stands in brackets and may itself contain anything.
    fn parse(text: &str) -> Option<Self> {
        let comm = text.get(text.find('(')? + 1..text.rfind(')')?)?.to_owned();
        let rest: Vec<String> =
            text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().map(str::to_owned).collect();
        let state = rest.first()?.chars().next()?;
        Some(Self { comm, state, rest })
    }

    /// A field by its number in proc_pid_stat(5).
    fn field(&self, number: usize) -> Option<u64> {
        self.rest.get(number - 3)?.parse().ok()
    }

    /// User and system time; the clock ticks 100 times a second on every Linux for PCs.
    fn cpu(&self) -> Duration {
        let ticks = self.field(14).unwrap_or(0) + self.field(15).unwrap_or(0);
        Duration::from_millis(10 * ticks)
    }
}

fn facts(pid: i32) -> Option<ProcessFacts> {
    let proc = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
    let status = proc("status").ok()?;
    let stat = Stat::read(pid)?;
    let one = |name| numbers(&status, name).first().copied().unwrap_or(0);
    let uids = numbers(&status, "Uid");
    let uid = |n: usize| uids.get(n).and_then(|uid| u32::try_from(*uid).ok()).unwrap_or(0);
    let group = Cgroup::of_process(pid).ok()?.path().to_owned();
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let maps = proc("maps").unwrap_or_default();
    let children = proc(&format!("task/{pid}/children")).unwrap_or_default();
    Some(ProcessFacts {
        pid,
        uids: [uid(0), uid(1), uid(2)],
        in_session: group.starts_with(SESSIONS) || group.starts_with(JOBS),
        threads: u32::try_from(one("Threads")).unwrap_or(u32::MAX),
        children: u32::try_from(children.split_ascii_whitespace().count()).unwrap_or(u32::MAX),
        session_leader: stat.field(6) == u64::try_from(pid).ok(),
        zombie: matches!(stat.state, 'Z' | 'X'),
        tracer: i32::try_from(one("TracerPid")).unwrap_or(0),
        seccomp: one("Seccomp") == 2,
        capabilities: hexadecimal(&status, "CapEff").unwrap_or(0),
        own_namespaces: own_namespaces(pid),
        wide: is_wide(pid),
        real_time: stat.field(41).is_some_and(|policy| matches!(policy, 1 | 2 | 6)),
        locks: holds_locks(pid),
        locked_memory_kib: one("VmLck"),
        descriptors: descriptors(pid)?,
        strange_mappings: strange_mappings(&maps),
        away: exe == Path::new(DEPUTY),
        guest: group.starts_with(CAPSULES),
    })
}

fn numbers(status: &str, name: &str) -> Vec<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default();
    line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn hexadecimal(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn own_namespaces(pid: i32) -> bool {
    ["mnt", "pid", "uts", "ipc", "net", "user", "cgroup", "time"].iter().all(|kind| {
        fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()
            == fs::read_link(format!("/proc/self/ns/{kind}")).ok()
    })
}

/// The fifth byte of an ELF file says 32 or 64 bits.
fn is_wide(pid: i32) -> bool {
    use std::io::Read;
    let mut head = [0; 5];
    fs::File::open(format!("/proc/{pid}/exe")).and_then(|mut exe| exe.read_exact(&mut head)).is_ok()
        && head[4] == 2
}

fn holds_locks(pid: i32) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return false };
    entries.flatten().any(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| text.contains("\nlock:")))
}

fn strange_mappings(maps: &str) -> Vec<String> {
    let paths = maps
        .lines()
        .filter_map(|line| line.splitn(6, ' ').nth(5))
        .map(str::trim)
        .filter(|path| !path.is_empty());
    paths
        .filter(|path| {
            let anonymous = path.starts_with('[') || *path == "/dev/zero (deleted)";
            !anonymous && (path.ends_with(" (deleted)") || !path.starts_with('/') || on_foreign_mount(path))
        })
        .map(str::to_owned)
        .collect()
}

fn on_foreign_mount(path: &str) -> bool {
    ["/proc", "/sys", "/dev", "/run"].iter().any(|mount| Path::new(path).starts_with(mount))
}

fn descriptors(pid: i32) -> Option<Vec<Descriptor>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        all.push(Descriptor { number, what: opened(pid, number, &target.to_string_lossy()) });
    }
    all.sort_by_key(|descriptor| descriptor.number);
    Some(all)
}

fn opened(pid: i32, number: i32, target: &str) -> Opened {
    match target {
        "/dev/null" | "/dev/zero" | "/dev/full" | "/dev/random" | "/dev/urandom" => Opened::PlainDevice,
        "/dev/tty" => Opened::ControllingTerminal,
        "anon_inode:[eventpoll]"
        | "anon_inode:[eventfd]"
        | "anon_inode:[timerfd]"
        | "anon_inode:[signalfd]" => Opened::EventLoop,
        _ if target.starts_with("/dev/pts/") => Opened::Terminal(target.to_owned()),
        _ if target.starts_with("pipe:") => Opened::Pipe,
        _ if target.starts_with("socket:") => Opened::Socket,
        _ if !target.starts_with('/') => Opened::Other(target.to_owned()),
        _ if on_foreign_mount(target) => Opened::ForeignMount(target.to_owned()),
        _ => {
            let fifo = fs::metadata(format!("/proc/{pid}/fd/{number}"))
                .is_ok_and(|meta| std::os::unix::fs::FileTypeExt::is_fifo(&meta.file_type()));
            if fifo {
                return Opened::Pipe;
            }
            let (path, deleted) =
                target.strip_suffix(" (deleted)").map_or((target, false), |path| (path, true));
            let shared_with = if is_writable(pid, number) { sharer(pid, number, target) } else { None };
            Opened::File { path: path.to_owned(), shared_with, deleted }
        }
    }
}

fn is_writable(pid: i32, number: i32) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
    u32::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & 3 != 0)
}

/// Another process that has the same open file (one offset for both), as in `for f in *; do job $f; done > out`.
fn sharer(pid: i32, number: i32, target: &str) -> Option<i32> {
    let others = fs::read_dir("/proc").ok()?.flatten();
    let others = others
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|other| *other != pid);
    for other in others {
        let Ok(entries) = fs::read_dir(format!("/proc/{other}/fd")) else { continue };
        for entry in entries.flatten() {
            let same_path = fs::read_link(entry.path()).is_ok_and(|path| path.to_string_lossy() == target);
            let Some(theirs) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if same_path && same_open_file((pid, number), (other, theirs)).unwrap_or(false) {
                return Some(other);
            }
        }
    }
    None
}

/// The root of a process's session group, to put it back where it was.
pub fn session_group(pid: i32) -> Option<Cgroup> {
    Cgroup::of_process(pid)
        .ok()
        .filter(|group| group.path().starts_with(SESSIONS) && group.path() != Path::new(CGROUP_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_taken_whole() {
        let stat = Stat::parse("12 (a) b (c) R 1 12 12 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 777 0 99").unwrap();
        assert_eq!((stat.comm.as_str(), stat.state), ("a) b (c", 'R'));
        assert_eq!(stat.cpu(), Duration::from_secs(3));
        assert_eq!(stat.field(22), Some(777));
    }

    #[test]
    fn mappings_of_libraries_are_fine_and_others_are_named() {
        let maps = "7f00-7f01 r-xp 00000000 00:1f 12                         /usr/lib/libc.so.6\n\
                    7f01-7f02 rw-p 00000000 00:00 0                          [heap]\n\
                    7f02-7f03 rw-s 00000000 00:01 3                          /SYSV00000000 (deleted)\n";
        assert_eq!(strange_mappings(maps), ["/SYSV00000000 (deleted)"]);
    }

    #[test]
    fn a_shared_open_file_is_found_and_a_second_opening_is_not() {
        let me = i32::try_from(std::process::id()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        assert_eq!(sharer(me, fd, &path), None);
        let holder =
            brant_sys::child::Tool::new("sleep").arg("60").stdout(file.reopen().unwrap()).spawn().unwrap();
        assert_eq!(sharer(me, fd, &path), None, "opened by itself");
        holder.kill();
        let holder = brant_sys::child::Tool::new("sleep")
            .arg("60")
            .stdout(file.as_file().try_clone().unwrap())
            .spawn()
            .unwrap();
        assert_eq!(sharer(me, fd, &path), i32::try_from(holder.id()).ok());
        assert!(is_writable(me, fd));
        holder.kill();
    }

    #[test]
    fn this_test_itself_has_the_obstacles_that_it_has() {
        let me = i32::try_from(std::process::id()).unwrap();
        let facts = facts(me).unwrap();
        assert!(facts.wide && facts.own_namespaces && !facts.in_session && !facts.away);
        assert_eq!(migratable(0), Err(Obstacle::NoSuchProcess(0)));
    }
}
