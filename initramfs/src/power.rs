//! Ending: `poweroff`, `reboot` and `halt` ask PID 1, with the signals that busybox and sysvinit users know.

use anyhow::{Context, Result, bail};
use brant_sys::signal;
use rustix::system::RebootCommand;

/// The search path of everybody on a node.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a node ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    PowerOff,
    Reboot,
    Halt,
}

impl Ending {
    /// The signal that asks PID 1 for it.
    pub(crate) fn signal(self) -> i32 {
        match self {
            Self::Halt => signal::SIGUSR1,
            Self::PowerOff => signal::SIGUSR2,
            Self::Reboot => signal::SIGTERM,
        }
    }

    /// What a signal to PID 1 asks for; Ctrl-Alt-Del comes as SIGINT.
    pub(crate) fn of_signal(number: i32) -> Option<Self> {
        match number {
            signal::SIGUSR1 => Some(Self::Halt),
            signal::SIGUSR2 => Some(Self::PowerOff),
            signal::SIGTERM | signal::SIGINT => Some(Self::Reboot),
            _ => None,
        }
    }

    /// For messages: "powering off".
    pub(crate) fn gerund(self) -> &'static str {
        match self {
            Self::PowerOff => "powering off",
            Self::Reboot => "restarting",
            Self::Halt => "halting",
        }
    }

    /// The last call; returns only when the kernel refuses.
    pub(crate) fn now(self) -> Result<()> {
        let command = match self {
            Self::PowerOff => RebootCommand::PowerOff,
            Self::Reboot => RebootCommand::Restart,
            Self::Halt => RebootCommand::Halt,
        };
        rustix::system::reboot(command).with_context(|| self.gerund())
    }
}

/// Asks PID 1 to end the node in order; with `-f` ends it here and now.
pub(crate) fn ask(ending: Ending) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root may end this node; type `sudo {}`", std::env::args().next().unwrap_or_default());
    }
    if std::env::args().any(|word| word == "-f") {
        rustix::fs::sync();
        return ending.now();
    }
    signal::send(1, ending.signal()).context("asking PID 1 to end the node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_comes_back_from_its_signal() {
        for ending in [Ending::PowerOff, Ending::Reboot, Ending::Halt] {
            assert_eq!(Ending::of_signal(ending.signal()), Some(ending));
        }
        assert_eq!(Ending::of_signal(signal::SIGINT), Some(Ending::Reboot));
        assert_eq!(Ending::of_signal(signal::SIGCHLD), None);
    }
}
