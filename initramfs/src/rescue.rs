//! When a node cannot be started: what failed, what to try, and a shell on whichever console asks for it.

use crate::consoles;
use crate::power::Ending;
use crate::report;
use anyhow::{Result, anyhow};
use brant_sys::child::Tool;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitOptions, wait};
use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::Stdio;

/// A step of the boot, with what a person can do when it fails; a context in the chain of an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// What was being done, as a gerund.
    pub(crate) doing: &'static str,
    /// What to try, as a sentence.
    pub(crate) remedy: &'static str,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doing)
    }
}

const GENERAL_REMEDY: &str = "Restart the PC; if it fails again, write the image to the medium anew.";

/// Runs PID 1's work. PID 1 must not end, not even by a bug: what stopped it is shown, and the shell offered.
pub(crate) fn unless_fine(work: fn() -> Result<()>) -> Result<()> {
    let error = match std::panic::catch_unwind(work) {
        Ok(Ok(())) => anyhow!("the first process came to its end"),
        Ok(Err(error)) => error,
        Err(_) => anyhow!("a mistake in this program (the lines above say where)"),
    };
    if Path::new("/init").exists() {
        crate::supervise::tolerate("loading drivers for the rescue shell", crate::devices::load_all());
    }
    loop {
        if let Err(worse) = offer(&error) {
            report::complain(&format!("{error:#}; and the rescue shell: {worse:#}"));
            std::thread::sleep(std::time::Duration::from_secs(10));
        }
    }
}

fn message(error: &anyhow::Error) -> String {
    let remedy = error.downcast_ref::<Step>().map_or(GENERAL_REMEDY, |step| step.remedy);
    format!(
        "\n*** This PC could not be started as a Brant node.\n\
         *** What failed:  {error:#}\n\
         *** What to try:  {remedy}\n\
         *** Press Enter for a shell on this console; leaving that shell restarts the PC.\n"
    )
}

fn offer(error: &anyhow::Error) -> Result<()> {
    let asking = Invitation::extend(&message(error)).wait()?;
    shell_on(&asking)?;
    rustix::fs::sync();
    Ending::Reboot.now()
}

/// A text on all consoles that invites to press Enter.
#[derive(Debug)]
pub(crate) struct Invitation {
    open: Vec<(String, File)>,
}

impl Invitation {
    /// Shows the text on every console that can be opened.
    pub(crate) fn extend(text: &str) -> Self {
        let mut open: Vec<(String, File)> = Vec::new();
        for name in consoles::active() {
            if let Ok(mut console) = consoles::open(&name) {
                let _console_gone = console.write_all(text.replace('\n', "\r\n").as_bytes());
                open.push((name, console));
            }
        }
        Self { open }
    }

    /// Waits until somebody accepts; gives the console.
    pub(crate) fn wait(mut self) -> Result<String> {
        loop {
            if self.open.is_empty() {
                return Err(anyhow!("no console can be opened, or all have hung up"));
            }
            let mut polled: Vec<PollFd<'_>> =
                self.consoles().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            poll(&mut polled, None)?;
            if let Some(asking) = self.accepted() {
                return Ok(asking);
            }
        }
    }

    /// What to wait for.
    pub(crate) fn consoles(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(|(_, console)| console.as_fd())
    }

    /// The console on which a line was typed, if one was. A console that hangs up is not asked again.
    pub(crate) fn accepted(&mut self) -> Option<String> {
        let mut at = 0;
        while at < self.open.len() {
            let mut typed = [0_u8; 64];
            match self.open[at].1.read(&mut typed) {
                Ok(1..) => return Some(self.open[at].0.clone()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => at += 1,
                Ok(_) | Err(_) => drop(self.open.remove(at)),
            }
        }
        None
    }
}

/// A shell on this console, until it is left.
pub(crate) fn shell_on(console: &str) -> Result<()> {
    let path = format!("/dev/{console}");
    let terminal = || File::options().read(true).write(true).open(&path).map(Stdio::from);
    let tool = if let Some(busybox) =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists())
    {
        Tool::new(busybox).arg("sh")
    } else {
        Tool::new("/bin/sh")
    };
    let shell = tool
        .env("PATH", crate::power::SEARCH_PATH)
        .env("PS1", "rescue # ")
        .env("TERM", consoles::terminal_type(console))
        .cwd(if fs::metadata("/root").is_ok() { "/root" } else { "/" })
        .stdin(terminal()?)
        .stdout(terminal()?)
        .stderr(terminal()?)
        .new_session()
        .spawn()?;
    let id = shell.id().cast_signed();
    // As PID 1 we are also the parent of every orphan.
    while let Some((ended, _)) = wait(WaitOptions::empty())? {
        if ended.as_raw_nonzero().get() == id {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_failure_and_the_remedy_of_its_step() {
        let step = Step { doing: "mounting the root", remedy: "Use a PC with more memory." };
        let text = message(&anyhow!("cannot allocate memory").context(step));
        assert!(text.contains("mounting the root: cannot allocate memory"), "{text}");
        assert!(text.contains("Use a PC with more memory."), "{text}");
    }

    #[test]
    fn an_unforeseen_failure_has_a_remedy_too() {
        assert!(message(&anyhow!("odd")).contains(GENERAL_REMEDY));
    }
}
