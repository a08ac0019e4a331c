//! An interactive shell on a terminal in a node, with somebody who types and one who writes down all that appears.

use crate::interrupt;
use anyhow::{Context, Result, anyhow, bail};
use brant_qemu::exec::{Channel, ExecError};
use brant_types::exec::{Ending, Start, TerminalSize, ToGuest, ToHost};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(50);
/// Wide, so that no command that is typed here wraps.
const SIZE: TerminalSize = TerminalSize { rows: 50, columns: 1000 };

/// A shell on a terminal. Dropped, it is hung up.
#[derive(Debug)]
pub(crate) struct Terminal {
    keys: Sender<ToGuest>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    text: Vec<u8>,
    over: Option<Result<Ending, String>>,
}

impl Terminal {
    /// Logs a user in and starts an interactive shell.
    pub(crate) fn open(machine: &Path, user: &str, shell: &[&str], patience: Duration) -> Result<Self> {
        let mut channel_to_node = Channel::open(machine, patience).context("opening a terminal")?;
        let started = channel_to_node.start(Start {
            arguments: shell.iter().map(Into::into).collect(),
            // A plain terminal, so that nothing but text is written down.
            environment: vec![("TERM".into(), "dumb".into())],
            user: user.to_owned(),
            terminal: Some(SIZE),
            ..Start::default()
        });
        started.context("starting a shell on a terminal")?;
        let (keys, typed) = channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let writes_down = Arc::clone(&seen);
        thread::spawn(move || {
            let over = relay(channel_to_node, &typed, &writes_down);
            lock(&writes_down).over = Some(over.map_err(|error| format!("{error:#}")));
        });
        Ok(Self { keys, seen })
    }

    /// Types a command and the return key, and returns where in the text its output will begin, or earlier.
    pub(crate) fn type_line(&self, line: &str) -> Result<usize> {
        self.type_keys(&format!("{line}\r"))
    }

    /// Types some keys, and returns where in the text what follows them will begin, or earlier.
    pub(crate) fn type_keys(&self, keys: &str) -> Result<usize> {
        let from = lock(&self.seen).text.len();
        self.keys.send(ToGuest::Input(keys.as_bytes().to_vec())).context("typing at the terminal")?;
        Ok(from)
    }

    /// Gives it another size, as when its window is drawn larger; returns the same as for keys.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> Result<usize> {
        let from = lock(&self.seen).text.len();
        let size = TerminalSize { rows, columns };
        self.keys.send(ToGuest::Resize(size)).context("resizing the terminal")?;
        Ok(from)
    }

    /// Waits until this text appears after that place, and returns all that came after that place.
    ///
    /// What is typed appears, too: a command that is to say `<done>` is typed as `echo "<""done>"`.
    pub(crate) fn wait_for(&self, text: &str, from: usize, within: Duration) -> Result<String> {
        let since = Instant::now();
        loop {
            interrupt::check()?;
            let after = self.text_from(from);
            if after.contains(text) {
                return Ok(after);
            }
            match &lock(&self.seen).over {
                Some(Ok(ending)) => {
                    bail!("waiting for `{text}` at the terminal: the shell ended with {ending:?}")
                }
                Some(Err(error)) => return Err(anyhow!("{error}").context("watching the terminal")),
                None => {}
            }
            if since.elapsed() > within {
                bail!(
                    "waiting for `{text}` at the terminal: it has not appeared within {} s",
                    within.as_secs()
                );
            }
            sleep(TICK);
        }
    }

    /// All that has appeared after this place.
    pub(crate) fn text_from(&self, from: usize) -> String {
        String::from_utf8_lossy(&lock(&self.seen).text[from..]).replace('\r', "")
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn relay(mut channel: Channel, typed: &Receiver<ToGuest>, seen: &Mutex<Seen>) -> Result<Ending, ExecError> {
    loop {
        match typed.try_recv() {
            Ok(message) => channel.queue(&message),
            Err(TryRecvError::Empty) => {}
            // Nobody looks any more: the channel ends, and the shell is hung up.
            Err(TryRecvError::Disconnected) => return Err(ExecError::Gone),
        }
        for message in channel.turn(None, Some(TICK))?.messages {
            match message {
                ToHost::Output(bytes) | ToHost::Error(bytes) => lock(seen).text.extend(bytes),
                ToHost::Started(_) => {}
                ToHost::Ended(ending) => return Ok(ending),
                ToHost::Refused { status, reason } => return Err(ExecError::Refused { status, reason }),
            }
        }
    }
}
