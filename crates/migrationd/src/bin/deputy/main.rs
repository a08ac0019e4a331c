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
//!
//! It outlives migrationd, and goes to the next one. When none comes for longer than any lease can last, its process
//! has ended wherever it was, and it ends as well.

mod door;
mod ends;
mod last_words;
mod terminal;
mod witness;

use brant_migration::protocol::{End as Ending, FromDeputy, FromProcess, Hello, ToDeputy, ToProcess};
use brant_migration::session::relay;
use brant_migration::stream::Stream;
use brant_migrationd::clock::{self, PATIENCE};
use brant_migrationd::streams::Streams;
use brant_sys::process::{self, Forked};
use brant_sys::signal::{self, Received, SignalQueue};
use door::Door;
use ends::Ends;
use last_words::LastWords;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::SeekFrom;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use terminal::Terminal;
use witness::Witness;

/// How often it is looked whether the terminal has become ours to read, and whether a word has to be said again.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
/// The same, where nothing is under way.
const LOOK_SELDOM: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
/// How long a deputy waits for what its process wrote to be taken, before it leaves that to a relay.
const LEAVING: Duration = Duration::from_secs(1);

fn main() {
    process::stop_timers();
    process::forget_children();
    let Ok(inherited) = process::inherit_descriptors() else { process::end_by_signal(signal::SIGKILL) };
    let last_words = LastWords::keep(&inherited);
    match Deputy::begin(inherited) {
        Ok(mut deputy) => {
            let why = deputy.run();
            last_words.say(&why.to_string(), Some((&mut deputy.streams, &deputy.pipes)));
        }
        Err(error) => last_words.say(&error.to_string(), None),
    }
    // As if killed, for that is what happened to the process.
    process::end_by_signal(signal::SIGKILL)
}

/// How the deputy is to end, once everything is written.
enum Leaving {
    /// With all that its process was.
    Ending(Ending),
    /// Others of the tree go on; a relay stays for them.
    Leaving(Ending, Instant),
}

struct Deputy {
    door: Door,
    words: relay::End<ToProcess>,
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
    fn begin(inherited: Vec<(i32, OwnedFd)>) -> io::Result<Self> {
        let signals = process::queue_all_signals()?;
        let mut door = Door::of(std::process::id().cast_signed());
        let terminal = Terminal::open();
        let (hello, Ends { streams, files }) = door.be_greeted(&inherited, terminal.as_ref())?;
        // Its own ends are closed now: held open, they would keep others from seeing that nobody writes any more.
        drop(inherited);
        let Hello { comm, pending, streams: pipes, stopped, .. } = hello;
        process::set_name(&comm);
        let mut deputy = Self {
            door,
            words: relay::End::default(),
            signals,
            streams,
            pipes,
            files,
            terminal,
            wants_input: false,
            witness: None,
            leaving: None,
        };
        if stopped {
            // It became what it is when somebody continued it.
            deputy.say(ToProcess::SignalGroup(process::SIGCONT));
        }
        deputy.drop_once(pending)?;
        deputy.tell_size();
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

    /// Stands until the process is lost; says why.
    fn run(&mut self) -> io::Error {
        loop {
            if let Err(error) = self.step() {
                return error;
            }
        }
    }

    fn step(&mut self) -> io::Result<()> {
        let [spoken_to, signalled, typed] = self.wait()?;
        if signalled {
            while let Some(received) = self.signals.take_with_sender()? {
                self.hand_on(received)?;
            }
        }
        if typed {
            self.read_terminal();
        }
        if spoken_to {
            match self.door.hear()? {
                Some(word) => self.obey(word)?,
                None => self.words.reattached(),
            }
        }
        if self.may_serve() {
            for word in self.streams.serve() {
                self.say(ToProcess::Stream(word));
            }
        }
        self.words.tick(clock::now(), PATIENCE);
        if self.door.is_open_to_somebody() {
            while let Some(packet) = self.words.packet(clock::now()) {
                self.door.say(&FromDeputy::Packet(packet))?;
            }
        }
        self.leave_if_done()?;
        self.door.flush();
        if self.door.knock_again()? {
            self.words.reattached();
        }
        Ok(())
    }

    /// Waits for something to do: whether migrationd speaks, a signal has come, something was typed.
    fn wait(&self) -> io::Result<[bool; 3]> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        fds.extend(self.door.poll_fd());
        let typed_at = fds.len();
        let readable = self
            .terminal
            .as_ref()
            .filter(|terminal| self.wants_input && self.words.has_room() && terminal.is_ours());
        fds.extend(readable.map(|terminal| PollFd::new(&terminal.input, PollFlags::IN)));
        let streams_at = fds.len();
        if self.may_serve() {
            fds.extend(self.streams.poll_fds());
        }
        let soon = self.wants_input
            || self.leaving.is_some()
            || !self.words.all_taken()
            || !self.door.is_open_to_somebody();
        match poll(&mut fds, Some(if soon { &LOOK } else { &LOOK_SELDOM })) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = |n: usize, wanted: PollFlags| fds[n].revents().intersects(wanted);
        let in_or_gone = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let spoken_to = typed_at == 2 && ready(1, in_or_gone);
        Ok([spoken_to, ready(0, PollFlags::IN), streams_at > typed_at && ready(typed_at, in_or_gone)])
    }

