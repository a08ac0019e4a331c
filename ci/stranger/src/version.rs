//! Plays a node of the cluster that speaks the next version of the protocol.

use anyhow::{Context, Result};
use brant_membership::seal::{Sealer, VERSION};
use brant_types::boot::Kept;
use brant_types::ports;
use serde_json::{Value, json};
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};

const EVERYBODY: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Says something to everybody, in the version that follows ours.
pub(crate) fn run(secret: &str, index: u32) -> Result<Value> {
    let text = std::fs::read_to_string(secret).with_context(|| format!("reading `{secret}`"))?;
    let kept: Kept = toml::from_str(&text).context("understanding the secret's file")?;
    let admitted = kept.admitted.context("looking for the secret")?;
    let mut nonce = [0; 24];
    rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())
        .context("asking for random bytes")?;
    let datagram = Sealer::of_version(&admitted.secret, VERSION + 1).seal(nonce, b"of another time");
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).context("opening a socket")?;
    let to = SocketAddrV6::new(EVERYBODY, ports::GOSSIP, 0, index);
    socket.send_to(&datagram, to).context("saying it")?;
    Ok(json!({ "version": VERSION + 1 }))
}
