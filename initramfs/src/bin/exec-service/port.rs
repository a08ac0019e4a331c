//! One port: its bytes in and out, and the client behind it.

use crate::session::Session;
use crate::sessions::Sessions;
use brant_types::exec::{Arrival, GuestDecoder, Message, ToGuest, ToHost, preamble};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read, write};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes for the client that may wait here before no more are read from the session.
const OUTGOING: usize = 256 << 10;
/// How long a port may seem to be closed before its client counts as gone.
const GRACE: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// The kernel hands over at most a page at a time.
const CHUNK: usize = 4096;

/// Waits until the workstation has opened its end.
///
/// Reading does not wait for that, and polling says "hung up" at once; writing a byte does. The client throws it
/// away, as it does with everything before the preamble.
pub(crate) fn wait_for_host(port: &OwnedFd) -> io::Result<()> {
    set_nonblocking(port, false)?;
    rustix::io::retry_on_intr(|| write(port, &[0]))?;
    Ok(())
}

/// Serves clients until the workstation closes its end; then every session is hung up.
pub(crate) fn talk(port: &OwnedFd, sessions: &Sessions) -> io::Result<()> {
    set_nonblocking(port, true)?;
    let mut client =
        Client { sessions, decoder: GuestDecoder::default(), session: None, outgoing: VecDeque::new() };
    let ended = client.serve(port);
    client.hang_up();
    ended
}

struct Client<'service> {
    sessions: &'service Sessions,
    decoder: GuestDecoder,
    session: Option<Session>,
    outgoing: VecDeque<u8>,
}

impl Client<'_> {
    fn serve(&mut self, port: &OwnedFd) -> io::Result<()> {
        loop {
            self.wait(port)?;
            if self.wants_input() && !self.read(port)? && is_left(port)? {
                return Ok(());
            }
            self.advance();
            self.write(port)?;
        }
    }

    /// Sleeps until there may be something to do. All descriptors are non-blocking, so it need not know what.
    fn wait(&self, port: &OwnedFd) -> io::Result<()> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.wants_input());
        flags.set(PollFlags::OUT, !self.outgoing.is_empty());
        let mut watched = vec![PollFd::new(port, flags)];
        let mut at_most = None;
        if let Some(session) = &self.session {
            session.watch(self.outgoing.len() < OUTGOING, &mut watched);
            at_most = session.at_most();
        }
        let at_most = at_most.map(|time| Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() });
        match poll(&mut watched, at_most.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn wants_input(&self) -> bool {
        self.session.as_ref().is_none_or(Session::wants_input)
    }

    /// Returns false once the workstation has closed its end.
    fn read(&mut self, port: &OwnedFd) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        let length = match read(port, &mut chunk) {
            Ok(0) => return Ok(false),
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        let mut arrivals = Vec::new();
        let understood = self.decoder.push(&chunk[..length], &mut arrivals);
        for arrival in arrivals {
            match arrival {
                Arrival::Client(nonce) => self.greet(nonce),
                Arrival::Message(message) => self.obey(message),
            }
        }
        if let Err(error) = understood {
            eprintln!("exec-service: hanging up a client: {error}");
            self.hang_up();
            // So that a client of another version does not wait for ever.
            self.say(&ToHost::Refused { status: 126, reason: error.to_string() });
        }
        Ok(true)
    }

    fn greet(&mut self, nonce: [u8; 8]) {
        self.hang_up();
        self.outgoing.clear();
        self.outgoing.extend(preamble(nonce));
    }

    fn obey(&mut self, message: ToGuest) {
        match (message, &mut self.session) {
            (ToGuest::Start(start), None) => match self.sessions.start(&start) {
                Ok(session) => {
                    self.say(&ToHost::Started(session.id()));
                    self.session = Some(session);
                }
                Err(refusal) => self.say(&ToHost::Refused { status: refusal.status, reason: refusal.reason }),
            },
            (ToGuest::Input(bytes), Some(session)) => session.input(&bytes),
            (ToGuest::InputEnds, Some(session)) => session.input_ends(),
            (ToGuest::Resize(size), Some(session)) => session.resize(size),
            // Input for a session that has just ended, or a second start: too late, or too early.
            (_, _) => {}
        }
    }

    fn advance(&mut self) {
        let Some(session) = &mut self.session else { return };
        let (said, ending) = session.advance(OUTGOING.saturating_sub(self.outgoing.len()));
        for message in said {
            self.say(&message);
        }
        if let Some(ending) = ending {
            self.say(&ToHost::Ended(ending));
            if let Some(session) = self.session.take() {
                session.close();
            }
        }
    }

    fn say(&mut self, message: &ToHost) {
        let mut frames = Vec::new();
        message.encode(&mut frames);
        self.outgoing.extend(frames);
    }

    fn write(&mut self, port: &OwnedFd) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match write(port, self.outgoing.as_slices().0) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                // A socket whose other end is gone; reading will say so.
                Err(Errno::PIPE) => self.outgoing.clear(),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn hang_up(&mut self) {
        if let Some(session) = self.session.take() {
            session.hang_up();
        }
    }
}

/// Whether the workstation has closed its end for good.
///
/// That it was closed, and opened by the next client, comes by another queue than what that client says, and later on a
/// machine with several processors: its first words are here already when the port seems to be closed for a moment.
/// Who takes that for an end throws them away. A client that is new begins with a preamble, whatever was before.
fn is_left(port: &OwnedFd) -> io::Result<bool> {
    let since = Instant::now();
    while since.elapsed() < GRACE {
        let mut watched = [PollFd::new(port, PollFlags::empty())];
        rustix::io::retry_on_intr(|| poll(&mut watched, Some(&Timespec::default())))?;
        if !watched[0].revents().contains(PollFlags::HUP) {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
    Ok(true)
}

/// Makes reads and writes through this descriptor return at once, or wait.
pub(crate) fn set_nonblocking(fd: impl AsFd, nonblocking: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(&fd)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    fcntl_setfl(&fd, flags)?;
    Ok(())
}
