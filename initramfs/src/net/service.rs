//! The service `network`: addresses on all wired links at once, for as long as the node runs.
//!
//! Nothing waits for it. Each change goes to the kernel, to `resolv.conf` and to the hand-over file.

use super::addresses::{Given, Links};
use super::interface::Interface;
use super::remembered::Remembered;
use super::resolver;
use crate::{facts, naming, report};
use anyhow::{Context, Result};
use brant_types::boot::{BOOT_FACTS, BootFacts};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

const RESOLVER: &str = "/etc/resolv.conf";

struct Service {
    links: Links,
    remembered: Remembered,
    known: BootFacts,
    /// Seeds that did not come from a lease.
    own_seeds: Vec<IpAddr>,
    resolver: Option<String>,
}

/// Runs until it is ended.
pub(crate) fn run() -> Result<()> {
    let known = facts::read()?;
    let remembered = Remembered::read();
    let given =
        Given { addresses: known.addresses.clone(), vlans: known.vlans.clone(), bonds: known.bonds.clone() };
    let mut service = Service {
        links: Links::open(known.links.clone(), given, remembered.clone())?,
        remembered,
        own_seeds: known.seeds.clone(),
        known,
        resolver: None,
    };
    loop {
        service.publish();
        service.links.turn()?;
    }
}

impl Service {
    /// Tells the rest of the node what has changed.
    fn publish(&mut self) {
        let leases = || self.links.interfaces().iter().filter_map(Interface::lease);
        let resolver = resolver::render(leases());
        let mut seeds = self.own_seeds.clone();
        for seed in leases().flat_map(|lease| &lease.seeds) {
            if !seeds.contains(seed) {
                seeds.push(*seed);
            }
        }
        let time_servers = leases().flat_map(|lease| &lease.time_servers).copied().collect();
        complain(
            "leases",
            self.remembered.note(self.links.interfaces().iter().filter_map(Interface::granted)),
        );
        let links = self.links.interfaces().iter().map(Interface::facts).collect();
        if self.resolver.as_ref() != Some(&resolver) {
            complain("name servers", write_resolver(&resolver));
            self.resolver = Some(resolver);
        }
        let (host_name, is_named) = self.name();
        let now_known = BootFacts { host_name, is_named, seeds, time_servers, links, ..self.known.clone() };
        if now_known != self.known {
            match facts::write(Path::new(BOOT_FACTS), &now_known) {
                Ok(()) => self.known = now_known,
                // Tried again with whatever happens next.
                written => complain("hand-over", written),
            }
        }
    }

    /// What this node is called from now on, and whether that is settled.
    fn name(&self) -> (String, bool) {
        let leases = self.links.interfaces().iter().filter_map(Interface::lease);
        let names = leases.filter_map(|lease| lease.host_name.as_deref());
        let Some(name) = another_name((&self.known.host_name, self.known.is_named), names) else {
            return (self.known.host_name.clone(), self.known.is_named);
        };
        report::say(&format!("a DHCP server calls this node {name}"));
        complain("name", naming::set_for_now(Path::new("/etc"), name));
        (name.to_owned(), true)
    }
}

/// What servers call this node, if nobody has chosen a name. Some say no more than what they were told that it is called.
fn another_name<'a>(
    (known, is_named): (&str, bool),
    mut names: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    names.find(|name| *name != known).filter(|_| !is_named)
}

/// Replaced whole; a link at this place is replaced too, not followed.
fn write_resolver(text: &str) -> Result<()> {
    let fresh = format!("{RESOLVER}.new");
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, RESOLVER))
        .with_context(|| format!("writing `{RESOLVER}`"))
}

fn complain(what: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        report::complain(&format!("{what}: {error:#}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_name_counts_once_and_an_echo_does_not() {
        let name = |known, names: &[&'static str]| another_name(known, names.iter().copied());
        assert_eq!(name(("owl", false), &["lark", "wren"]), Some("lark"));
        assert_eq!(name(("owl", false), &["owl", "wren"]), Some("wren"));
        assert_eq!(name(("owl", false), &["owl"]), None);
        assert_eq!(name(("owl", true), &["lark"]), None);
    }
}
