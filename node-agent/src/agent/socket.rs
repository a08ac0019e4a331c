//! The agent's socket: views of the cluster for local programs, one JSON object a line, and settings from root.

use super::wish::{What, Wish, refused};
use anyhow::{Context, Result};
use brant_types::agent::{AGENT_SOCKET, AgentAnswer, AgentRequest, ClusterView};
use brant_types::visitors::Visitors;
use serde::Serialize;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

/// The longest question.
const MOST_ASKED: usize = 256;

/// Opens the socket; every local user may ask.
pub(super) fn listen() -> Result<net::UnixListener> {
    let _none_there = std::fs::remove_file(AGENT_SOCKET);
    let listener =
        net::UnixListener::bind(AGENT_SOCKET).with_context(|| format!("listening at `{AGENT_SOCKET}`"))?;
    listener.set_nonblocking(true).context("setting the socket up")?;
    std::fs::set_permissions(AGENT_SOCKET, std::fs::Permissions::from_mode(0o666))
        .context("opening the socket to all")?;
    Ok(listener)
}

/// Answers whoever connects.
pub(super) async fn serve(
    listener: UnixListener,
    views: watch::Receiver<ClusterView>,
    wishes: mpsc::Sender<Wish>,
) {
    let visitors = Visitors::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(visitor) = stream.peer_cred().ok().and_then(|who| visitors.admit(who.uid())) else {
                    continue;
                };
                let (views, wishes) = (views.clone(), wishes.clone());
                tokio::spawn(async move {
                    let _until_the_end = visitor;
                    if let Err(error) = answer(stream, views, wishes).await {
                        tracing::debug!("a client of the socket went away: {error:#}");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "taking a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(
    stream: UnixStream,
    views: watch::Receiver<ClusterView>,
    wishes: mpsc::Sender<Wish>,
) -> Result<()> {
    let who = stream.peer_cred().context("asking the kernel who it is")?;
    let (read, write) = stream.into_split();
    let line = question(read).await?;
    let request: AgentRequest = serde_json::from_slice(&line).context("understanding a question")?;
    match request {
        AgentRequest::View => show(write, views, false).await,
        AgentRequest::Watch => show(write, views, true).await,
        AgentRequest::Set { .. }
        | AgentRequest::Join { .. }
        | AgentRequest::Admit { .. }
        | AgentRequest::Rotate { .. }
        | AgentRequest::Drop
            if who.uid() != 0 =>
        {
            let hint = "say it as root, with `sudo`";
            let why =
                refused("not_root", "this concerns the whole cluster, and only root may do it", Some(hint));
            send(&mut { write }, &AgentAnswer::Refused(why)).await
        }
        AgentRequest::Set { key, value } => wish(write, &wishes, What::Set { key, value }).await,
        AgentRequest::Admit { node, code } => wish(write, &wishes, What::Admit { node, code }).await,
        AgentRequest::Rotate { without } => wish(write, &wishes, What::Rotate { without }).await,
        AgentRequest::Drop => wish(write, &wishes, What::Drop).await,
        AgentRequest::Join { address } => wish(write, &wishes, What::Join(address)).await,
    }
}

/// One line, in time.
async fn question(read: OwnedReadHalf) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut read = BufReader::new(read);
    let reading = async {
        while line.len() < MOST_ASKED && line.last() != Some(&b'\n') {
            line.push(read.read_u8().await?);
        }
        Ok::<(), std::io::Error>(())
    };
    tokio::time::timeout(Duration::from_secs(5), reading).await.context("waiting for a question")??;
    Ok(line)
}

/// Answers every question in the same way.
pub(super) async fn answer_all(stream: UnixStream, answer: &AgentAnswer) -> Result<()> {
    let (read, mut write) = stream.into_split();
    question(read).await?;
    send(&mut write, answer).await
}

async fn wish(mut write: OwnedWriteHalf, wishes: &mpsc::Sender<Wish>, what: What) -> Result<()> {
    let (answer, answered) = oneshot::channel();
    wishes.send(Wish { what, answer }).await.context("handing a wish on")?;
    send(&mut write, &answered.await.context("waiting for the answer")?).await
}

/// Sends the view, and with `again` whenever there is a newer one.
async fn show(mut write: OwnedWriteHalf, mut views: watch::Receiver<ClusterView>, again: bool) -> Result<()> {
    loop {
        let view = views.borrow_and_update().clone();
        send(&mut write, &view).await?;
        if !again {
            return Ok(());
        }
        views.changed().await.context("waiting for the next view")?;
    }
}

async fn send(write: &mut OwnedWriteHalf, answer: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec(answer).context("writing an answer")?;
    text.push(b'\n');
    let sent = tokio::time::timeout(Duration::from_secs(5), write.write_all(&text)).await;
    sent.context("sending an answer")?.context("sending an answer")
}
