//! `deputy`: stands in a moved process's place on its home node, inside the same task.
//!
//! migrationd has made the process execute this program, with every signal blocked. So the shell still has the same
//! child: same process id, parent, group, session, terminal and owner. The deputy hands signals and what is typed to
//! the process where it runs, carries its pipes and its terminal, and ends as it ends.
//!
//! ```text
//! Standing ──Ended──▶ Ending ──all is written──▶ (exit, in the same way)
//!     └──LeaderEnded──▶ Leaving ──all is written──▶ (exit), and a child goes on Standing for the rest
//! ```

mod last_words;
mod terminal;
mod witness;

use brant_migration::protocol::{End, FromDeputy, ToDeputy};
use brant_migration::stream::{Direction, Home, Stream, TERMINAL};
use brant_migrationd::outbox::Outbox;
use brant_migrationd::streams::{Access, Streams};
use brant_migrationd::{descriptors, wire};
use brant_sys::process::{self, Forked};
use brant_sys::signal::{self, Received, SignalQueue};
use last_words::LastWords;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::SeekFrom;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use terminal::Terminal;
use witness::Witness;

/// How often it is looked whether the terminal has become ours to read.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
/// How long a deputy waits for what its process wrote to be taken, before it leaves that to a relay.
const LEAVING: Duration = Duration::from_secs(1);

fn main() {
    process::stop_timers();
    process::forget_children();
    let Ok(last_words) = LastWords::keep() else { process::end_by_signal(signal::SIGKILL) };
    match Deputy::begin() {
        Ok(mut deputy) => {
            let why =
                deputy.run().map_or_else(|error| error.to_string(), |()| "migrationd is gone".to_owned());
            last_words.say(&why, Some((&mut deputy.streams, &deputy.pipes)));
        }
        Err(error) => last_words.say(&error.to_string(), None),
    }
    // As if killed, for that is what happened to the process.
    process::end_by_signal(signal::SIGKILL)
}

/// How the deputy is to end, once everything is written.
enum Leaving {
    /// With all that its process was.
    Ending(End),
    /// Others of the tree go on; a relay stays for them.
    Leaving(End, Instant),
}

struct Deputy {
    daemon: UnixStream,
    outbox: Outbox,
    signals: SignalQueue,
    streams: Streams,
    pipes: Vec<Stream>,
    /// Open files whose offset others here go on from.
    files: Vec<OwnedFd>,
    terminal: Option<Terminal>,
    wants_input: bool,
    witness: Option<Witness>,
    leaving: Option<Leaving>,
}

impl Deputy {
    fn begin() -> io::Result<Self> {
        let signals = process::queue_all_signals()?;
        let mut daemon = UnixStream::connect(format!("/run/brant/deputies/{}", std::process::id()))?;
        let Some(ToDeputy::Hello { comm, pending, streams, shared_files }) = wire::receive(&mut daemon)?
        else {
            return Err(io::Error::other("migrationd did not greet"));
        };
        process::set_name(&comm);
        let terminal = Terminal::open();
        let mut deputy = Self {
            streams: take_streams(&daemon, &streams, terminal.as_ref())?,
            files: (0..shared_files).map(|_| descriptors::receive(&daemon)).collect::<io::Result<_>>()?,
            pipes: streams,
            daemon,
            outbox: Outbox::default(),
            signals,
            terminal,
            wants_input: false,
            witness: None,
            leaving: None,
        };
        deputy.drop_once(pending)?;
        deputy.tell_size()?;
        Ok(deputy)
    }

