//! One running session: its process, and the streams between it and the client.

use crate::hang_up;
use crate::port::set_nonblocking;
use brant_sys::cgroup::Cgroup;
use brant_sys::pty::{WindowSize, set_window_size};
use brant_types::exec::{Ending, TerminalSize, ToHost};
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, read, write};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Bytes for the session that may wait here before no more are taken from the client.
const INCOMING: usize = 256 << 10;
/// How long the terminal of an ended session may take to hand out what is still in it.
const LAST_WORDS: Duration = Duration::from_millis(500);
const CHUNK: usize = 16 << 10;

/// A session's process and streams.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    ends: OwnedFd,
    input: Option<OwnedFd>,
    pending: VecDeque<u8>,
    input_ends: bool,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    on_terminal: bool,
    ended: Option<(Ending, Instant)>,
    group: Option<Cgroup>,
}

impl Session {
    /// A session behind a terminal whose master this is.
    pub(crate) fn on_terminal(child: Child, master: OwnedFd, group: Option<Cgroup>) -> io::Result<Self> {
        let input = master.try_clone()?;
        Self::new(child, Some(input), Some(master), None, true, group)
    }

    /// A session whose three streams are the child's pipes.
    pub(crate) fn on_pipes(mut child: Child, group: Option<Cgroup>) -> io::Result<Self> {
        let input = child.stdin.take().map(OwnedFd::from);
        let output = child.stdout.take().map(OwnedFd::from);
        let error = child.stderr.take().map(OwnedFd::from);
        Self::new(child, input, output, error, false, group)
    }

    fn new(
        child: Child,
        input: Option<OwnedFd>,
        output: Option<OwnedFd>,
        error: Option<OwnedFd>,
        on_terminal: bool,
        group: Option<Cgroup>,
    ) -> io::Result<Self> {
        for stream in [&input, &output, &error].into_iter().flatten() {
            set_nonblocking(stream, true)?;
        }
        let ends = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        let pending = VecDeque::new();
        Ok(Self {
            child,
            ends,
            input,
            pending,
            input_ends: false,
            output,
            error,
            on_terminal,
            ended: None,
            group,
        })
    }

    /// The process id of its leader.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether more bytes from the client have room.
    pub(crate) fn wants_input(&self) -> bool {
        self.pending.len() < INCOMING
    }

    /// Adds what [`Session::advance`] could work on.
    pub(crate) fn watch<'fd>(&'fd self, room_for_output: bool, watched: &mut Vec<PollFd<'fd>>) {
        if let Some(input) = &self.input
            && !self.pending.is_empty()
        {
            watched.push(PollFd::new(input, PollFlags::OUT));
        }
        if room_for_output {
            let outputs = [&self.output, &self.error].into_iter().flatten();
            watched.extend(outputs.map(|output| PollFd::new(output, PollFlags::IN)));
        }
        if self.ended.is_none() {
            watched.push(PollFd::new(&self.ends, PollFlags::IN));
        }
    }

    /// How long a wait may last without anything happening.
    pub(crate) fn at_most(&self) -> Option<Duration> {
        self.ended.map(|_| Duration::from_millis(20))
    }

    /// Takes bytes for its standard input.
    pub(crate) fn input(&mut self, bytes: &[u8]) {
        if self.input.is_some() && !self.input_ends {
            self.pending.extend(bytes);
        }
    }

    /// No more bytes will come.
    pub(crate) fn input_ends(&mut self) {
        self.input_ends = true;
        // A terminal has no end of file, but a line discipline in line mode has a character that means it.
        if self.on_terminal
            && let Some(modes) = self.input.as_ref().and_then(|master| tcgetattr(master).ok())
            && modes.local_modes.contains(LocalModes::ICANON)
        {
            self.pending.push_back(modes.special_codes[SpecialCodeIndex::VEOF]);
        }
    }

    /// Tells its terminal, if it has one, the new size.
    pub(crate) fn resize(&self, size: TerminalSize) {
        if let (true, Some(master)) = (self.on_terminal, &self.input) {
            let size = WindowSize { rows: size.rows, columns: size.columns };
            if let Err(error) = set_window_size(master, size) {
                eprintln!("exec-service: setting a terminal's size: {error}");
            }
        }
    }

    /// Moves what can be moved without waiting: returns about this much output, and how it ended once all is out.
    pub(crate) fn advance(&mut self, room: usize) -> (Vec<ToHost>, Option<Ending>) {
        // First the end, then the output: what it wrote before it ended is then there to be read.
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.ended = Some((ending(status), Instant::now()));
        }
        self.feed();
        let mut said = Vec::new();
        let out = drain(&mut self.output, room, &mut said, ToHost::Output);
        let err = drain(&mut self.error, room, &mut said, ToHost::Error);
        let ending = self.ended.and_then(|(ending, when)| {
            let all_closed = self.output.is_none() && self.error.is_none();
            let silent = out == Drained::Dry && err == Drained::Dry;
            // A pipe that background processes hold open may be dry for ever. A terminal is not finished when it is
            // dry: what was written to it passes through a worker of the kernel; its hang-up comes after that.
            let waited = !self.on_terminal || when.elapsed() >= LAST_WORDS;
            (all_closed || (silent && waited)).then_some(ending)
        });
        (said, ending)
    }

    fn feed(&mut self) {
        while let (Some(input), false) = (&self.input, self.pending.is_empty()) {
            match write(input, self.pending.as_slices().0) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_nobody_reads) => {
                    self.pending.clear();
                    self.input = None;
                }
            }
        }
        if self.input_ends && !self.on_terminal {
            self.input = None;
        }
    }

    /// Ends a session that has ended by itself; its background processes may live on.
    pub(crate) fn close(self) {
        if let Some(group) = &self.group {
            let _background_processes_are_left = group.remove();
        }
    }

    /// Ends a session whose client is gone, without waiting for it.
    pub(crate) fn hang_up(self) {
        let Self { child, group, on_terminal, .. } = self;
        let end = if on_terminal { hang_up::after_terminal } else { hang_up::without_terminal };
        std::thread::spawn(move || end(child, group.as_ref()));
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Drained {
    /// Nothing more at this moment, or for ever.
    Dry,
    /// There may be more.
    Full,
}

fn drain(
    stream: &mut Option<OwnedFd>,
    room: usize,
    said: &mut Vec<ToHost>,
    message: fn(Vec<u8>) -> ToHost,
) -> Drained {
    let mut taken = 0;
    while let Some(open) = stream {
        if taken >= room {
            return Drained::Full;
        }
        let mut chunk = vec![0; CHUNK];
        match read(&*open, &mut chunk[..]) {
            // A terminal that nobody holds any more says EIO.
            Ok(0) | Err(Errno::IO) => *stream = None,
            Ok(length) => {
                chunk.truncate(length);
                taken += length;
                said.push(message(chunk));
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Drained::Dry,
            Err(errno) => {
                eprintln!("exec-service: reading a session's output: {errno}");
                *stream = None;
            }
        }
    }
    Drained::Dry
}

fn ending(status: ExitStatus) -> Ending {
    let small = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(small(code)),
        (None, signal) => Ending::Killed(small(signal.unwrap_or_default())),
    }
}
