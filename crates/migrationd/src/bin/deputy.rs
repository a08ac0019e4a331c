//! `deputy`: stands in a moved process's place on its home node, inside the same task.
//!
//! migrationd has made the process execute this program, with every signal blocked. So the shell still has the same
//! child: same process id, parent, group, session, terminal and owner. The deputy hands signals and what is typed to
//! the process where it runs, writes what it says to the terminal, and ends as it ends.

use brant_migration::protocol::{END_OF_FILE, End, FromDeputy, Size, ToDeputy};
use brant_migrationd::wire;
use brant_sys::process;
use brant_sys::pty::window_size;
use brant_sys::signal::{self, SignalQueue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// How often it is looked whether the terminal has become ours to read.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };

fn main() {
    process::stop_timers();
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").ok();
    let why = match Deputy::begin() {
        Ok(mut deputy) => deputy.run(&mut terminal).err(),
        Err(error) => Some(error),
    };
    let why = why.map_or_else(|| "migrationd is gone".to_owned(), |error| error.to_string());
    lose(&mut terminal, &why);
}

/// The process is lost: says so to its owner, and ends as if killed, for that is what happened.
fn lose(terminal: &mut Option<File>, why: &str) -> ! {
    if let Some(terminal) = terminal {
        let _nobody_reads = writeln!(terminal, "\nbrant: process {} is lost: {why}", std::process::id());
    }
    process::end_by_signal(signal::SIGKILL)
}

struct Deputy {
    daemon: UnixStream,
    signals: SignalQueue,
    wants_input: bool,
}

impl Deputy {
    fn begin() -> io::Result<Self> {
        let signals = process::queue_all_signals()?;
        let mut daemon = UnixStream::connect(format!("/run/brant/deputies/{}", std::process::id()))?;
        let mut deputy = match wire::receive(&mut daemon)? {
            Some(ToDeputy::Hello { comm, pending }) => {
                process::set_name(&comm);
                Self { daemon, signals, wants_input: false }.without(pending)?
            }
            _ => return Err(io::Error::other("migrationd did not greet")),
        };
        deputy.tell_size()?;
        Ok(deputy)
    }

    /// Drops, once each, the signals that went along inside the process's image, and hands on the others.
    fn without(mut self, mut pending: u64) -> io::Result<Self> {
        while let Some(signal) = self.signals.take()? {
            let bit = 1_u64 << (signal - 1);
            if pending & bit == 0 {
                self.hand_on(signal)?;
            }
            pending &= !bit;
        }
        Ok(self)
    }

    fn run(&mut self, terminal: &mut Option<File>) -> io::Result<()> {
        loop {
            let reads = self.wants_input && terminal.as_ref().is_some_and(process::in_foreground);
            let mut fds =
                vec![PollFd::new(&self.daemon, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            if let (true, Some(terminal)) = (reads, &terminal) {
                fds.push(PollFd::new(terminal, PollFlags::IN));
            }
            match poll(&mut fds, self.wants_input.then_some(&LOOK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready[1] {
                while let Some(signal) = self.signals.take()? {
                    self.hand_on(signal)?;
                }
            }
            if ready.get(2) == Some(&true) {
                self.read_terminal(terminal)?;
            }
            if ready[0] {
                match wire::receive(&mut self.daemon)? {
                    Some(word) => self.obey(word, terminal)?,
                    None => return Ok(()),
                }
            }
        }
    }

    fn read_terminal(&mut self, terminal: &mut Option<File>) -> io::Result<()> {
        let mut typed = [0; 4096];
        let Some(file) = terminal else { return Ok(()) };
        match file.read(&mut typed) {
            Ok(length) => {
                let mut typed = typed[..length].to_vec();
                // By lines, what does not end in a line feed was ended by Ctrl-D; nothing at all is end of file.
                if by_lines(file) && typed.last() != Some(&b'\n') {
                    typed.push(END_OF_FILE);
                }
                wire::send(&mut self.daemon, &FromDeputy::Input(typed))
            }
            // The terminal has gone, or is no longer ours to read; the signals say the rest.
            Err(_) => {
                self.wants_input = false;
                Ok(())
            }
        }
    }

    fn obey(&mut self, word: ToDeputy, terminal: &mut Option<File>) -> io::Result<()> {
        match word {
            ToDeputy::Hello { .. } => {}
            ToDeputy::Output(bytes) => {
                if let Some(terminal) = terminal {
                    // A terminal that has gone takes nothing any more; the process hears of it by SIGHUP.
                    let _gone = terminal.write_all(&bytes);
                }
            }
            ToDeputy::WantsInput(wants) => self.wants_input = wants,
            ToDeputy::Stopped(_) => process::stop_self(),
            ToDeputy::Ended(End::Exited(status)) => std::process::exit(status),
            ToDeputy::Ended(End::Killed(signal)) => process::end_by_signal(signal),
            ToDeputy::Lost(why) => lose(terminal, &why),
        }
        Ok(())
    }

    fn hand_on(&mut self, signal: i32) -> io::Result<()> {
        match signal {
            signal::SIGCHLD => Ok(()),
            signal::SIGWINCH => self.tell_size(),
            _ => wire::send(&mut self.daemon, &FromDeputy::Signal(signal)),
        }
    }

    fn tell_size(&mut self) -> io::Result<()> {
        let Ok(terminal) = File::open("/dev/tty") else { return Ok(()) };
        match window_size(&terminal) {
            Some(size) => wire::send(
                &mut self.daemon,
                &FromDeputy::Resize(Size { rows: size.rows, columns: size.columns }),
            ),
            None => Ok(()),
        }
    }
}

fn by_lines(terminal: &File) -> bool {
    use rustix::termios::{LocalModes, tcgetattr};
    tcgetattr(terminal).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ICANON))
}
