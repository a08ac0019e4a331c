//! `cluster console`: a node's serial line on this terminal.

use crate::cluster::args::NodeArgs;
use crate::cluster::state::Clusters;
use crate::failure::{Advice, Kind};
use crate::interrupt;
use anyhow::{Context, Result, anyhow};
use brant_qemu::console::Console;
use brant_sys::pty::{RawMode, is_terminal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use std::io::{self, Write};
use std::os::fd::AsFd;

/// Ctrl-], as `telnet` and `virsh console` have it.
const LEAVE: u8 = 0x1d;
/// How much of what was said before is shown first.
const LINES_BEFORE: usize = 20;

/// Relays a node's serial line until the escape key or the machine's end.
pub(crate) fn run(args: &NodeArgs) -> Result<()> {
    let cluster = Clusters::find()?.cluster(&args.name);
    let folder = cluster.existing_node(args.node)?;
    let stdin = io::stdin();
    if !is_terminal(&stdin) {
        return Err(Advice::new(Kind::Input, "opening a console without a terminal")
            .hint("for commands from a script there is `brant-image cluster exec`")
            .error());
    }
    let console = Console::open(&folder).with_context(|| format!("opening the console of {}", args.node))?;
    let before = cluster.console_log(args.node).tail(LINES_BEFORE);
    eprintln!("{before}\n--- console of {}; Ctrl-] leaves it ---", args.node);
    let raw = RawMode::enter(stdin.as_fd()).context("switching the terminal to raw mode")?;
    let relayed = relay(&console);
    drop(raw);
    eprintln!("\n--- left the console of {} ---", args.node);
    relayed
}

fn relay(console: &Console) -> Result<()> {
    let stdin = io::stdin();
    let mut chunk = [0; 4096];
    loop {
        interrupt::check()?;
        let mut watched = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(console, PollFlags::IN)];
        match poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 200_000_000 })) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting for the console"),
        }
        let [typed, said] = watched.map(|polled| !polled.revents().is_empty());
        if said {
            match read(console, &mut chunk) {
                Ok(0) | Err(Errno::CONNRESET) => return Err(anyhow!("the machine has ended")),
                Ok(length) => {
                    let mut out = io::stdout().lock();
                    out.write_all(&chunk[..length])
                        .and_then(|()| out.flush())
                        .context("showing the console")?;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("reading the console"),
            }
        }
        if typed {
            let length = read(&stdin, &mut chunk).context("reading the keyboard")?;
            let keys = &chunk[..length];
            let leave = keys.iter().position(|key| *key == LEAVE);
            type_in(console, &keys[..leave.unwrap_or(length)])?;
            if leave.is_some() || length == 0 {
                return Ok(());
            }
        }
    }
}

fn type_in(console: &Console, mut keys: &[u8]) -> Result<()> {
    while !keys.is_empty() {
        let length = write(console, keys).context("typing at the console")?;
        keys = &keys[length..];
    }
    Ok(())
}
