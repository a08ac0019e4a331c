//! One thread that carries out, in order, what needs other programs or files: the event loop never waits for them.

use crate::files;
use crate::firewall;
use crate::identity::Identity;
use crate::nfs;
use crate::overlay::Overlay;
use crate::shared_file::{Edit, SharedFile};
use anyhow::{Context, Result};
use brant_membership::core::Output;
use brant_types::node::{ClusterId, NodeId};
use brant_types::secret::ClusterSecret;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// How often somebody's edits are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the worker begins with.
pub(crate) struct Worker {
    pub(crate) secret: ClusterSecret,
    pub(crate) key: Identity,
    /// Where to tell what somebody has edited.
    pub(crate) edits: UnboundedSender<Edit>,
}

impl Worker {
    /// Sets the overlay and the export up, then does what comes; ends when the sender is gone.
    pub(crate) fn run(self, jobs: &mpsc::Receiver<Output>) -> Result<()> {
        let me = NodeId::of(&self.key.public);
        // Before there is anything to be kept off from.
        firewall::raise()?;
        let overlay = Overlay::up(&self.secret, &self.key)?;
        let address = ClusterId::of(&self.secret).overlay_address(me);
        // Joining works without the export, and does not wait for it.
        std::thread::Builder::new()
            .name("export".to_owned())
            .spawn(move || nfs::serve(address))
            .context("starting a thread")?;
        let mut shared = SharedFile::new();
        loop {
            let done = match jobs.recv_timeout(LOOK_EVERY) {
                Ok(Output::Peer { facts, heard_at }) => overlay.peer(&facts, heard_at),
                Ok(Output::Forget(facts)) => Overlay::forget(&facts),
                Ok(Output::Config(config)) => {
                    let written = shared.write(&config).map(|edit| self.tell(edit));
                    written.and_then(|()| files::write_hosts(&config, me))
                }
                Ok(Output::Send { .. } | Output::Beacon { .. }) => Ok(()),
                Err(RecvTimeoutError::Timeout) => shared.look().map(|edit| self.tell(edit)),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if let Err(error) = done {
                tracing::error!("{error:#}");
            }
        }
    }

    fn tell(&self, edit: Option<Edit>) {
        if let Some(edit) = edit {
            let _the_agent_ends = self.edits.send(edit);
        }
    }
}
