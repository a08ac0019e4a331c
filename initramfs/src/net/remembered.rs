//! The addresses that DHCP servers have granted, for the next boot: on a stick that keeps what is written, or for a service that
//! starts anew.

use super::links::Link;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;

/// Beside what else outlives a boot.
const LEASES: &str = "/run/brant/rw/leases.toml";
/// Of how many links, for sticks that go from PC to PC.
const MOST: usize = 64;

/// An address for each link, by its hardware address and its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remembered(BTreeMap<String, Ipv4Addr>);

impl Remembered {
    /// What is kept; nothing, where there is nothing that can be read.
    pub(super) fn read() -> Self {
        let text = fs::read_to_string(LEASES).unwrap_or_default();
        Self(toml::from_str(&text).unwrap_or_default())
    }

    /// What this link had.
    pub(super) fn of(&self, link: &Link) -> Option<Ipv4Addr> {
        self.0.get(&name(link)).copied()
    }

    /// Notes what links have now, and keeps it where that is new.
    pub(super) fn note<'a>(&mut self, leases: impl Iterator<Item = (&'a Link, Ipv4Addr)>) -> Result<()> {
        let before = self.0.clone();
        for (link, address) in leases {
            while self.0.len() >= MOST && !self.0.contains_key(&name(link)) {
                self.0.pop_first();
            }
            self.0.insert(name(link), address);
        }
        if self.0 == before {
            return Ok(());
        }
        let text = toml::to_string(&self.0).context("writing leases down")?;
        let fresh = format!("{LEASES}.new");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, LEASES))
            .with_context(|| format!("keeping leases in `{LEASES}`"))
    }
}

fn name(link: &Link) -> String {
    // A VLAN has the hardware address of the link below it.
    format!("{} {}", link.mac.map(|byte| format!("{byte:02x}")).join("-"), link.name)
}
