//! `cluster exec`: a command in a node, with this program's streams and terminal as its own.

use crate::cluster::args::ExecArgs;
use crate::cluster::state::Clusters;
use crate::interrupt;
use anyhow::{Context, Result, anyhow};
use brant_qemu::exec::{Channel, ExecError};
use brant_sys::pty::{RawMode, is_terminal, window_size};
use brant_types::exec::{Start, TerminalSize, ToGuest, ToHost};
use rustix::io::{Errno, read};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

/// How long the exec service may take to answer; a node under load does so late.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes that may wait for the node before no more are read from here.
const WAITING: usize = 256 << 10;
/// How often the terminal's size is looked at, and Ctrl-C noticed.
const TICK: Duration = Duration::from_millis(200);
/// The size of a terminal whose size nobody knows.
const USUAL: TerminalSize = TerminalSize { rows: 24, columns: 80 };

/// Runs a command in a node; its exit status becomes this program's.
pub(crate) fn run(args: &ExecArgs) -> Result<ExitCode> {
    let folder = Clusters::find()?.cluster(&args.node.name).existing_node(args.node.node)?;
    let mut channel = match Channel::open(&folder, PATIENCE) {
        Err(ExecError::Off(_)) => return Err(anyhow!("{} is off", args.node.node)),
        channel => channel.with_context(|| format!("reaching {}", args.node.node))?,
    };
    channel.start(start(args)).with_context(|| format!("starting a command in {}", args.node.node))?;
    let stdin = io::stdin();
    let raw = (args.terminal && is_terminal(&stdin)).then(|| RawMode::enter(stdin.as_fd()));
    let _restored_at_the_end = raw.transpose().context("switching the terminal to raw mode")?;
    let relayed = Relay { channel, terminal: args.terminal, input_open: true, size: terminal_size() }.run();
    relayed.with_context(|| format!("running a command in {}", args.node.node))
}

fn start(args: &ExecArgs) -> Start {
    let mut environment: Vec<(OsString, OsString)> = Vec::new();
    if args.terminal
        && let Some(kind) = std::env::var_os("TERM").filter(|kind| !kind.is_empty())
    {
        environment.push(("TERM".into(), kind));
    }
    environment.extend(args.environment.iter().map(|(name, value)| (name.into(), value.into())));
    Start {
        arguments: args.command.clone(),
        environment,
        user: args.user.clone(),
        folder: args.folder.clone().unwrap_or_default(),
        terminal: args.terminal.then(terminal_size),
    }
}

fn terminal_size() -> TerminalSize {
    let size = window_size(io::stdin()).or_else(|| window_size(io::stdout()));
    size.map_or(USUAL, |size| TerminalSize { rows: size.rows, columns: size.columns })
}

struct Relay {
    channel: Channel,
    terminal: bool,
    input_open: bool,
    size: TerminalSize,
}

impl Relay {
    fn run(mut self) -> Result<ExitCode> {
        let stdin = io::stdin();
        loop {
            // What is typed at a raw terminal is for the node, Ctrl-C too; `kill` is for this program.
            interrupt::check()?;
            self.follow_size();
            let wants_input = self.input_open && self.channel.queued() < WAITING;
            let turn = self.channel.turn(wants_input.then(|| stdin.as_fd()), Some(TICK))?;
            if turn.ready {
                self.read_input(stdin.as_fd())?;
            }
            for message in turn.messages {
                match message {
                    ToHost::Started(_) => {}
                    ToHost::Output(bytes) => show(io::stdout().lock(), &bytes)?,
                    ToHost::Error(bytes) => show(io::stderr().lock(), &bytes)?,
                    ToHost::Ended(ending) => return Ok(ExitCode::from(ending.status())),
                    ToHost::Refused { status, reason } => {
                        show(io::stderr().lock(), format!("brant-image: {reason}\n").as_bytes())?;
                        return Ok(ExitCode::from(status));
                    }
                }
            }
        }
    }

    fn follow_size(&mut self) {
        let size = terminal_size();
        if self.terminal && size != self.size {
            self.size = size;
            self.channel.queue(&ToGuest::Resize(size));
        }
    }

    fn read_input(&mut self, stdin: std::os::fd::BorrowedFd<'_>) -> Result<()> {
        let mut chunk = [0; 16 << 10];
        match read(stdin, &mut chunk) {
            // A terminal that was hung up says EIO.
            Ok(0) | Err(Errno::IO) => {
                self.input_open = false;
                self.channel.queue(&ToGuest::InputEnds);
            }
            Ok(length) => self.channel.queue(&ToGuest::Input(chunk[..length].to_vec())),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno).context("reading standard input"),
        }
        Ok(())
    }
}

fn show(mut to: impl Write, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes).and_then(|()| to.flush()).context("passing output on")
}
