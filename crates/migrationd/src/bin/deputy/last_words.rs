//! What a deputy says when its process is lost: on the process's own standard error.

use brant_migration::stream::{Direction, Home, Stream, StreamId};
use brant_migrationd::streams::Streams;
use brant_sys::process;
use rustix::fs::FileType;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

/// Where it says so.
pub(crate) enum LastWords {
    /// A terminal or a file.
    File(File),
    /// A pipe, by its number: holding it open as well would keep its reader from seeing its end.
    Pipe(u64),
    /// Nowhere.
    Nowhere,
}

impl LastWords {
    /// Looks where standard error leads, and lets go of every descriptor that the process had but for that one.
    pub(crate) fn keep() -> io::Result<Self> {
        let kept = rustix::io::dup(rustix::stdio::stderr()).ok();
        let stat = kept.as_ref().and_then(|stderr| rustix::fs::fstat(stderr).ok());
        let pipe = stat.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        let kept: Option<OwnedFd> = if pipe.is_some() { None } else { kept };
        let kept = process::let_go_of_descriptors(kept)?;
        Ok(match (pipe, kept) {
            (Some(pipe), _) => Self::Pipe(pipe.st_ino),
            (None, Some(stderr)) => Self::File(File::from(stderr)),
            (None, None) => Self::Nowhere,
        })
    }

    /// Says that the process is lost.
    pub(crate) fn say(&self, why: &str, carried: Option<(&mut Streams, &[Stream])>) {
        let text = format!("\nbrant: process {} is lost: {why}\n", std::process::id());
        match (self, carried) {
            (Self::File(file), _) => {
                let mut file = file;
                let _nobody_reads = file.write_all(text.as_bytes());
            }
            (Self::Pipe(inode), Some((streams, list))) => {
                let leads_there =
                    |stream: &Stream| stream.home == Home::Pipe(*inode) && stream.direction == Direction::Out;
                let found: Option<StreamId> =
                    Stream::numbered(list).find(|(_, stream)| leads_there(stream)).map(|(id, _)| id);
                if let Some(id) = found {
                    streams.say_last(id, text.as_bytes());
                }
            }
            _ => {}
        }
    }
}
