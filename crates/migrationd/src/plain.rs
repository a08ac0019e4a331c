//! For the benchmark only, in place of `address`: links beside the overlay.

use anyhow::{Context, Result};
use brant_types::ports;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Lines of an overlay address and another address of the same node.
const PLAIN: &str = "/run/brant/bench-links";

/// Where this node listens: everywhere.
pub(crate) fn to_listen(_overlay: Ipv6Addr) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), ports::MIGRATION)
}

/// Where another node listens.
///
/// # Errors
/// When the file does not name it.
pub(crate) fn of(overlay: Ipv6Addr) -> Result<SocketAddr> {
    let text = std::fs::read_to_string(PLAIN).with_context(|| format!("reading `{PLAIN}`"))?;
    let plain: Option<IpAddr> = text.lines().find_map(|line| {
        let (node, plain) = line.split_once(' ')?;
        (node.parse::<Ipv6Addr>() == Ok(overlay)).then(|| plain.parse().ok()).flatten()
    });
    let plain = plain.with_context(|| format!("finding {overlay} in `{PLAIN}`"))?;
    Ok(SocketAddr::new(plain, ports::MIGRATION))
}