    /// Whether the streams may be served: while there is room for what comes of it, and when nobody hears it any more.
    fn may_serve(&self) -> bool {
        self.words.has_room() || matches!(self.leaving, Some(Leaving::Ending(_)))
    }

    /// Says something to the process, unless that has ended.
    fn say(&mut self, word: ToProcess) {
        if !matches!(self.leaving, Some(Leaving::Ending(_))) {
            self.words.say(word);
        }
    }

    fn read_terminal(&mut self) {
        match self.terminal.as_mut().map(Terminal::read) {
            Some(Ok(typed)) => self.say(ToProcess::Input(typed)),
            // The terminal has gone, or is no longer ours to read; the signals say the rest.
            _ => self.wants_input = false,
        }
    }

    fn obey(&mut self, word: ToDeputy) -> io::Result<()> {
        match word {
            ToDeputy::Hello(_) => {}
            ToDeputy::Packet(packet) => {
                let mut words = Vec::new();
                self.words.take(clock::now(), packet, &mut words);
                words.into_iter().try_for_each(|word| self.take(word))?;
            }
            ToDeputy::Reattached => self.words.reattached(),
            // Who ends has heard how, and needs nobody any more.
            ToDeputy::Lost(_) if self.leaving.is_some() => {}
            ToDeputy::Lost(why) => return Err(io::Error::other(why)),
        }
        Ok(())
    }

    fn take(&mut self, word: FromProcess) -> io::Result<()> {
        match word {
            FromProcess::Stream(word) => self.streams.take(word),
            FromProcess::WantsInput(wants) => self.wants_input = wants,
            FromProcess::Stopped(_) => process::stop_self(),
            FromProcess::Family(has) => self.witness = if has { Some(Witness::start()?) } else { None },
            FromProcess::Ended(end) => self.leaving = Some(Leaving::Ending(end)),
            FromProcess::LeaderEnded(end) => self.leaving = Some(Leaving::Leaving(end, Instant::now())),
            FromProcess::Offset(file, offset) => {
                if let Some(file) = self.files.get(usize::from(file)) {
                    rustix::fs::seek(file, SeekFrom::Start(offset))?;
                }
            }
        }
        Ok(())
    }

    /// Ends as the process did, once all that it wrote is written.
    fn leave_if_done(&mut self) -> io::Result<()> {
        match self.leaving {
            Some(Leaving::Ending(end)) if self.streams.is_written() => {
                self.door.flush();
                leave(end)
            }
            Some(Leaving::Leaving(end, since)) if self.streams.is_written() || since.elapsed() > LEAVING => {
                self.leaving = None;
                self.witness = None;
                self.leave_a_relay(end)
            }
            _ => Ok(()),
        }
    }

    /// The one who stands for the rest is at the door before this one ends: else nobody would be there for a moment.
    fn leave_a_relay(&mut self, end: Ending) -> io::Result<()> {
        let (ready, told) = std::io::pipe()?;
        match process::fork()? {
            Forked::Parent(_) => {
                drop(told);
                let _it_may_have_failed = io::Read::read(&mut &ready, &mut [0]);
                leave(end)
            }
            Forked::Child => {
                drop(ready);
                self.door.come_anew()?;
                self.words.reattached();
                io::Write::write_all(&mut &told, b".")
            }
        }
    }

    fn hand_on(&mut self, received: Received) -> io::Result<()> {
        let Received { signal, by_kernel, sender } = received;
        let own = u32::try_from(sender).is_ok_and(|sender| sender == std::process::id());
        match signal {
            signal::SIGCHLD => {}
            signal::SIGWINCH => self.tell_size(),
            // Its own write into a broken pipe; the stream says so already.
            signal::SIGPIPE if own => {}
            process::SIGCONT => self.say(ToProcess::SignalGroup(signal)),
            _ if by_kernel => self.say(ToProcess::SignalGroup(signal)),
            _ => {
                let group = match &mut self.witness {
                    Some(witness) => witness.has_seen(signal)?,
                    None => false,
                };
                let word = if group { ToProcess::SignalGroup(signal) } else { ToProcess::Signal(signal) };
                self.say(word);
            }
        }
        Ok(())
    }

    fn tell_size(&mut self) {
        if let Some(size) = self.terminal.as_ref().and_then(Terminal::size) {
            self.say(ToProcess::Resize(size));
        }
    }
}

fn leave(end: Ending) -> ! {
    match end {
        Ending::Exited(status) => std::process::exit(status),
        Ending::Killed(signal) => process::end_by_signal(signal),
    }
}
