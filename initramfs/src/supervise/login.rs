//! Logins: on each console a shell of the ordinary user, on a pseudo-terminal of its own.
//!
//! The console itself is raw and only relayed. So the terminal of every session is a pseudo-terminal, which can be
//! taken to another node with the processes on it; a console cannot. Bytes are never dropped: a side that is slow
//! stops the other side's reading, and what a shell has written last is taken before its terminal is closed.

use super::backoff::Backoff;
use super::{Interest, tolerate};
use crate::{consoles, report};
use anyhow::{Context, Result};
use brant_sys::cgroup::Cgroup;
use brant_sys::child::{Identity, Tool};
use brant_sys::pty::{self, Pty, WindowSize};
use brant_types::account::Account;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// The size of a terminal that does not tell its own, as serial lines do not.
const USUAL_SIZE: WindowSize = WindowSize { rows: 24, columns: 80 };
/// How much may wait for a slow side before the other side is no longer read.
const ENOUGH: usize = 16 * 1024;
/// The group `tty` of Debian, which may write to terminals.
const TERMINAL_GROUP: u32 = 5;
/// Where Debian keeps the language.
const LOCALE: &str = "/etc/default/locale";
/// How long after a console could not be opened it is tried again.
const REOPEN: Duration = Duration::from_secs(30);

/// The login of one console.
#[derive(Debug)]
pub(super) struct Login {
    name: String,
    door: Door,
    greeting: fn() -> String,
    backoff: Backoff,
    console: Option<File>,
    /// Bytes on their way to the console.
    out: Vec<u8>,
    state: State,
    /// The node ends: no shell is started any more.
    retired: bool,
}

/// How a person gets in.
#[derive(Debug, Clone)]
pub(super) enum Door {
    /// A shell of this user, in a control group of its own below this one.
    Shell {
        /// Who is logged in.
        account: Account,
        /// Where sessions are.
        sessions: Cgroup,
    },
    /// The program `login`, which makes a session of the system's kind (PAM, logind).
    Program {
        /// Who is logged in.
        user: String,
    },
}

#[derive(Debug)]
enum State {
    /// Nobody has pressed a key yet.
    Asleep,
    Waiting {
        until: Instant,
    },
    Running(Shell),
    /// The node ends.
    Over,
}

#[derive(Debug)]
struct Shell {
    id: i32,
    since: Instant,
    /// Its terminal; closed when nobody holds the other side any more.
    master: Option<OwnedFd>,
    size: WindowSize,
    /// Bytes on their way to the shell.
    typed: Vec<u8>,
}

impl Login {
    /// A login that starts now.
    pub(super) fn at_once(name: &str, door: &Door, greeting: fn() -> String) -> Result<Self> {
        Self::new(name, door, greeting, State::Waiting { until: Instant::now() })
    }

    /// A login that costs nothing until somebody uses its console.
    pub(super) fn when_a_key_is_pressed(name: &str, door: &Door, greeting: fn() -> String) -> Result<Self> {
        let mut login = Self::new(name, door, greeting, State::Asleep)?;
        login.console = open(name).ok();
        login.out.extend_from_slice(b"\r\nPress Enter to log in.\r\n");
        Ok(login)
    }

    fn new(name: &str, door: &Door, greeting: fn() -> String, state: State) -> Result<Self> {
        if let Door::Shell { sessions, .. } = door {
            Cgroup::create(sessions.child(name).path())?;
        }
        Ok(Self {
            name: name.to_owned(),
            door: door.clone(),
            greeting,
            backoff: Backoff::for_logins(),
            console: None,
            out: Vec::new(),
            state,
            retired: false,
        })
    }

