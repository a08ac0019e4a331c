//! What a deputy says when its process is lost: on the process's own standard error.

use brant_migration::stream::{Direction, Home, Stream, StreamId};
use brant_migrationd::streams::Streams;
use rustix::fs::FileType;
use std::fs::File;
use std::io::Write;
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
    /// Looks where standard error leads, and keeps that open.
    pub(crate) fn keep(inherited: &[(i32, OwnedFd)]) -> Self {
        let stderr = inherited.iter().find(|(number, _)| *number == 2).map(|(_, stderr)| stderr);
        let Some(stat) = stderr.and_then(|stderr| rustix::fs::fstat(stderr).ok()) else {
            return Self::Nowhere;
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
            return Self::Pipe(stat.st_ino);
        }
        let kept = stderr.and_then(|stderr| stderr.try_clone().ok());
        kept.map_or(Self::Nowhere, |stderr| Self::File(File::from(stderr)))
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
