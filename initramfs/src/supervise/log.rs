//! What a service says, kept in a file of bounded size: the newest part and the part before it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Each of the two parts is at most this long, in bytes.
const PART: u64 = 256 * 1024;
/// How much of the end is kept in memory, for the report when the service fails.
const TAIL: usize = 512;

/// A service's log, and the pipe that it comes through.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    part: u64,
    tail: Vec<u8>,
    pipe: Option<io::PipeReader>,
}

impl Log {
    /// The log of this name; its file is made with the first words.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, file: None, length: 0, part: PART, tail: Vec::new(), pipe: None }
    }

    /// A new pipe whose writing end is for the service; an older one is no longer heard.
    pub(super) fn pipe(&mut self) -> io::Result<io::PipeWriter> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        self.pipe = Some(reader);
        self.tail.clear();
        Ok(writer)
    }

    /// What to wait for.
    pub(super) fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes what has come.
    pub(super) fn pump(&mut self) {
        let mut chunk = [0_u8; 4096];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(got) => self.keep(&chunk[..got]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    /// The last line that is not empty.
    pub(super) fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        text.lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("it said nothing")
            .to_owned()
    }

    fn keep(&mut self, said: &[u8]) {
        self.tail.extend_from_slice(said);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        // A log that cannot be written must not stop the service.
        let _not_logged = self.write(said);
    }

    fn write(&mut self, said: &[u8]) -> io::Result<()> {
        if self.length >= self.part {
            self.file = None;
            self.length = 0;
            fs::rename(&self.path, older(&self.path))?;
        }
        if self.file.is_none() {
            self.file = Some(File::options().append(true).create(true).open(&self.path)?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(said)?;
            self.length += said.len() as u64;
        }
        Ok(())
    }
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> Log {
        let folder = std::env::temp_dir().join(format!("brant-log-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Log::at(folder.join("x.log"))
    }

    #[test]
    fn a_log_never_grows_beyond_two_parts() {
        let mut log = scratch("bound");
        log.part = 100;
        for _ in 0..100 {
            log.keep(b"0123456789\n");
        }
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(size(&log.path) <= 110 && size(&older(&log.path)) <= 110);
        fs::remove_dir_all(log.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_came_through_the_pipe_is_kept_and_its_last_line_known() {
        let mut log = scratch("pipe");
        let mut writer = log.pipe().unwrap();
        writer.write_all(b"first\nlast words\n\n").unwrap();
        log.pump();
        assert!(log.waits_for().is_some());
        drop(writer);
        log.pump();
        assert!(log.waits_for().is_none());
        assert_eq!(log.last_line(), "last words");
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "first\nlast words\n\n");
        fs::remove_dir_all(log.path.parent().unwrap()).unwrap();
    }
}
