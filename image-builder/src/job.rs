//! Child processes of a build: each in a process group and, where the kernel lets us, in a process and mount
//! namespace of its own. When this program ends in whatever way, the namespace goes, and with it every process
//! and mount the tool had made.

use crate::interrupt::Registered;
use brant_sys::child::{ChildError, Tool, describe};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;

/// How many of a tool's last lines an error repeats.
const LAST_LINES: usize = 20;

/// A tool to be run to its end.
#[derive(Debug)]
pub(crate) struct Job {
    tool: Tool,
    program: String,
}

impl Job {
    /// A program by name or path.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let name = program.as_ref().to_string_lossy().into_owned();
        let tool = if can_contain() {
            Tool::new("unshare")
                .args(["--fork", "--pid", "--mount", "--mount-proc", "--kill-child", "--"])
                .arg(program)
        } else {
            Tool::new(program)
        };
        Self { tool: tool.own_group(), program: name }
    }

    /// Names the program differently in errors, when it only starts the one that matters.
    #[must_use]
    pub(crate) fn called(mut self, name: &str) -> Self {
        name.clone_into(&mut self.program);
        self
    }

    /// Adds one argument.
    #[must_use]
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.tool = self.tool.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.tool = self.tool.args(args);
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub(crate) fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.tool = self.tool.env(key, value);
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub(crate) fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.tool = self.tool.cwd(dir);
        self
    }

    /// Runs to the end; what it says is kept for the error only.
    ///
    /// # Errors
    /// [`ChildError`]; the tool has ended in every case.
    pub(crate) fn run(self) -> Result<(), ChildError> {
        self.watch(|_| {}).map(drop)
    }

    /// Runs to the end, shows each line of its standard error to `on_line`, and returns its standard output.
    ///
    /// # Errors
    /// [`ChildError`]; the tool has ended in every case.
    pub(crate) fn watch(self, mut on_line: impl FnMut(&str)) -> Result<Vec<u8>, ChildError> {
        let program = self.program;
        let mut running = self.tool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let registered = Registered::new(running.id());
        let stdout = running.child.stdout.take();
        let reader = std::thread::spawn(move || stdout.map(read_all).unwrap_or_default());
        let mut last: Vec<String> = Vec::new();
        if let Some(stderr) = running.child.stderr.take() {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                on_line(&line);
                if last.len() == LAST_LINES {
                    last.remove(0);
                }
                last.push(line);
            }
        }
        let out = reader.join().unwrap_or_default();
        let status = running.child.wait();
        drop(registered);
        let status = status.map_err(|source| ChildError::Talk { program: program.clone(), source })?;
        if status.success() {
            return Ok(out);
        }
        if last.iter().all(|line| line.trim().is_empty()) {
            let said = String::from_utf8_lossy(&out);
            let lines: Vec<&str> = said.lines().collect();
            last = lines[lines.len().saturating_sub(LAST_LINES)..]
                .iter()
                .map(|line| (*line).to_owned())
                .collect();
        }
        let tail = last.join("\n");
        Err(ChildError::Failed { program, how: describe(status), status: status.code(), tail })
    }
}

fn read_all(mut from: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let _broken_pipe_is_the_end = from.read_to_end(&mut all);
    all
}

/// Whether namespaces may be made here; a container without the right to still builds, less well fenced in.
fn can_contain() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        Tool::new("unshare")
            .args(["--fork", "--pid", "--mount", "--mount-proc", "--kill-child", "true"])
            .run()
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_output_returned_and_failure_keeps_the_end() {
        let mut seen = Vec::new();
        let script = "echo out; echo one >&2; echo two >&2";
        let out = Job::new("sh").args(["-c", script]).watch(|line| seen.push(line.to_owned())).unwrap();
        assert_eq!((out.as_slice(), seen), (&b"out\n"[..], vec!["one".to_owned(), "two".to_owned()]));
        let failed = Job::new("sh").args(["-c", "echo why >&2; exit 7"]).run().unwrap_err();
        assert!(matches!(&failed, ChildError::Failed { status: Some(7), .. }), "{failed:?}");
        assert!(
            failed.to_string().starts_with("`sh` ended") && failed.to_string().ends_with("why"),
            "{failed}"
        );
    }
}
