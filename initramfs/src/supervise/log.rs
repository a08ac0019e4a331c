//! What a service says, kept in a file of bounded size: the newest part and the part before it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Each of the two parts is at most this long, in bytes.
const PART: u64 = 256 * 1024;
/// How much of the end is kept in memory, for the report when the service fails.
const TAIL: usize = 512;

/// A service's log, and the pipes that it comes through.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    part: u64,
    tail: Vec<u8>,
    /// One for each run whose words may still come: a child can outlive the service, and writing into a pipe that
    /// nobody reads would kill it.
    pipes: Vec<io::PipeReader>,
}

impl Log {
    /// The log of this name; its file is made with the first words.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, file: None, length: 0, part: PART, tail: Vec::new(), pipes: Vec::new() }
    }

    /// A new pipe whose writing end is for the service.
    pub(super) fn pipe(&mut self) -> io::Result<io::PipeWriter> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        self.pipes.push(reader);
        self.tail.clear();
        Ok(writer)
    }

    /// What to wait for.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pipes.iter().map(AsFd::as_fd)
    }

    /// Takes what has come.
    pub(super) fn pump(&mut self) {
        let mut pipes = std::mem::take(&mut self.pipes);
        pipes.retain_mut(|pipe| self.take(pipe));
        self.pipes = pipes;
    }

    /// Takes what has come through one pipe; whether more can come.
    fn take(&mut self, pipe: &mut io::PipeReader) -> bool {
        let mut chunk = [0_u8; 4096];
        loop {
            match pipe.read(&mut chunk) {
                Ok(got @ 1..) => self.keep(&chunk[..got]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                Ok(_) => return false,
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
    fn a_child_that_outlives_its_service_is_still_heard() {
        let mut log = scratch("outlives");
        let mut old = log.pipe().unwrap();
        let mut new = log.pipe().unwrap();
        old.write_all(b"from before\n").unwrap();
        new.write_all(b"from now\n").unwrap();
        log.pump();
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "from before\nfrom now\n");
        old.write_all(b"again\n").unwrap();
        fs::remove_dir_all(log.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_came_through_the_pipe_is_kept_and_its_last_line_known() {
        let mut log = scratch("pipe");
        let mut writer = log.pipe().unwrap();
        writer.write_all(b"first\nlast words\n\n").unwrap();
        log.pump();
        assert_eq!(log.waits_for().count(), 1);
        drop(writer);
        log.pump();
        assert_eq!(log.waits_for().count(), 0);
        assert_eq!(log.last_line(), "last words");
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "first\nlast words\n\n");
        fs::remove_dir_all(log.path.parent().unwrap()).unwrap();
    }
}
