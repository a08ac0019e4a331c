//! Waiting for the deputy that a process has become, and greeting it.

use crate::home::pipes::Pipes;
use crate::{descriptors, inspect, wire};
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{ToDeputy, ToTarget};
use brant_sys::process::peer_of;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DEPUTIES: &str = "/run/brant/deputies";
/// How long a deputy may take to come; it starts while the process starts on the target.
const MEETING: Duration = Duration::from_secs(30);

/// A socket that one deputy is awaited at.
pub(in crate::home) struct Waiting {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _never_made = std::fs::remove_file(&self.path);
    }
}

/// What a deputy is told and given when it comes.
pub(in crate::home) struct Greeting {
    pub(in crate::home) pid: i32,
    pub(in crate::home) comm: String,
    /// Signals that were pending when the process was dumped, one bit each.
    pub(in crate::home) pending: u64,
    pub(in crate::home) stopped: bool,
    pub(in crate::home) pipes: Pipes,
}

impl Greeting {
    fn give(self, deputy: &mut UnixStream) -> Result<()> {
        let Self { comm, pending, pipes, .. } = self;
        let Pipes { streams, ends, files } = pipes;
        let shared_files = u16::try_from(files.len()).context("counting the shared files")?;
        let hello = ToDeputy::Hello { comm, pending, streams, shared_files };
        wire::send(deputy, &hello).context("greeting the deputy")?;
        for end in ends.iter().chain(&files) {
            descriptors::send(&*deputy, end.as_fd()).context("giving the deputy a pipe")?;
        }
        Ok(())
    }
}

impl Waiting {
    /// Listens for the deputy that this process will become.
    pub(in crate::home) fn listen(pid: i32) -> Result<Self> {
        // Searchable, not listable: a deputy knows its own number.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(DEPUTIES)
            .context("making the deputies' folder")?;
        let path = Path::new(DEPUTIES).join(pid.to_string());
        let _left_by_another = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).context("listening for the deputy")?;
        let waiting = Self { listener, path };
        // Deputies run as their owners; who connects is checked by its process id.
        std::fs::set_permissions(&waiting.path, std::fs::Permissions::from_mode(0o666))
            .context("opening the deputy's socket")?;
        waiting.listener.set_nonblocking(true).context("setting up the deputy's socket")?;
        Ok(waiting)
    }
}

impl Waiting {
    /// Waits for the deputy and greets it. One that is still stopped (Ctrl-Z) comes when it goes on.
    pub(in crate::home) fn meet(self, greeting: Greeting, link: &TcpStream) -> Result<UnixStream> {
        let Greeting { pid, .. } = greeting;
        let mut deadline = Instant::now() + MEETING;
        loop {
            match self.listener.accept() {
                Ok((mut deputy, _)) => {
                    let (peer, _) = peer_of(&deputy).context("asking who came")?;
                    if peer != pid {
                        tracing::warn!(peer, pid, "somebody else came to a deputy's socket");
                        continue;
                    }
                    deputy.set_nonblocking(false).context("setting up the deputy's socket")?;
                    greeting.give(&mut deputy)?;
                    return Ok(deputy);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("waiting for the deputy"),
            }
            if inspect::is_stopped(pid) {
                wire::send(&mut &*link, &ToTarget::StillHere).context("speaking to the node where it is")?;
                deadline = Instant::now() + MEETING;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the deputy did not come");
            }
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(1),
                tv_nsec: left.subsec_nanos().into(),
            };
            // A deputy that is killed at once never comes; the process's end is noticed by its number.
            if !Path::new(&format!("/proc/{pid}")).exists() {
                bail!("the deputy was killed");
            }
            let quarter = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
            let step = if left.tv_sec > 0 { quarter } else { left };
            match poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&step)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).context("waiting for the deputy"),
            }
        }
    }
}
