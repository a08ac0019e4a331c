//! The workstation's end of the exec channel: commands in a running machine, without its network.

use brant_types::exec::{
    Ending, FrameError, HostDecoder, MAX_MESSAGE, Message, Start, ToGuest, ToHost, preamble,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, read, write};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many exec ports a machine has, and so how many commands can run at once.
pub const PORTS: usize = 8;
/// How often a service that does not answer is called again.
const CALL_AGAIN: Duration = Duration::from_secs(5);

/// Why a command could not be run in a machine, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The machine does not run; nothing was sent.
    #[error("machine `{}` does not run", .0.display())]
    Off(PathBuf),
    /// All its ports have a client; nothing was sent.
    #[error("all {PORTS} exec ports of the machine are in use")]
    Busy,
    /// Its exec service has not answered in time; nothing was started.
    #[error("the machine's exec service has not answered within {} s", .0.as_secs())]
    Silent(Duration),
    /// The command and its environment do not fit in a message; nothing was sent.
    #[error("the command with its arguments and environment has {0} bytes, and {MAX_MESSAGE} are allowed")]
    TooLong(usize),
    /// The command was refused; nothing ran.
    #[error("the machine refused: {reason}")]
    Refused {
        /// The exit status that a shell would show.
        status: u8,
        /// The machine's words.
        reason: String,
    },
    /// The command has not ended in time; the machine has been told to end it.
    #[error("the command has not ended within {} s, having said: {}", within.as_secs(), said.trim_end())]
    Late {
        /// How long it had.
        within: Duration,
        /// The end of what it has said until then.
        said: String,
    },
    /// The machine ended, or was cut off, while the command ran.
    #[error("the machine went away while the command ran")]
    Gone,
    /// The machine said what nobody understands; it has been told to end the command.
    #[error("understanding the machine's exec service")]
    Frame(#[source] FrameError),
    /// A system call on this side failed; the machine has been told to end the command.
    #[error("talking to the machine's exec service")]
    Talk(#[source] io::Error),
}

/// A connection to a machine's exec service, good for one command. Dropping it hangs the command up.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    decoder: HostDecoder,
    outgoing: VecDeque<u8>,
    _port: File,
}

impl Channel {
    /// Takes a free port of the machine with this folder, and waits for its service to answer.
    ///
    /// # Errors
    /// [`ExecError::Off`], [`ExecError::Busy`], [`ExecError::Silent`]: nothing was started.
    pub fn open(machine: &Path, patience: Duration) -> Result<Self, ExecError> {
        let (number, port) = take_port(machine, patience)?;
        let stream = connect(machine, number)?;
        stream.set_nonblocking(true).map_err(ExecError::Talk)?;
        Self::greet(stream, port, patience)
    }

    fn greet(stream: UnixStream, port: File, patience: Duration) -> Result<Self, ExecError> {
        let since = Instant::now();
        let (decoder, outgoing) = (HostDecoder::new([0; 8]), VecDeque::new());
        let mut channel = Self { stream, decoder, outgoing, _port: port };
        while since.elapsed() < patience {
            let nonce = random()?;
            channel.decoder = HostDecoder::new(nonce);
            channel.outgoing.extend(preamble(nonce));
            let called = Instant::now();
            while called.elapsed() < CALL_AGAIN && since.elapsed() < patience {
                channel.turn(None, Some(Duration::from_millis(200)))?;
                if channel.decoder.answered() {
                    return Ok(channel);
                }
            }
        }
        Err(ExecError::Silent(patience))
    }

    /// Queues the start of the channel's one command.
    ///
    /// # Errors
    /// [`ExecError::TooLong`].
    pub fn start(&mut self, start: Start) -> Result<(), ExecError> {
        let message = ToGuest::Start(start);
        let length = message.to_parts().1.len();
        if length > MAX_MESSAGE {
            return Err(ExecError::TooLong(length));
        }
        self.queue(&message);
        Ok(())
    }

    /// Queues a message for the command that was started; [`Channel::turn`] sends it.
    pub fn queue(&mut self, message: &ToGuest) {
        let mut frames = Vec::new();
        message.encode(&mut frames);
        self.outgoing.extend(frames);
    }

    /// Bytes queued that the machine has not taken yet.
    pub fn queued(&self) -> usize {
        self.outgoing.len()
    }

