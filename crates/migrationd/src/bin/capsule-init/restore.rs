//! CRIU's restore, and what fills the process's memory afterwards.
//!
//! A large image is not read before the process starts: `criu lazy-pages` serves it from this node's own memory, page
//! by page where the process waits for one, and the rest in the background. What it fills is small pages; when it has
//! ended, they are made huge again where the kernel would have given huge ones.

use crate::departure;
use crate::root;
use crate::streams::ProcessEnds;
use crate::terminal::Terminal;
use anyhow::{Context, Result, bail};
use brant_migration::criu_request::{self, Answer};
use brant_migration::tty_info::CONTROLLING_TERMINAL;
use brant_sys::child::{Running, Tool};
use brant_sys::memory;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};

/// Less memory than this is read faster than a second CRIU starts, bytes.
const LAZY_FROM: u64 = 8 << 20;
/// How long `criu lazy-pages` may take to start.
const START: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
/// The number of the descriptor at which it says that it has started, in it.
const READY: i32 = 9;
/// The number of CRIU's end of its socket, in CRIU.
const SERVICE: i32 = 198;
/// The most that CRIU says at once, bytes.
const MOST_SAID: usize = 64 << 10;
/// The number of the controlling terminal's descriptor in CRIU.
const TERMINAL: i32 = 199;
/// A huge page, bytes.
const HUGE: u64 = 2 << 20;

/// The programs at work.
pub(crate) struct Restore {
    /// CRIU itself; it ends when the process runs.
    pub(crate) criu: Running,
    /// What is said to CRIU, and by it ([`criu_request`]).
    pub(crate) service: OwnedFd,
    /// CRIU opens it by its number in here.
    pub(crate) images: File,
    /// What fills the memory; it ends when all is there.
    pub(crate) filler: Option<Running>,
}

/// Starts CRIU on the image. The process will have this terminal, and these ends of its pipes.
pub(crate) fn start(terminal: &Terminal, ends: ProcessEnds) -> Result<Restore> {
    brant_migrationd::criu::look_for_links(std::path::Path::new(root::IMAGES));
    let filler = if memory_size() >= LAZY_FROM {
        start_filler()
            .inspect_err(|error| eprintln!("capsule-init: memory is read at once, not later: {error:#}"))
            .ok()
    } else {
        None
    };
    let (service, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context("making a socket for CRIU")?;
    // It is there for those that have it open by this name; CRIU leaves it alone where nobody has.
    let controlling =
        File::options().read(true).write(true).open("/dev/tty").context("opening the terminal")?;
    let mut criu = Tool::new("criu")
        .args(["swrk", &SERVICE.to_string()])
        .keep(SERVICE, theirs)
        .keep(TERMINAL, controlling.into())
        // In the group that can be frozen without this program.
        .in_cgroup(departure::processes()?)
        .stdin(terminal.process_side()?);
    if filler.is_some() {
        // CRIU itself writes some pages before the rest is asked for. With a huge page under one of them, the others there
        // would be zeros that nobody asks for any more. CRIU gives the process back what it had.
        criu = criu.without_huge_pages();
    }
    let mut inherit = vec![(CONTROLLING_TERMINAL.to_owned(), TERMINAL.unsigned_abs())];
    for (number, name, end) in ends.numbered() {
        inherit.push((name, number.unsigned_abs()));
        criu = criu.keep(number, end);
    }
    let criu = criu.spawn().context("starting CRIU")?;
    let images = File::open(root::IMAGES).context("opening the image folder")?;
    let request = criu_request::Restore {
        images: images.as_raw_fd().unsigned_abs(),
        log: "restore.log",
        lazy_pages: filler.is_some(),
        inherit,
    };
    send(&service, &criu_request::restore(&request), SendFlags::NOSIGNAL).context("asking CRIU")?;
    Ok(Restore { criu, service, images, filler })
}

/// What CRIU says next; none when it has ended.
pub(crate) fn hear(service: &OwnedFd) -> Result<Option<Answer>> {
    let mut packet = vec![0; MOST_SAID];
    let (length, _) = recv(service, &mut packet[..], RecvFlags::empty()).context("listening to CRIU")?;
    if length == 0 {
        return Ok(None);
    }
    criu_request::answer(&packet[..length]).context("understanding CRIU").map(Some)
}

/// Lets CRIU go on from the step that it waits at.
pub(crate) fn go_on(service: &OwnedFd) -> Result<()> {
    send(service, &criu_request::go_on(), SendFlags::NOSIGNAL).context("letting CRIU go on").map(drop)
}

fn memory_size() -> u64 {
    let entries = std::fs::read_dir(root::IMAGES).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("pages-"))
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}

