//! Lines for whoever watches the consoles: the kernel's log shows them there.

use std::fs::File;
use std::io::Write as _;

const KERNEL_LOG: &str = "/dev/kmsg";
/// As the kernel counts (syslog(2)); `init` lets errors through to the consoles.
const ERROR: u8 = 3;
const NOTICE: u8 = 5;

/// The consoles; what they cannot show is in the agent's own log.
pub(super) struct Console(Option<File>);

impl Console {
    /// Opens them, while that can be done.
    pub(super) fn open() -> Self {
        Self(File::options().write(true).open(KERNEL_LOG).ok())
    }

    /// Says a line that whoever sits there has to see now.
    pub(super) fn show(&mut self, line: &str) {
        self.write(ERROR, line);
    }

    /// Says a line that is kept in the kernel's log; on a running node the consoles do not show it.
    pub(super) fn note(&mut self, line: &str) {
        self.write(NOTICE, line);
    }

    fn write(&mut self, level: u8, line: &str) {
        tracing::info!("{line}");
        if let Some(console) = &mut self.0 {
            let _console_is_optional = console.write_all(format!("<{level}>brant: {line}\n").as_bytes());
        }
    }
}
