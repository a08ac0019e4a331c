//! One thread that carries out, in order, what needs other programs or files: the event loop never waits for them.

use crate::files;
use crate::firewall;
use crate::identity::Identity;
use crate::nfs;
use crate::overlay::Overlay;
use anyhow::{Context, Result};
use brant_membership::core::Output;
use brant_types::node::{ClusterId, NodeId};
use brant_types::secret::ClusterSecret;
use std::sync::mpsc;

/// What the worker begins with.
pub(crate) struct Worker {
    pub(crate) secret: ClusterSecret,
    pub(crate) key: Identity,
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
        for job in jobs {
            let done = match &job {
                Output::Peer { facts, heard_at } => overlay.peer(facts, *heard_at),
                Output::Forget(facts) => Overlay::forget(facts),
                Output::Config(config) => files::write(config, me),
                Output::Send { .. } | Output::Beacon(_) => Ok(()),
            };
            if let Err(error) = done {
                tracing::error!("{error:#}");
            }
        }
        Ok(())
    }
}