/// Starts the filler and waits until CRIU can connect to it.
fn start_filler() -> Result<Running> {
    let (mut ready, theirs) = std::io::pipe().context("making a pipe")?;
    let filler = Tool::new("criu")
        .args(["lazy-pages", "-D", root::IMAGES, "-W", root::IMAGES, "-o", "lazy.log", "-v2"])
        .args(["--status-fd", &READY.to_string()])
        .keep(READY, OwnedFd::from(theirs))
        // What the process sends to its group must not reach it.
        .own_group()
        .spawn()
        .context("starting `criu lazy-pages`")?;
    // Without it the process would wait for its memory for ever.
    let adjusted = std::fs::write(format!("/proc/{}/oom_score_adj", filler.id()), "-1000");
    let waited = poll(&mut [PollFd::new(&ready, PollFlags::IN)], Some(&START));
    let mut byte = [0];
    let outcome = match (adjusted, waited) {
        (Err(error), _) => Err(error).context("keeping `criu lazy-pages` from being killed"),
        (_, Ok(1..)) if ready.read(&mut byte).is_ok_and(|length| length == 1) => Ok(()),
        _ => Err(anyhow::anyhow!("`criu lazy-pages` did not start")),
    };
    if let Err(error) = outcome {
        filler.kill();
        bail!(error);
    }
    Ok(filler)
}

/// Gives the process its huge pages back, on a thread of its own; a page that cannot be made huge stays as it is.
pub(crate) fn make_huge(pid: i32) {
    let spawned = std::thread::Builder::new().name("huge pages".to_owned()).spawn(move || {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
        for (start, end) in huge_ranges(&maps) {
            // One by one, so that the process never waits for long.
            for at in (start..end).step_by(HUGE as usize) {
                if memory::collapse(pid, at, HUGE)
                    .is_err_and(|error| error.raw_os_error() == Some(Errno::SRCH.raw_os_error()))
                {
                    return;
                }
            }
        }
    });
    if let Err(error) = spawned {
        eprintln!("capsule-init: starting a thread for huge pages: {error}");
    }
}

/// The parts of mappings that huge pages fit in, where the kernel gives huge pages at all, and hardly any page is
/// missing: a huge page in place of a few small ones would make the process larger.
fn huge_ranges(smaps: &str) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut range = None;
    let (mut size, mut resident) = (0, 0);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        let value = words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        match first {
            "Size:" => size = value,
            "Rss:" => resident = value,
            "THPeligible:" if value == 1 && resident * 8 >= size * 7 => ranges.extend(range.take()),
            _ if !first.ends_with(':') => {
                range = first.split_once('-').and_then(|(start, end)| {
                    let start = u64::from_str_radix(start, 16).ok()?.next_multiple_of(HUGE);
                    let end = u64::from_str_radix(end, 16).ok()? / HUGE * HUGE;
                    (start < end).then_some((start, end))
                });
            }
            _ => {}
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_mappings_that_may_be_huge_are_made_huge() {
        let mapping = |range: &str, size: u64, resident: u64, eligible: u8| {
            format!(
                "{range} rw-p 00000000 00:00 0 \nSize: {size} kB\nRss: {resident} kB\nTHPeligible: {eligible}\n\
                 VmFlags: rd wr\n"
            )
        };
        let smaps = [
            mapping("7f0000100000-7f0001100000", 16384, 16000, 1),
            mapping("7f1000000000-7f1001000000", 16384, 16384, 0),
            mapping("7f2000000000-7f2001000000", 16384, 5000, 1),
            mapping("7f3000000000-7f3000010000", 64, 64, 1),
        ]
        .concat();
        assert_eq!(huge_ranges(&smaps), [(0x7f00_0020_0000, 0x7f00_0100_0000)]);
    }
}
