//! Where links go: over the overlay.

use anyhow::Result;
use brant_types::ports;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

/// Where this node listens.
pub(crate) fn to_listen(overlay: Ipv6Addr) -> SocketAddr {
    SocketAddrV6::new(overlay, ports::MIGRATION, 0, 0).into()
}

/// Where another node listens.
///
/// # Errors
/// None; what stands for this in the benchmark has to look it up.
pub(crate) fn of(overlay: Ipv6Addr) -> Result<SocketAddr> {
    Ok(to_listen(overlay))
}