    /// Waits until something can be moved, or `also` can be read, or for `at_most`; moves it, and returns what the
    /// machine said.
    ///
    /// # Errors
    /// [`ExecError::Gone`], [`ExecError::Frame`], [`ExecError::Talk`].
    pub fn turn(
        &mut self,
        also: Option<BorrowedFd<'_>>,
        at_most: Option<Duration>,
    ) -> Result<Turn, ExecError> {
        let talk = |errno: Errno| ExecError::Talk(errno.into());
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, !self.outgoing.is_empty());
        let mut watched = vec![PollFd::new(&self.stream, flags)];
        watched.extend(also.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut watched, at_most.map(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(talk(errno)),
        }
        let ready = watched.get(1).is_some_and(|also| !also.revents().is_empty());
        self.send().map_err(talk)?;
        let mut messages = Vec::new();
        let mut chunk = [0; 16 << 10];
        match read(&self.stream, &mut chunk) {
            Ok(0) | Err(Errno::CONNRESET) => return Err(ExecError::Gone),
            Ok(length) => self.decoder.push(&chunk[..length], &mut messages).map_err(ExecError::Frame)?,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(talk(errno)),
        }
        Ok(Turn { messages, ready })
    }

    fn send(&mut self) -> Result<(), Errno> {
        while !self.outgoing.is_empty() {
            match write(&self.stream, self.outgoing.as_slices().0) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                // A broken pipe shows when reading, after what was said before it.
                Err(Errno::AGAIN | Errno::INTR | Errno::PIPE) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// What one [`Channel::turn`] brought.
#[derive(Debug)]
pub struct Turn {
    /// What the machine said.
    pub messages: Vec<ToHost>,
    /// Whether the other descriptor can be read.
    pub ready: bool,
}

/// What a command that has ended said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ending: Ending,
    /// Its standard output, or all that its terminal showed.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

/// Runs a command to its end, with these bytes as its standard input.
///
/// # Errors
/// [`ExecError`]; a command that was started has been hung up.
pub fn run(machine: &Path, start: Start, input: &[u8], deadline: Duration) -> Result<Output, ExecError> {
    let since = Instant::now();
    let mut channel = Channel::open(machine, deadline)?;
    channel.start(start)?;
    for piece in input.chunks(brant_types::exec::MAX_PIECE) {
        channel.queue(&ToGuest::Input(piece.to_vec()));
    }
    channel.queue(&ToGuest::InputEnds);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while since.elapsed() < deadline {
        for message in channel.turn(None, Some(deadline.saturating_sub(since.elapsed())))?.messages {
            match message {
                ToHost::Started(_) => {}
                ToHost::Output(bytes) => stdout.extend(bytes),
                ToHost::Error(bytes) => stderr.extend(bytes),
                ToHost::Ended(ending) => return Ok(Output { ending, stdout, stderr }),
                ToHost::Refused { status, reason } => return Err(ExecError::Refused { status, reason }),
            }
        }
    }
    let said = [end_of(&stdout), end_of(&stderr)].concat();
    let said = if said.is_empty() { "nothing".into() } else { String::from_utf8_lossy(&said) };
    Err(ExecError::Late { within: deadline, said: said.into_owned() })
}

/// As much of what a command has said as fits in an error.
fn end_of(said: &[u8]) -> &[u8] {
    const END: usize = 1000;
    &said[said.len().saturating_sub(END)..]
}

/// Finds a port that no other client has, and keeps others from it for as long as the file is open.
fn take_port(machine: &Path, patience: Duration) -> Result<(usize, File), ExecError> {
    let since = Instant::now();
    loop {
        for number in 0..PORTS {
            let lock = machine.join(format!("exec.{number}.lock"));
            let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock);
            let lock = lock.map_err(|_no_folder| ExecError::Off(machine.to_owned()))?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok((number, lock)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(errno) => return Err(ExecError::Talk(errno.into())),
            }
        }
        if since.elapsed() >= patience {
            return Err(ExecError::Busy);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn connect(machine: &Path, number: usize) -> Result<UnixStream, ExecError> {
    connect_in(machine, &format!("exec.{number}")).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ExecError::Off(machine.to_owned()),
        _ => ExecError::Talk(error),
    })
}

/// Connects to a socket in a folder, however long the folder's path: a socket's own path has 108 bytes at most.
pub(crate) fn connect_in(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

fn random() -> Result<[u8; 8], ExecError> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| ExecError::Talk(errno.into()))?;
    Ok(bytes)
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() }
}