    /// When it wants to be started.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Asleep | State::Running(_) | State::Over => None,
        }
    }

    /// Starts the shell when its time has come.
    pub(super) fn start_if_due(&mut self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        if self.console.is_none() {
            self.console = open(&self.name).ok();
        }
        if self.console.is_none() {
            self.state = State::Waiting { until: now + REOPEN };
            return;
        }
        self.out.extend_from_slice((self.greeting)().replace('\n', "\r\n").as_bytes());
        self.state = match self.start(now) {
            Ok(shell) => State::Running(shell),
            Err(error) => {
                report::complain(&format!("starting the login on {}: {error:#}", self.name));
                State::Waiting { until: now + self.backoff.after(Duration::ZERO) }
            }
        };
        self.write_out();
    }

    fn start(&self, now: Instant) -> Result<Shell> {
        let pty = Pty::open().context("opening a pseudo-terminal")?;
        let size = self.console.as_ref().and_then(pty::window_size).unwrap_or(USUAL_SIZE);
        pty::set_window_size(&pty.master, size).context("setting the terminal's size")?;
        rustix::io::ioctl_fionbio(&pty.master, true).context("preparing the terminal")?;
        let shell = match &self.door {
            Door::Shell { account, sessions } => {
                pty.give_to(account.uid, TERMINAL_GROUP).context("giving the terminal to the user")?;
                own_shell(account, &sessions.child(&self.name))?
            }
            Door::Program { user } => Tool::new("/bin/login").args(["-f", user]).env_clear().cwd("/"),
        };
        let shell = shell.env("LANG", locale()).env("TERM", consoles::terminal_type(&self.name));
        let running = pty.attach(shell).context("attaching the terminal")?.spawn()?;
        let id = running.id().cast_signed();
        Ok(Shell { id, since: now, master: Some(pty.master), size, typed: Vec::new() })
    }

    /// Whether this process is the login shell.
    pub(super) fn runs_as(&self, process: i32) -> bool {
        matches!(&self.state, State::Running(shell) if shell.id == process)
    }

    /// The shell has ended: its last words are taken, and a new one starts soon.
    pub(super) fn ended(&mut self, now: Instant) {
        if let State::Running(shell) = &mut self.state {
            shell.read_into(&mut self.out, usize::MAX);
            let lived = now.saturating_duration_since(shell.since);
            self.state = match self.retired {
                true => State::Over,
                false => State::Waiting { until: now + self.backoff.after(lived) },
            };
        }
        self.write_out();
    }

    /// From now on no shell is started any more; a shell that runs is still relayed until it ends.
    pub(super) fn retire(&mut self, last_words: &str) {
        self.retired = true;
        self.out.extend_from_slice(last_words.as_bytes());
        if !matches!(self.state, State::Running(_)) {
            self.state = State::Over;
        }
        self.write_out();
    }

    /// What to wait for.
    pub(super) fn interests(&self) -> Vec<Interest<'_>> {
        let mut interests = Vec::new();
        let Some(console) = &self.console else { return interests };
        let mut at_console = PollFlags::empty();
        if !self.out.is_empty() {
            at_console |= PollFlags::OUT;
        }
        match &self.state {
            State::Asleep => at_console |= PollFlags::IN,
            State::Waiting { .. } | State::Over => {}
            State::Running(shell) => {
                if shell.typed.len() < ENOUGH {
                    at_console |= PollFlags::IN;
                }
                let mut at_shell = PollFlags::empty();
                if self.out.len() < ENOUGH {
                    at_shell |= PollFlags::IN;
                }
                if !shell.typed.is_empty() {
                    at_shell |= PollFlags::OUT;
                }
                // With nothing asked for, poll would still report a hang-up, again and again.
                interests.extend(
                    shell.master.as_ref().filter(|_| !at_shell.is_empty()).map(|fd| (fd.as_fd(), at_shell)),
                );
            }
        }
        if !at_console.is_empty() {
            interests.push((console.as_fd(), at_console));
        }
        interests
    }

    /// Moves what has come from each side to the other.
    pub(super) fn pump(&mut self) {
        self.read_console();
        if let State::Running(shell) = &mut self.state {
            shell.write_typed();
            shell.read_into(&mut self.out, ENOUGH);
        }
        self.write_out();
    }

    fn read_console(&mut self) {
        let Some(console) = &self.console else { return };
        let room = match &self.state {
            State::Asleep => ENOUGH,
            State::Running(shell) => ENOUGH.saturating_sub(shell.typed.len()),
            State::Waiting { .. } | State::Over => 0,
        };
        let mut chunk = [0_u8; 4096];
        let room = room.min(chunk.len());
        if room == 0 {
            return;
        }
        match rustix::io::read(console, &mut chunk[..room]) {
            Ok(got @ 1..) => match &mut self.state {
                // The key that wakes is not meant for the shell.
                State::Asleep => self.state = State::Waiting { until: Instant::now() },
                State::Running(shell) => {
                    shell.follow_size(console);
                    shell.typed.extend_from_slice(&chunk[..got]);
                }
                State::Waiting { .. } | State::Over => {}
            },
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => self.console_lost(),
        }
    }

    fn write_out(&mut self) {
        let Some(console) = &self.console else { return };
        while !self.out.is_empty() {
            match rustix::io::write(console, &self.out) {
                Ok(wrote) => drop(self.out.drain(..wrote)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => return self.console_lost(),
            }
        }
    }

    /// The console has hung up: so does the terminal of its shell, and the login starts anew later.
    fn console_lost(&mut self) {
        self.console = None;
        self.out.clear();
        match &mut self.state {
            State::Running(shell) => shell.master = None,
            State::Asleep => self.state = State::Waiting { until: Instant::now() + REOPEN },
            State::Waiting { .. } | State::Over => {}
        }
    }
}

