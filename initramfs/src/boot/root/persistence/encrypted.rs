//! A partition that is encrypted (LUKS), opened with a passphrase from the consoles.
//!
//! ```text
//! blank, or unfinished ─▶ new passphrase ─▶ labelled unfinished ─▶ opened ─▶ file system made ─▶ labelled finished
//! finished             ─▶ passphrase ─▶ opened ─▶ file system checked
//! ```
//! Only what has never held a file is made anew: a power cut on the way leaves it unfinished.

use super::{Programs, is_blank, ready};
use crate::passphrase;
use crate::report;
use anyhow::{Context, Result, bail, ensure};
use brant_sys::child::Tool;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What the opened partition is called.
const MAPPED: &str = "brant-persistence";
/// How often a passphrase may be wrong.
const TRIES: u32 = 3;
/// What encryption takes, as modules.
const MODULES: [&str; 2] = ["dm-crypt", "xts"];
/// What makes it faster, where the processor can do that.
const FASTER: [&str; 2] = ["aesni-intel", "algif_skcipher"];
/// How a header of LUKS begins.
const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// Where its label is (LUKS2 on-disk format, 2.1), and how long it is.
const LABEL: std::ops::Range<usize> = 24..72;
const UNFINISHED: &str = "brant-unfinished";
const FINISHED: &str = "brant";

/// What there is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    New,
    Finished,
}

/// Opens it, or makes it; gives what is inside, with a file system.
pub(super) fn open(partition: &Path, programs: &Programs) -> Result<PathBuf> {
    for module in MODULES {
        programs.load(module)?;
    }
    for module in FASTER {
        let _not_for_this_processor = programs.load(module);
    }
    let inside = Path::new("/dev/mapper").join(MAPPED);
    if state(partition)? == State::New {
        let passphrase = new_passphrase()?;
        report::say("encrypting the partition for what is to be kept");
        let format = programs.tool("cryptsetup").args(["luksFormat", "--batch-mode", "--type", "luks2"]);
        // Little enough memory for the smallest PC that may open it.
        let format = format.args(["--label", UNFINISHED, "--pbkdf-memory", "131072", "--key-file", "-"]);
        with_input(format.arg(partition), &passphrase).context("encrypting it")?;
        unlock(partition, &passphrase, programs)?;
        ready(&inside, true, programs)?;
        let finish = programs.tool("cryptsetup").args(["config", "--label", FINISHED]).arg(partition);
        finish.run().context("noting that it is finished")?;
        return Ok(inside);
    }
    for _ in 0..TRIES {
        let asked = "\nPassphrase of this stick (only Enter goes on without what it keeps): ";
        let passphrase = passphrase::ask(asked)?;
        ensure!(!passphrase.is_empty(), "nobody has given the passphrase");
        match unlock(partition, &passphrase, programs) {
            Ok(()) => {
                ready(&inside, false, programs)?;
                return Ok(inside);
            }
            Err(error) => report::complain(&format!("{error:#}")),
        }
    }
    bail!("it could not be opened {TRIES} times")
}

fn state(partition: &Path) -> Result<State> {
    let reading = || format!("reading `{}`", partition.display());
    let mut head = [0; LABEL.end];
    File::open(partition).and_then(|mut file| file.read_exact(&mut head)).with_context(reading)?;
    if head.starts_with(MAGIC) {
        let label = &head[LABEL];
        let unfinished = label.starts_with(UNFINISHED.as_bytes());
        return Ok(if unfinished { State::New } else { State::Finished });
    }
    ensure!(
        is_blank(partition)?,
        "what is there is not understood, and is left as it is; it may be damaged at its beginning"
    );
    Ok(State::New)
}

fn new_passphrase() -> Result<Vec<u8>> {
    loop {
        let first = passphrase::ask(
            "\nThis stick will keep what is written on this PC, encrypted.\nA new passphrase for it (only Enter goes on without): ",
        )?;
        ensure!(!first.is_empty(), "nobody has given a passphrase");
        if passphrase::ask("\nThe same once more: ")? == first {
            return Ok(first);
        }
        report::complain("the two were not the same");
    }
}

fn unlock(partition: &Path, passphrase: &[u8], programs: &Programs) -> Result<()> {
    let open = programs.tool("cryptsetup").args(["open", "--key-file", "-"]).arg(partition).arg(MAPPED);
    with_input(open, passphrase).context("opening it with this passphrase")
}

/// A passphrase is on no command line and in no file.
fn with_input(tool: Tool, input: &[u8]) -> Result<()> {
    let mut running = tool.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut pipe) = running.child.stdin.take() {
        pipe.write_all(input).context("giving the passphrase")?;
    }
    Ok(running.wait()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_of(head: &[u8]) -> Result<State> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0; 1 << 20];
        bytes[..head.len()].copy_from_slice(head);
        std::fs::write(file.path(), bytes).unwrap();
        state(file.path())
    }

    #[test]
    fn only_what_has_never_held_a_file_is_made_anew() {
        let header = |label: &str| [MAGIC, &[0; 18], label.as_bytes()].concat();
        assert_eq!(state_of(b"").unwrap(), State::New);
        assert_eq!(state_of(&header(UNFINISHED)).unwrap(), State::New);
        assert_eq!(state_of(&header(FINISHED)).unwrap(), State::Finished);
        assert_eq!(state_of(&header("")).unwrap(), State::Finished);
        assert!(state_of(b"LUXS").is_err());
    }
}
