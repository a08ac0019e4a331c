//! CRIU's action script: the place where a restored process waits for the home node's decision.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// Where the inner part listens, inside the capsule.
pub(crate) const SOCKET: &str = "/run/brant/hook";

/// Answers one of CRIU's calls. Only `post-restore` waits: every task is restored then, and none has run. A status
/// other than 0 makes CRIU kill what it restored.
pub(crate) fn answer_criu(action: &str) -> ExitCode {
    if action != "post-restore" {
        return ExitCode::SUCCESS;
    }
    let go = || -> std::io::Result<bool> {
        let mut inner = UnixStream::connect(SOCKET)?;
        inner.write_all(b"restored")?;
        let mut verdict = [0];
        inner.read_exact(&mut verdict)?;
        Ok(verdict == *b"g")
    };
    if go().unwrap_or(false) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