    /// Drops, once each, the signals that went along inside the process's image, and hands on the others.
    fn drop_once(&mut self, mut pending: u64) -> io::Result<()> {
        while let Some(received) = self.signals.take_with_sender()? {
            let bit = 1_u64 << (received.signal - 1);
            if pending & bit == 0 {
                self.hand_on(received)?;
            }
            pending &= !bit;
        }
        Ok(())
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            let [spoken_to, signalled, typed] = self.wait()?;
            if signalled {
                while let Some(received) = self.signals.take_with_sender()? {
                    self.hand_on(received)?;
                }
            }
            if typed {
                self.read_terminal()?;
            }
            if spoken_to {
                match wire::receive(&mut self.daemon)? {
                    Some(word) => self.obey(word)?,
                    None => return Ok(()),
                }
            }
            for word in self.streams.serve() {
                self.outbox.say(&FromDeputy::Stream(word))?;
            }
            self.leave_if_done()?;
            self.outbox.flush(&self.daemon)?;
        }
    }

    /// Waits for something to do: whether migrationd speaks, a signal has come, something was typed.
    fn wait(&self) -> io::Result<[bool; 3]> {
        let outgoing = if self.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let mut fds = vec![
            PollFd::new(&self.daemon, PollFlags::IN | outgoing),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        let readable = self.terminal.as_ref().filter(|terminal| self.wants_input && terminal.is_ours());
        fds.extend(readable.map(|terminal| PollFd::new(&terminal.input, PollFlags::IN)));
        let before_streams = fds.len();
        fds.extend(self.streams.poll_fds());
        let look = self.wants_input || self.leaving.is_some();
        match poll(&mut fds, look.then_some(&LOOK)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = |n: usize, wanted: PollFlags| fds[n].revents().intersects(wanted);
        let in_or_gone = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        Ok([ready(0, in_or_gone), ready(1, PollFlags::IN), before_streams == 3 && ready(2, in_or_gone)])
    }

    fn read_terminal(&mut self) -> io::Result<()> {
        match self.terminal.as_mut().map(Terminal::read) {
            Some(Ok(typed)) => self.outbox.say(&FromDeputy::Input(typed)),
            // The terminal has gone, or is no longer ours to read; the signals say the rest.
            _ => {
                self.wants_input = false;
                Ok(())
            }
        }
    }

    fn obey(&mut self, word: ToDeputy) -> io::Result<()> {
        match word {
            ToDeputy::Hello { .. } => {}
            ToDeputy::Stream(word) => self.streams.take(word),
            ToDeputy::WantsInput(wants) => self.wants_input = wants,
            ToDeputy::Stopped(_) => process::stop_self(),
            ToDeputy::Family(has) => self.witness = if has { Some(Witness::start()?) } else { None },
            ToDeputy::Ended(end) => self.leaving = Some(Leaving::Ending(end)),
            ToDeputy::LeaderEnded(end) => self.leaving = Some(Leaving::Leaving(end, Instant::now())),
            ToDeputy::Offset(file, offset) => {
                if let Some(file) = self.files.get(usize::from(file)) {
                    rustix::fs::seek(file, SeekFrom::Start(offset))?;
                }
            }
            ToDeputy::Lost(why) => return Err(io::Error::other(why)),
        }
        Ok(())
    }

    /// Ends as the process did, once all that it wrote is written.
    fn leave_if_done(&mut self) -> io::Result<()> {
        match self.leaving {
            Some(Leaving::Ending(end)) if self.streams.is_written() => leave(end),
            Some(Leaving::Leaving(end, since)) if self.streams.is_written() || since.elapsed() > LEAVING => {
                self.leaving = None;
                self.witness = None;
                match process::fork()? {
                    Forked::Parent(_) => leave(end),
                    Forked::Child => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn hand_on(&mut self, received: Received) -> io::Result<()> {
        let Received { signal, by_kernel, sender } = received;
        let own = u32::try_from(sender).is_ok_and(|sender| sender == std::process::id());
        match signal {
            signal::SIGCHLD => Ok(()),
            signal::SIGWINCH => self.tell_size(),
            // Its own write into a broken pipe; the stream says so already.
            signal::SIGPIPE if own => Ok(()),
            process::SIGCONT => self.outbox.say(&FromDeputy::SignalGroup(signal)),
            _ if by_kernel => self.outbox.say(&FromDeputy::SignalGroup(signal)),
            _ => {
                let group = match &mut self.witness {
                    Some(witness) => witness.has_seen(signal)?,
                    None => false,
                };
                let word = if group { FromDeputy::SignalGroup(signal) } else { FromDeputy::Signal(signal) };
                self.outbox.say(&word)
            }
        }
    }

    fn tell_size(&mut self) -> io::Result<()> {
        match self.terminal.as_ref().and_then(Terminal::size) {
            Some(size) => self.outbox.say(&FromDeputy::Resize(size)),
            None => Ok(()),
        }
    }
}

/// Takes the process's pipes from migrationd; the terminal is a stream, too.
fn take_streams(daemon: &UnixStream, streams: &[Stream], terminal: Option<&Terminal>) -> io::Result<Streams> {
    let mut ends = Streams::default();
    if let Some(output) = terminal.and_then(|terminal| terminal.output.try_clone().ok()) {
        ends.add_sink(TERMINAL, output, Access::Own, true);
    }
    for (id, stream) in Stream::numbered(streams) {
        let descriptor = descriptors::receive(daemon)?;
        match stream.direction {
            Direction::In => ends.add_source(id, descriptor, Access::Shared, stream.first_room()),
            Direction::Out => {
                // Files take what they are given without waiting for anybody.
                let access = if matches!(stream.home, Home::Pipe(_)) { Access::Shared } else { Access::Own };
                ends.add_sink(id, descriptor, access, true);
            }
        }
    }
    Ok(ends)
}

fn leave(end: End) -> ! {
    match end {
        End::Exited(status) => std::process::exit(status),
        End::Killed(signal) => process::end_by_signal(signal),
    }
}
