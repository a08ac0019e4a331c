//! Memory on its way: CRIU dumps it into a socket, as if to a page server, and from there it goes to the target. No
//! page is ever written to a file on this node.
//!
//! Once CRIU has begun, it is served to its end, whatever becomes of the link: there is code of its own in the process
//! then, and only CRIU can take it out again. After a failure its pages are thrown away, and its dump is made to fail.

use crate::link::WORD_EVERY;
use crate::wire;
use anyhow::{Context, Result, anyhow, bail, ensure};
use brant_migration::page_server::{self, WORD, Word};
use brant_migration::pagemap::{Owner, PAGE, PRESENT, Run};
use brant_migration::protocol::{ImagePart, MOST_CONTENTS, MOST_RUNS};
use brant_sys::child::Tool;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

/// The number of CRIU's end of the socket, in CRIU.
const SOCKET: i32 = 9;

/// One dump of memory.
pub(super) struct Dump<'a> {
    /// CRIU, with all arguments but where the pages go.
    pub(super) criu: Tool,
    /// Whose pages were in the round before.
    pub(super) before: &'a BTreeSet<Owner>,
    /// Whether this is the round that the process stands still for.
    pub(super) last: bool,
}

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    pub(super) pages: u64,
    pub(super) bytes: u64,
    /// Whose pages there were.
    pub(super) owners: BTreeSet<Owner>,
}

impl Dump<'_> {
    /// Runs CRIU to its end and sends what it dumps.
    pub(super) fn stream(self, link: &mut TcpStream) -> Result<Streamed> {
        let (ours, theirs) = UnixStream::pair().context("making a socket for CRIU")?;
        let running = self
            .criu
            .args(["--page-server", "--ps-socket", &SOCKET.to_string()])
            .keep(SOCKET, OwnedFd::from(theirs))
            .stderr(Stdio::piped())
            // Killed half way, it would leave its code in the process. When this daemon dies, it fails by itself: its
            // socket is gone.
            .outlives_parent()
            .spawn()
            .context("starting CRIU")?;
        let mut stream = Stream {
            criu: ours,
            link,
            before: self.before,
            last: self.last,
            sent: Streamed::default(),
            owner: None,
            runs: Vec::new(),
            contents: Vec::with_capacity(MOST_CONTENTS),
            broken: None,
        };
        let served = stream.serve();
        let (sent, broken) = (stream.sent, stream.broken.take());
        let ended = running.wait();
        if let Some(broken) = broken {
            return Err(broken.context("sending memory to the target"));
        }
        ended.context("dumping memory")?;
        served?;
        Ok(sent)
    }
}

struct Stream<'a> {
    criu: UnixStream,
    link: &'a mut TcpStream,
    before: &'a BTreeSet<Owner>,
    last: bool,
    sent: Streamed,
    owner: Option<Owner>,
    runs: Vec<Run>,
    contents: Vec<u8>,
    broken: Option<anyhow::Error>,
}

impl Stream<'_> {
    fn serve(&mut self) -> Result<()> {
        loop {
            let mut word = [0; WORD];
            if !self.wait()? {
                bail!("CRIU ended without a last word");
            }
            self.criu.read_exact(&mut word).context("listening to CRIU")?;
            match page_server::decode(&word).context("understanding CRIU")? {
                Word::HasParent(owner) => {
                    let has = i32::from(self.has_parent(owner));
                    self.answer(&has.to_le_bytes())?;
                }
                Word::Open(owner) => {
                    let has = u8::from(self.has_parent(owner));
                    self.begin(owner);
                    self.answer(&[has])?;
                }
                Word::Run(owner, run) => {
                    self.begin(owner);
                    self.take(run)?;
                }
                Word::Close => {
                    self.flush();
                    let status = -i32::from(self.broken.is_some());
                    return self.answer(&status.to_le_bytes());
                }
            }
        }
    }

    /// Waits for CRIU to say something, and meanwhile tells the target that this node is still here; false when CRIU
    /// has ended.
    fn wait(&mut self) -> Result<bool> {
        let every = Timespec { tv_sec: WORD_EVERY.as_secs().try_into().unwrap_or(1), tv_nsec: 0 };
        loop {
            match poll(&mut [PollFd::new(&self.criu, PollFlags::IN)], Some(&every)) {
                Ok(0) => self.send(|link| wire::send(link, &ImagePart::StillHere)),
                Ok(_) => {
                    let mut first = [0];
                    let length = rustix::net::recv(&self.criu, &mut first, rustix::net::RecvFlags::PEEK)
                        .context("listening to CRIU")?
                        .0;
                    return Ok(length > 0);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).context("waiting for CRIU"),
            }
        }
    }

    /// CRIU dumps shared memory whole in every round, and while the process stands still: only the last is sent.
    fn is_sent(&self, owner: Owner) -> bool {
        self.last || matches!(owner, Owner::Process(_))
    }

    fn has_parent(&self, owner: Owner) -> bool {
        self.before.contains(&owner)
    }

    fn begin(&mut self, owner: Owner) {
        if self.owner == Some(owner) {
            return;
        }
        self.flush();
        self.owner = Some(owner);
        if self.is_sent(owner) && self.sent.owners.insert(owner) {
            // One that has no pages at all must still be known to be there.
            self.send(|link| wire::send(link, &ImagePart::Pages { owner, runs: Vec::new() }));
        }
    }

    /// Takes a run and its contents, in pieces that fit into one message.
    fn take(&mut self, run: Run) -> Result<()> {
        if run.flags & PRESENT == 0 {
            self.runs.push(run);
            if self.runs.len() >= MOST_RUNS {
                self.flush();
            }
            return Ok(());
        }
        let page = PAGE as usize;
        let mut rest = run;
        while rest.pages > 0 {
            let room = (MOST_CONTENTS - self.contents.len()) / page;
            let pages = rest.pages.min(u32::try_from(room).unwrap_or(u32::MAX));
            let length = u64::from(pages) * PAGE;
            // There is room for them, and it is not filled with zeros first.
            let taken = (&mut self.criu).take(length).read_to_end(&mut self.contents);
            ensure!(
                taken.context("taking memory from CRIU")? as u64 == length,
                "CRIU ended in the middle of a page"
            );
            self.runs.push(Run { pages, ..rest });
            rest.address += u64::from(pages) * PAGE;
            rest.pages -= pages;
            if self.contents.len() >= MOST_CONTENTS || self.runs.len() >= MOST_RUNS {
                self.flush();
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        let runs = std::mem::take(&mut self.runs);
        let contents = std::mem::take(&mut self.contents);
        if let Some(owner) = self.owner
            && self.is_sent(owner)
            && !runs.is_empty()
        {
            self.sent.pages += contents.len() as u64 / PAGE;
            self.sent.bytes += contents.len() as u64;
            self.send(|link| {
                wire::send(link, &ImagePart::Pages { owner, runs })?;
                link.write_all(&contents)
            });
        }
        // Its memory is used again.
        self.contents = contents;
        self.contents.clear();
    }

    fn send(&mut self, send: impl FnOnce(&mut TcpStream) -> std::io::Result<()>) {
        if self.broken.is_none()
            && let Err(error) = send(self.link)
        {
            self.broken = Some(anyhow!(error));
        }
    }

    fn answer(&mut self, answer: &[u8]) -> Result<()> {
        self.criu.write_all(answer).context("answering CRIU")
    }
}