impl Shell {
    fn read_into(&mut self, out: &mut Vec<u8>, enough: usize) {
        let mut chunk = [0_u8; 4096];
        while let Some(master) = self.master.as_ref().filter(|_| out.len() < enough) {
            match rustix::io::read(master, &mut chunk) {
                Ok(got @ 1..) => out.extend_from_slice(&chunk[..got]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // EIO: nobody holds the other side any more.
                Ok(_) | Err(_) => self.master = None,
            }
        }
    }

    fn write_typed(&mut self) {
        let Some(master) = &self.master else { return self.typed.clear() };
        while !self.typed.is_empty() {
            match rustix::io::write(master, &self.typed) {
                Ok(wrote) => drop(self.typed.drain(..wrote)),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// A screen may have changed its size; nobody tells us, so we look when somebody types.
    fn follow_size(&mut self, console: &File) {
        let Some(size) = pty::window_size(console).filter(|size| *size != self.size) else { return };
        if let Some(master) = &self.master {
            tolerate("setting the terminal's size", pty::set_window_size(master, size));
        }
        self.size = size;
    }
}

/// A login shell in this control group.
fn own_shell(account: &Account, group: &Cgroup) -> Result<Tool> {
    let processes = group.path().join("cgroup.procs");
    let processes = File::options().write(true).open(processes).context("opening its control group")?;
    let home = if account.home.is_dir() { account.home.as_path() } else { Path::new("/") };
    Ok(Tool::new(&account.shell)
        .arg("-l")
        .env_clear()
        .env("HOME", &account.home)
        .env("LOGNAME", &account.name)
        .env("PATH", crate::power::SEARCH_PATH)
        .env("SHELL", &account.shell)
        .env("USER", &account.name)
        .cwd(home)
        .identity(Identity { uid: account.uid, gid: account.gid, groups: account.groups.clone() })
        .in_cgroup(processes))
}

/// The language of this image.
fn locale() -> String {
    let text = std::fs::read_to_string(LOCALE).unwrap_or_default();
    let set = text.lines().find_map(|line| line.strip_prefix("LANG=")).unwrap_or("C.UTF-8");
    set.trim_matches('"').to_owned()
}

/// Opens a console and makes it raw: the shell's own terminal does the editing and the echo.
fn open(name: &str) -> Result<File> {
    let console = consoles::open(name)?;
    let mut mode = tcgetattr(&console)?;
    mode.make_raw();
    tcsetattr(&console, OptionalActions::Now, &mode)?;
    Ok(console)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn login_on(console: OwnedFd) -> Login {
        rustix::io::ioctl_fionbio(&console, true).unwrap();
        Login {
            name: "test".to_owned(),
            door: Door::Program { user: "me".to_owned() },
            greeting: String::new,
            backoff: Backoff::for_logins(),
            console: Some(File::from(console)),
            out: Vec::new(),
            state: State::Asleep,
            retired: false,
        }
    }

    fn shell_on(master: OwnedFd) -> Shell {
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        Shell { id: 77, since: Instant::now(), master: Some(master), size: USUAL_SIZE, typed: Vec::new() }
    }

    fn raw(pty: &Pty) {
        let mut mode = tcgetattr(&pty.slave).unwrap();
        mode.make_raw();
        tcsetattr(&pty.slave, OptionalActions::Now, &mode).unwrap();
    }

    #[test]
    fn a_slow_console_loses_nothing_and_stops_the_shell() {
        let (console, inner) = (Pty::open().unwrap(), Pty::open().unwrap());
        raw(&console);
        raw(&inner);
        let mut login = login_on(console.slave);
        login.state = State::Running(shell_on(inner.master));
        rustix::io::ioctl_fionbio(&inner.slave, true).unwrap();
        rustix::io::ioctl_fionbio(&console.master, true).unwrap();
        let text: Vec<u8> = (0..300_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
        let (mut sent, mut seen) = (0, Vec::new());
        let mut chunk = [0_u8; 1000];
        let mut most = 0;
        while seen.len() < text.len() {
            if sent < text.len() {
                sent += rustix::io::write(&inner.slave, &text[sent..]).unwrap_or(0);
            }
            login.pump();
            most = most.max(login.out.len());
            // A reader slower than the writer.
            let got = rustix::io::read(&console.master, &mut chunk).unwrap_or(0);
            seen.extend_from_slice(&chunk[..got]);
        }
        assert!(seen == text);
        assert!(most < ENOUGH + 4096, "{most}");
    }

    #[test]
    fn the_last_words_of_a_shell_come_before_the_next_shell() {
        let (console, inner) = (Pty::open().unwrap(), Pty::open().unwrap());
        raw(&console);
        raw(&inner);
        let mut login = login_on(console.slave);
        login.state = State::Running(shell_on(inner.master));
        rustix::io::write(&inner.slave, b"bye").unwrap();
        drop(inner.slave);
        assert!(login.runs_as(77));
        login.ended(Instant::now());
        assert!(login.due().is_some());
        let mut chunk = [0_u8; 10];
        let got = rustix::io::read(&console.master, &mut chunk).unwrap();
        assert_eq!(&chunk[..got], b"bye");
    }

    #[test]
    fn when_the_node_ends_a_shell_is_relayed_to_its_end_and_no_other_begins() {
        let (console, inner) = (Pty::open().unwrap(), Pty::open().unwrap());
        raw(&console);
        raw(&inner);
        let mut login = login_on(console.slave);
        login.state = State::Running(shell_on(inner.master));
        login.retire("ending ");
        assert!(login.runs_as(77));
        rustix::io::write(&inner.slave, b"bye").unwrap();
        login.ended(Instant::now());
        assert_eq!(login.due(), None);
        let mut seen = Vec::new();
        while seen.len() < 10 {
            let mut chunk = [0_u8; 20];
            let got = rustix::io::read(&console.master, &mut chunk).unwrap();
            seen.extend_from_slice(&chunk[..got]);
        }
        assert_eq!(seen, b"ending bye");
    }

    #[test]
    fn a_key_wakes_a_sleeping_console_and_is_not_passed_on() {
        let console = Pty::open().unwrap();
        raw(&console);
        let mut login = login_on(console.slave);
        assert_eq!(login.due(), None);
        rustix::io::write(&console.master, b"\r").unwrap();
        login.pump();
        assert!(login.due().is_some());
        assert!(login.out.is_empty());
    }

    #[test]
    fn a_terminal_that_nobody_holds_is_not_waited_for() {
        let (console, inner) = (Pty::open().unwrap(), Pty::open().unwrap());
        raw(&console);
        let mut login = login_on(console.slave);
        let master = inner.master.as_raw_fd();
        login.state = State::Running(shell_on(inner.master));
        assert!(login.interests().iter().any(|(fd, _)| fd.as_raw_fd() == master));
        drop(inner.slave);
        login.pump();
        assert!(login.interests().iter().all(|(fd, _)| fd.as_raw_fd() != master));
    }

    #[test]
    fn a_console_that_hangs_up_is_opened_again_later() {
        let console = Pty::open().unwrap();
        raw(&console);
        let mut login = login_on(console.slave);
        drop(console.master);
        login.pump();
        assert!(login.console.is_none());
        assert!(login.due().is_some_and(|due| due > Instant::now() + REOPEN / 2));
    }
}
