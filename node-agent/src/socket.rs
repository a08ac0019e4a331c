//! The agent's socket: views of the cluster for local programs, one JSON object a line.

use anyhow::{Context, Result};
use brant_types::agent::{AGENT_SOCKET, AgentRequest, ClusterView};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// The longest question.
const MOST_ASKED: usize = 256;

/// Opens the socket; every local user may ask.
pub(crate) fn listen() -> Result<UnixListener> {
    let _none_there = std::fs::remove_file(AGENT_SOCKET);
    let listener =
        UnixListener::bind(AGENT_SOCKET).with_context(|| format!("listening at `{AGENT_SOCKET}`"))?;
    std::fs::set_permissions(AGENT_SOCKET, std::fs::Permissions::from_mode(0o666))
        .context("opening the socket to all")?;
    Ok(listener)
}

/// Answers whoever connects.
pub(crate) async fn serve(listener: UnixListener, views: watch::Receiver<ClusterView>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let views = views.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, views).await {
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

async fn answer(stream: UnixStream, mut views: watch::Receiver<ClusterView>) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let mut read = BufReader::new(read);
    let question = async {
        while line.len() < MOST_ASKED && line.last() != Some(&b'\n') {
            line.push(read.read_u8().await?);
        }
        Ok::<(), std::io::Error>(())
    };
    tokio::time::timeout(Duration::from_secs(5), question).await.context("waiting for a question")??;
    let request: AgentRequest = serde_json::from_slice(&line).context("understanding a question")?;
    loop {
        let mut text = serde_json::to_vec(&*views.borrow_and_update()).context("writing a view")?;
        text.push(b'\n');
        tokio::time::timeout(Duration::from_secs(5), write.write_all(&text))
            .await
            .context("sending a view")??;
        if request == AgentRequest::View {
            return Ok(());
        }
        views.changed().await.context("waiting for the next view")?;
    }
}
