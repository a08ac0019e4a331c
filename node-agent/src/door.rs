//! What the agent, which hears the LAN and has no rights, and its helper, which has root's, say to each other.
//!
//! One JSON object a line, over a pair of sockets that nobody else has. The helper takes these few wishes and no others,
//! and believes of them only what it can check.

use anyhow::{Context, Result, bail};
use brant_types::boot::Admitted;
use brant_types::cluster::ClusterConfig;
use brant_types::node::{NodeFacts, WireGuardKey};
use brant_types::settings::{Key, Settings};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddrV6};

/// The longest line, bytes: a configuration of some thousand nodes.
pub(crate) const MOST: usize = 4 << 20;

/// What the agent wants done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Make or refresh a WireGuard peer.
    Peer {
        /// Who.
        facts: NodeFacts,
        /// Where it was heard.
        heard_at: SocketAddrV6,
    },
    /// Take a peer away.
    Forget(NodeFacts),
    /// Keep this: the node was admitted, and begins anew with it.
    Admitted(Admitted),
    /// Keep this newer secret; peers get its key one by one.
    Secret(Admitted),
    /// Forget the secret: the node has left its cluster, and begins anew without.
    Drop,
    /// Use the newest key with this peer.
    Rekey(NodeFacts),
    /// Use it with all of them.
    RekeyAll,
    /// Let the node's files follow this configuration.
    Config(ClusterConfig),
}

/// What the helper tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Who this node is; the first event, and only that.
    Hello {
        /// Its WireGuard key.
        public: WireGuardKey,
        /// Rises with each boot.
        incarnation: u32,
        /// What an earlier agent of this cluster knew to hold.
        settings: Settings,
    },
    /// The secrets are forgotten; the helper ends.
    Dropped,
    /// The secret with this mark has been kept.
    Kept(String),
    /// Somebody has edited the shared configuration.
    Edit(Edit),
    /// Where to look for the cluster besides, as `init` says now.
    Seeds(Vec<IpAddr>),
    /// What this node is called now.
    Name(String),
}

/// What somebody has made of `cluster.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Edit {
    /// These settings have other values; none is what holds by itself.
    Settings(Vec<(Key, Option<String>)>),
    /// It was not taken, for this reason; it lies aside now.
    Refused(String),
}

/// A message as it goes over the socket.
pub(crate) fn line(message: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message).context("writing a message")?;
    line.push(b'\n');
    Ok(line)
}

/// Takes the next whole message out of what has been read.
pub(crate) fn take<T: DeserializeOwned>(read: &mut Vec<u8>) -> Result<Option<T>> {
    let Some(end) = read.iter().position(|byte| *byte == b'\n') else {
        if read.len() > MOST {
            bail!("a message that is too long");
        }
        return Ok(None);
    };
    let message = serde_json::from_slice(&read[..end]).context("understanding a message")?;
    read.drain(..=end);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::node::ClusterId;

    #[test]
    fn messages_come_out_one_by_one_as_they_went_in() {
        let facts = NodeFacts::sample(1);
        let config = ClusterConfig::of("x", ClusterId([1; 8]), &Settings::default(), [&facts]);
        let heard_at = "[fe80::1%3]:4727".parse().unwrap();
        let sent = [Request::Config(config), Request::Peer { facts: facts.clone(), heard_at }];
        let mut read: Vec<u8> = sent.iter().flat_map(|request| line(request).unwrap()).collect();
        let rest = read.split_off(read.len() - 3);
        assert_eq!(take::<Request>(&mut read).unwrap().as_ref(), Some(&sent[0]));
        assert_eq!(take::<Request>(&mut read).unwrap(), None);
        read.extend(rest);
        assert_eq!(take::<Request>(&mut read).unwrap().as_ref(), Some(&sent[1]));
        assert!(read.is_empty());
    }

    #[test]
    fn what_is_no_wish_is_refused_and_so_is_a_line_without_end() {
        assert!(take::<Request>(&mut b"{\"Run\":\"sh\"}\n".to_vec()).is_err());
        assert!(take::<Request>(&mut vec![b'x'; MOST + 1]).is_err());
    }
}
