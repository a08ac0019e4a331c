//! Wired links: which there are, and bringing them up.

use super::netlink::{Netlink, Request};
use anyhow::{Context, Result};
use brant_sys::link;
use brant_types::boot::LinkFacts;
use std::fs;
use std::path::Path;

/// One wired link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
}

impl Link {
    /// The link with no IPv4 address yet.
    pub(crate) fn facts(&self) -> LinkFacts {
        LinkFacts { name: self.name.clone(), index: self.index, ipv4: None, from_dhcp: false }
    }
}

/// All wired links, by index: Ethernet, with hardware behind it, not wireless; bonds instead of what is in them; and VLANs.
pub(crate) fn wired() -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for entry in fs::read_dir("/sys/class/net").context("listing the network links")?.flatten() {
        let folder = entry.path();
        if !is_wired(&folder) {
            continue;
        }
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
        if let (Ok(index), Some(mac)) = (read("ifindex").trim().parse(), parse_mac(read("address").trim())) {
            links.push(Link { name: entry.file_name().to_string_lossy().into_owned(), index, mac });
        }
    }
    links.sort_by_key(|link| link.index);
    Ok(links)
}

fn is_wired(folder: &Path) -> bool {
    let ethernet = fs::read_to_string(folder.join("type")).is_ok_and(|kind| kind.trim() == "1");
    ethernet
        && link::stands_for_a_cable(folder)
        && !folder.join("wireless").exists()
        && !folder.join("phy80211").exists()
}

/// The longest name that the kernel gives a link, bytes (IFNAMSIZ, without its end).
const LONGEST: usize = 15;

/// Whether a link may be called so.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.')
}

/// Whether a link is in a bond or a bridge.
pub(super) fn is_part(name: &str) -> bool {
    link::is_part(&Path::new("/sys/class/net").join(name))
}

/// The index of a link by its name, if it is there.
pub(super) fn index_of(name: &str) -> Option<u32> {
    fs::read_to_string(Path::new("/sys/class/net").join(name).join("ifindex")).ok()?.trim().parse().ok()
}

/// Whether a cable is plugged and the other end is awake.
pub(super) fn has_carrier(name: &str) -> bool {
    fs::read_to_string(Path::new("/sys/class/net").join(name).join("carrier"))
        .is_ok_and(|text| text.trim() == "1")
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// Brings the loopback link and every wired link up; gives what went wrong, link by link.
pub(crate) fn bring_up_all() -> Result<Vec<String>> {
    let mut netlink = Netlink::open()?;
    let mut failures = Vec::new();
    let loopback = Link { name: "lo".to_owned(), index: 1, mac: [0; 6] };
    for link in std::iter::once(loopback).chain(wired()?) {
        if let Err(error) = netlink.ask(&Request::LinkUp { index: link.index }) {
            failures.push(format!("bringing the link `{}` up: {error:#}", link.name));
        }
    }
    Ok(failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_six_bytes_are_a_hardware_address() {
        assert_eq!(parse_mac("52:54:00:12:34:56"), Some([0x52, 0x54, 0, 0x12, 0x34, 0x56]));
        assert_eq!(parse_mac("52:54:00:12:34"), None);
        assert_eq!(parse_mac("52:54:00:12:34:56:78"), None);
        assert_eq!(parse_mac(""), None);
    }
}
