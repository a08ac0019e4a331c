//! The one door for child processes.
//!
//! A child started here has a C locale, is logged with its arguments, dies with the thread that started it
//! (unless told otherwise), and when it fails, its error carries the end of what it said.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// How much of a failed child's output an error keeps, in bytes.
const TAIL: usize = 4096;

/// Why a child process did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The program could not be started at all; nothing ran.
    #[error("starting `{program}`")]
    Start {
        /// The program's name or path.
        program: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Talking to the running child failed; it has been killed.
    #[error("talking to `{program}`")]
    Talk {
        /// The program's name or path.
        program: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The program ran and said that it failed; what it did before stands.
    #[error("`{program}` ended with {how}{}", tail_of(.tail))]
    Failed {
        /// The program's name or path.
        program: String,
        /// "exit status N" or "signal N".
        how: String,
        /// The exit status, where there was one.
        status: Option<i32>,
        /// The last lines of its standard error (or output, where they were joined).
        tail: String,
    },
}

fn tail_of(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!(", saying:\n{}", tail.trim_end()) }
}

/// A child process to be started.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    program: String,
    dies_with_parent: bool,
    kept: Vec<(i32, OwnedFd)>,
    cgroup: Option<OwnedFd>,
    identity: Option<Identity>,
}

/// Whose process a child is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's number.
    pub uid: u32,
    /// The number of its first group.
    pub gid: u32,
    /// All its groups.
    pub groups: Vec<u32>,
}

