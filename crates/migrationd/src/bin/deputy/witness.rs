//! Whether a signal came to one process or to its whole group: who is signalled cannot tell, two together can.

use brant_sys::process::{self, Forked};
use brant_sys::signal::{self, SIGKILL};
use std::io;
use std::time::Duration;

/// How long the kernel takes at most to go through a group.
const SAME_MOMENT: Duration = Duration::from_millis(2);

/// A second process in the deputy's group that blocks every signal and does nothing: what is pending for it came to the
/// group. It ends with the deputy.
pub(crate) struct Witness {
    pid: i32,
}

impl Witness {
    /// Starts one.
    pub(crate) fn start() -> io::Result<Self> {
        match process::fork()? {
            Forked::Parent(pid) => Ok(Self { pid }),
            Forked::Child => {
                process::end_with_parent();
                process::set_name("brant-witness");
                let _holds_pipes_open_else = process::let_go_of_descriptors(None);
                process::sleep_for_ever()
            }
        }
    }

    /// Whether it has got this signal as well; then it is replaced, for it never forgets.
    pub(crate) fn has_seen(&mut self, signal: i32) -> io::Result<bool> {
        std::thread::sleep(SAME_MOMENT);
        let seen = brant_migrationd::inspect::pending_signals(self.pid) & (1 << (signal - 1)) != 0;
        if seen {
            *self = Self::start()?;
        }
        Ok(seen)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ended_already = signal::send(self.pid, SIGKILL);
    }
}
