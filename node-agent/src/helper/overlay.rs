//! The overlay network: one WireGuard interface, one peer for each node that was heard.

use super::identity::Identity;
use anyhow::{Context, Result};
use brant_sys::child::Tool;
use brant_types::node::{ClusterId, NodeFacts, NodeId, WireGuardKey, base64};
use brant_types::ports::{self, OVERLAY_INTERFACE as INTERFACE};
use brant_types::secret::ClusterSecret;
use std::io::Write as _;
use std::net::SocketAddrV6;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The interface, up, with this node's address.
pub(super) struct Overlay {
    cluster: ClusterId,
    preshared: String,
}

impl Overlay {
    /// Makes the interface; one that an earlier agent left is replaced.
    pub(super) fn up(secret: &ClusterSecret, key: &Identity) -> Result<Self> {
        let cluster = ClusterId::of(secret);
        let address = cluster.overlay_address(NodeId::of(&key.public));
        let preshared = base64(&secret.key("wireguard"));
        if Self::is_up_with(&key.public) {
            // An earlier agent's work: what runs over it goes on, with the secret that counts now.
            let overlay = Self { cluster, preshared };
            overlay.rekey_all()?;
            return Ok(overlay);
        }
        Self::down()?;
        ip(&["link", "add", INTERFACE, "type", "wireguard"])?;
        Tool::new("wg")
            .args([
                "set",
                INTERFACE,
                "listen-port",
                &ports::WIREGUARD.to_string(),
                "private-key",
                "/dev/stdin",
            ])
            .stdin(text_input(&key.private)?)
            .run()
            .context("giving the overlay interface its key")?;
        ip(&["-6", "address", "add", &format!("{address}/64"), "dev", INTERFACE, "nodad"])?;
        ip(&["link", "set", INTERFACE, "up"])?;
        Ok(Self { cluster, preshared })
    }

    /// Takes the interface away, if there is one, and all connections over it.
    pub(super) fn down() -> Result<()> {
        if Path::new("/sys/class/net").join(INTERFACE).exists() {
            ip(&["link", "del", INTERFACE])?;
        }
        Ok(())
    }

    /// Takes another secret, for peers that are made from now on, and for those that are told to use it.
    pub(super) fn next(&mut self, secret: &ClusterSecret) {
        self.preshared = base64(&secret.key("wireguard"));
    }

    /// Uses the newest secret with a peer from the next handshake on; connections go on.
    pub(super) fn rekey(&self, key: &WireGuardKey) -> Result<()> {
        Tool::new("wg")
            .args(["set", INTERFACE, "peer", &key.to_base64(), "preshared-key", "/dev/stdin"])
            .stdin(text_input(&self.preshared)?)
            .run()
            .context("giving a WireGuard peer the newer key")
    }

    /// The same with all peers; each is tried, whatever becomes of the others.
    pub(super) fn rekey_all(&self) -> Result<()> {
        let peers =
            Tool::new("wg").args(["show", INTERFACE, "peers"]).output().context("listing the peers")?;
        let mut outcome = Ok(());
        for peer in
            String::from_utf8_lossy(&peers).lines().filter_map(|line| WireGuardKey::from_base64(line).ok())
        {
            outcome = self.rekey(&peer).and(outcome);
        }
        outcome
    }

    fn is_up_with(key: &WireGuardKey) -> bool {
        let state = std::fs::read_to_string(format!("/sys/class/net/{INTERFACE}/flags")).unwrap_or_default();
        // The lowest bit is IFF_UP, and it is set last.
        let up =
            u32::from_str_radix(state.trim().trim_start_matches("0x"), 16).is_ok_and(|flags| flags & 1 == 1);
        let shown = Tool::new("wg").args(["show", INTERFACE, "public-key"]).output();
        up && shown.is_ok_and(|shown| String::from_utf8_lossy(&shown).trim() == key.to_base64())
    }

    /// Makes or refreshes a peer.
    pub(super) fn peer(&self, facts: &NodeFacts, heard_at: SocketAddrV6) -> Result<()> {
        let endpoint = endpoint(heard_at, facts.port);
        let allowed = format!("{}/128", self.cluster.overlay_address(facts.id));
        Tool::new("wg")
            .args(["set", INTERFACE, "peer", &facts.key.to_base64(), "preshared-key", "/dev/stdin"])
            .args(["endpoint", &endpoint, "allowed-ips", &allowed])
            .stdin(text_input(&self.preshared)?)
            .run()
            .with_context(|| format!("making a WireGuard peer of {}", facts.name))
    }

    /// Takes a peer away.
    pub(super) fn forget(facts: &NodeFacts) -> Result<()> {
        Tool::new("wg")
            .args(["set", INTERFACE, "peer", &facts.key.to_base64(), "remove"])
            .run()
            .with_context(|| format!("removing the WireGuard peer of {}", facts.name))
    }
}

/// An address as `wg` takes it: the kernel's WireGuard knows no IPv4 within IPv6.
fn endpoint(heard_at: SocketAddrV6, port: u16) -> String {
    match (heard_at.ip().to_ipv4_mapped(), heard_at.scope_id()) {
        (Some(address), _) => format!("{address}:{port}"),
        (None, 0) => format!("[{}]:{port}", heard_at.ip()),
        (None, scope) => format!("[{}%{scope}]:{port}", heard_at.ip()),
    }
}

fn ip(args: &[&str]) -> Result<()> {
    Tool::new("ip").args(args).run().context("setting up the overlay interface")
}

/// A pipe that holds a short text: keys go to `wg` this way, never by command line or file.
fn text_input(text: &str) -> Result<OwnedFd> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("making a pipe")?;
    std::fs::File::from(write).write_all(text.as_bytes()).context("filling a pipe")?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_written_as_wireguard_reads_them() {
        let of =
            |address: &str, scope| endpoint(SocketAddrV6::new(address.parse().unwrap(), 1, 0, scope), 51820);
        assert_eq!(of("fe80::1", 2), "[fe80::1%2]:51820");
        assert_eq!(of("2001:db8::1", 0), "[2001:db8::1]:51820");
        assert_eq!(of("::ffff:10.88.0.15", 0), "10.88.0.15:51820");
    }
}