impl Tool {
    /// A program by name (looked up in `PATH`) or path, with no arguments yet.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        let mut command = Command::new(program.as_ref());
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let program = program.as_ref().to_string_lossy().into_owned();
        Self { command, program, dies_with_parent: true, kept: Vec::new(), cgroup: None, identity: None }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Starts from an empty environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Sets standard input; without it the child reads end of file.
    #[must_use]
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.command.stdin(from);
        self
    }

    /// Sets standard output for [`Tool::spawn`].
    #[must_use]
    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    /// Sets standard error for [`Tool::spawn`].
    #[must_use]
    pub fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stderr(to);
        self
    }

    /// Hands a descriptor to the child under this number (3 or more), open across its exec.
    #[must_use]
    pub fn keep(mut self, number: i32, fd: OwnedFd) -> Self {
        self.kept.push((number, fd));
        self
    }

    /// Starts the child inside a control group; `processes` is the group's `cgroup.procs`, open for writing.
    #[must_use]
    pub fn in_cgroup(mut self, processes: impl Into<OwnedFd>) -> Self {
        self.cgroup = Some(processes.into());
        self
    }

    /// Gives the child to a user, with that user's groups; only root may.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Lets the child outlive the thread that starts it.
    #[must_use]
    pub fn outlives_parent(mut self) -> Self {
        self.dies_with_parent = false;
        self
    }

    /// Gives the child, and all that it starts, no huge pages, until one of them asks for some
    /// (`PR_SET_THP_DISABLE`, prctl(2)).
    #[must_use]
    pub fn without_huge_pages(mut self) -> Self {
        // SAFETY: only an async-signal-safe call that passes no memory, between fork and exec.
        unsafe {
            self.command.pre_exec(|| {
                if libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        self
    }

    /// Makes the child a session leader with its standard input as controlling terminal, if it is one. It heeds every
    /// signal: what a parent in the background ignores (Ctrl-C) is meant for the child's own terminal.
    #[must_use]
    pub fn new_session(self) -> Self {
        let mut tool = self.new_session_without_terminal();
        // SAFETY: only async-signal-safe calls, no allocation, between fork and exec.
        unsafe {
            tool.command.pre_exec(|| {
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        tool
    }

    /// The same, and leaves a terminal that its standard input is to whom the child starts.
    #[must_use]
    pub fn new_session_without_terminal(mut self) -> Self {
        // SAFETY: only async-signal-safe calls, no allocation, between fork and exec.
        unsafe {
            self.command.pre_exec(|| {
                for signal in 1..=31 {
                    libc::signal(signal, libc::SIG_DFL);
                }
                libc::setsid();
                Ok(())
            });
        }
        self
    }

    /// Starts the child in its own process group, so that the terminal's Ctrl-C does not reach it.
    #[must_use]
    pub fn own_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// Runs to the end; standard output is thrown away.
    ///
    /// # Errors
    /// [`ChildError`]; the child has ended in every case.
    pub fn run(self) -> Result<(), ChildError> {
        self.output().map(drop)
    }

    /// Runs to the end and returns its standard output.
    ///
    /// # Errors
    /// [`ChildError`]; the child has ended in every case.
    pub fn output(mut self) -> Result<Vec<u8>, ChildError> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = self.spawn()?;
        let program = running.program.clone();
        let stderr = running.child.stderr.take();
        let said = std::thread::spawn(move || stderr.map(read_tail).unwrap_or_default());
        let mut out = Vec::new();
        if let Some(mut stdout) = running.child.stdout.take() {
            stdout.read_to_end(&mut out).map_err(|source| ChildError::Talk { program, source })?;
        }
        let tail = said.join().unwrap_or_default();
        running.wait_with(tail)?;
        Ok(out)
    }

    /// Starts the child and returns at once.
    ///
    /// # Errors
    /// [`ChildError::Start`]; nothing ran.
    pub fn spawn(mut self) -> Result<Running, ChildError> {
        tracing::debug!(program = %self.program, args = ?self.command.get_args().collect::<Vec<&OsStr>>(), "starting");
        let above = self.kept.iter().map(|(number, _)| *number + 1).max().unwrap_or(0);
        let mut kept: Vec<(i32, i32)> =
            self.kept.iter().map(|(number, fd)| (*number, fd.as_raw_fd())).collect();
        let dies = self.dies_with_parent;
        let cgroup = self.cgroup.as_ref().map(AsRawFd::as_raw_fd);
        let identity = self.identity.take();
        // SAFETY: only async-signal-safe calls between fork and exec; what is captured was allocated before the fork.
        unsafe {
            self.command.pre_exec(move || {
                if let Some(cgroup) = cgroup
                    && libc::write(cgroup, c"0".as_ptr().cast(), 1) < 0
                {
                    return Err(io::Error::last_os_error());
                }
                // Before the death signal: a change of user clears it.
                if let Some(identity) = &identity {
                    assume(identity)?;
                }
                if dies && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                // Rust ignores SIGPIPE in its own programs and blocks nothing; a child starts as a shell starts it.
                libc::signal(libc::SIGPIPE, libc::SIG_DFL);
                let mut none: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&raw mut none);
                libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
                // Out of the way first, for one may have the number that another is to get.
                for (_, fd) in &mut kept {
                    *fd = libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, above);
                    if *fd < 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
                for (number, fd) in &kept {
                    if libc::dup2(*fd, *number) < 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = self
            .command
            .spawn()
            .map_err(|source| ChildError::Start { program: self.program.clone(), source })?;
        Ok(Running { child, program: self.program })
    }

    /// Replaces this process by the program; returns only on failure.
    pub fn exec(mut self) -> ChildError {
        let source = self.command.exec();
        ChildError::Start { program: self.program, source }
    }

    /// The command line as a person would type it, for messages and records.
    pub fn command_line(&self) -> String {
        let mut words: Vec<OsString> = vec![self.command.get_program().to_owned()];
        words.extend(self.command.get_args().map(OsStr::to_owned));
        words.iter().map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }
}

/// Becomes this user for good. Made of async-signal-safe calls only, for use between fork and exec.
fn assume(identity: &Identity) -> io::Result<()> {
    // SAFETY: `groups` is a live slice of this length; the other calls pass no memory.
    let done = unsafe {
        libc::setgroups(identity.groups.len(), identity.groups.as_ptr()) == 0
            && libc::setgid(identity.gid) == 0
            && libc::setuid(identity.uid) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn read_tail(mut from: impl Read) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut chunk = [0_u8; 4096];
    while let Ok(n @ 1..) = from.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..n]);
        if kept.len() > 2 * TAIL {
            kept.drain(..kept.len() - TAIL);
        }
    }
    let start = kept.len().saturating_sub(TAIL);
    String::from_utf8_lossy(&kept[start..]).into_owned()
}

/// A child process that runs.
#[derive(Debug)]
pub struct Running {
    /// The child itself, for its pipes and its process id.
    pub child: Child,
    program: String,
}

impl Running {
    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; only exit status 0 is success.
    ///
    /// # Errors
    /// [`ChildError::Failed`] with the tail of its standard error, where that was a pipe.
    pub fn wait(mut self) -> Result<(), ChildError> {
        let tail = self.child.stderr.take().map(read_tail).unwrap_or_default();
        self.wait_with(tail)
    }

    /// Kills the child and reaps it; one that has ended already is only reaped.
    pub fn kill(mut self) {
        let _already_ended = self.child.kill();
        let _reaped = self.child.wait();
    }

    fn wait_with(mut self, tail: String) -> Result<(), ChildError> {
        let status =
            self.child.wait().map_err(|source| ChildError::Talk { program: self.program.clone(), source })?;
        if status.success() {
            return Ok(());
        }
        Err(ChildError::Failed { program: self.program, how: describe(status), status: status.code(), tail })
    }
}

/// "exit status N" or "signal N".
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_returned_and_failure_carries_the_tail() {
        assert_eq!(Tool::new("echo").arg("a b").output().unwrap(), b"a b\n");
        let failed = Tool::new("sh").args(["-c", "echo broken >&2; exit 3"]).run().unwrap_err();
        assert!(matches!(&failed, ChildError::Failed { status: Some(3), .. }), "{failed:?}");
        assert!(failed.to_string().contains("broken"));
    }

    #[test]
    fn a_child_takes_on_an_identity_or_does_not_start() {
        let nobody = Identity { uid: 65534, gid: 65533, groups: vec![65533, 4] };
        let tool = Tool::new("sh").args(["-c", "id -u; id -g; id -G"]).identity(nobody);
        match tool.output() {
            Ok(said) => assert_eq!(String::from_utf8_lossy(&said), "65534\n65533\n65533 4\n"),
            Err(refused) => assert!(matches!(refused, ChildError::Start { .. }), "{refused:?}"),
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let missing = Tool::new("/no/such/program").run().unwrap_err();
        assert_eq!(missing.to_string(), "starting `/no/such/program`");
    }

    #[test]
    fn command_lines_are_quoted_for_a_shell() {
        assert_eq!(Tool::new("echo").args(["a b", "c'd", "e"]).command_line(), r"echo 'a b' 'c'\''d' e");
    }
}
