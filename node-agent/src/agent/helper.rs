//! The agent's end of the door to its helper.

use crate::HELPER;
use crate::door::{self, Event, Request};
use anyhow::{Context, Result, bail};
use brant_sys::child::Tool;
use brant_types::node::WireGuardKey;
use brant_types::settings::Settings;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How long a helper may take to say who this node is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The helper, which has said who this node is.
pub(super) struct Helper {
    stream: net::UnixStream,
    read: Vec<u8>,
    requests: UnboundedSender<Request>,
    asked: UnboundedReceiver<Request>,
}

/// What it has said.
pub(super) struct Own {
    pub(super) public: WireGuardKey,
    pub(super) incarnation: u32,
    pub(super) settings: Settings,
}

impl Helper {
    /// Starts it, and waits until it has said who this node is. It ends when this process does.
    pub(super) fn start() -> Result<(Self, Own)> {
        let (mut stream, theirs) = net::UnixStream::pair().context("making a door for the helper")?;
        let itself = std::env::current_exe().context("looking for this program")?;
        // Whose end is heard by the door.
        Tool::new(itself).arg(HELPER).stdin(OwnedFd::from(theirs)).spawn().context("starting the helper")?;
        stream.set_read_timeout(Some(PATIENCE)).context("setting the door up")?;
        let mut read = Vec::new();
        let first = loop {
            if let Some(event) = door::take(&mut read)? {
                break event;
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).context("waiting for the helper")? {
                0 => bail!("the helper has ended before it began"),
                length => read.extend_from_slice(&chunk[..length]),
            }
        };
        let Event::Hello { public, incarnation, settings } = first else {
            bail!("the helper has not said who this node is");
        };
        stream.set_nonblocking(true).context("setting the door up")?;
        let (requests, asked) = mpsc::unbounded_channel();
        Ok((Self { stream, read, requests, asked }, Own { public, incarnation, settings }))
    }

    /// Where to put what is asked of it.
    pub(super) fn requests(&self) -> UnboundedSender<Request> {
        self.requests.clone()
    }

    /// Carries requests and events from now on, in the event loop. No more events come once the helper has gone.
    pub(super) fn run(self) -> Result<UnboundedReceiver<Event>> {
        let stream = UnixStream::from_std(self.stream).context("taking the door into the event loop")?;
        let (reader, writer) = stream.into_split();
        let (events, received) = mpsc::unbounded_channel();
        tokio::spawn(write(writer, self.asked));
        tokio::spawn(async move {
            if let Err(error) = hear(reader, self.read, &events).await {
                tracing::error!("hearing the helper: {error:#}");
            }
        });
        Ok(received)
    }
}

async fn write(mut writer: OwnedWriteHalf, mut asked: UnboundedReceiver<Request>) {
    while let Some(request) = asked.recv().await {
        let written = match door::line(&request) {
            Ok(line) => writer.write_all(&line).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::error!("asking the helper: {error:#}");
            return;
        }
    }
}

async fn hear(mut reader: OwnedReadHalf, mut read: Vec<u8>, events: &UnboundedSender<Event>) -> Result<()> {
    loop {
        while let Some(event) = door::take(&mut read)? {
            if events.send(event).is_err() {
                return Ok(());
            }
        }
        if reader.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}
