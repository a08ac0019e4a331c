//! Lines for whoever watches the consoles: the kernel's log shows them there.

use std::fs::File;
use std::io::Write as _;

const KERNEL_LOG: &str = "/dev/kmsg";

/// The consoles; what they cannot show is in the agent's own log.
pub(super) struct Console(Option<File>);

impl Console {
    /// Opens them, while that can be done.
    pub(super) fn open() -> Self {
        Self(File::options().write(true).open(KERNEL_LOG).ok())
    }

    /// Says a line. On a running node the consoles show what is as pressing as 3 (an error, as the kernel counts); 5 is kept in
    /// the log.
    pub(super) fn announce(&mut self, line: &str, level: u8) {
        tracing::info!("{line}");
        if let Some(console) = &mut self.0 {
            let _console_is_optional = console.write_all(format!("<{level}>brant: {line}\n").as_bytes());
        }
    }
}
