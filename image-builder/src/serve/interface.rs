//! The network card that PCs are served behind.

use crate::failure::{Advice, Kind};
use anyhow::{Context as _, Result};
use brant_sys::child::Tool;
use serde::Deserialize;
use std::net::Ipv4Addr;

/// A card with its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its name.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// How many bits of it are the network's.
    pub(crate) prefix: u8,
}

/// As `ip -json addr` prints it.
#[derive(Debug, Deserialize)]
struct Listed {
    ifname: String,
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    local: String,
    prefixlen: u8,
}

#[derive(Debug, Deserialize)]
struct Route {
    dev: Option<String>,
}

impl Interface {
    /// The card of this name, or the one with the default route.
    ///
    /// # Errors
    /// There is none, or it has no IPv4 address.
    pub(crate) fn find(name: Option<&str>) -> Result<Self> {
        let listed = Tool::new("ip").args(["-json", "-4", "addr", "show"]).output();
        let listed = listed.context("listing the network cards")?;
        let routes = Tool::new("ip").args(["-json", "-4", "route", "show", "default"]).output();
        choose(&listed, &routes.context("looking for the default route")?, name)
    }

    /// The network's first address.
    pub(crate) fn network(&self) -> Ipv4Addr {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        Ipv4Addr::from(u32::from(self.address) & mask)
    }
}

fn choose(listed: &[u8], routes: &[u8], name: Option<&str>) -> Result<Interface> {
    let listed: Vec<Listed> =
        serde_json::from_slice(listed).context("understanding the list of network cards")?;
    let routes: Vec<Route> = serde_json::from_slice(routes).context("understanding the default route")?;
    let wanted = name.or_else(|| routes.first()?.dev.as_deref());
    let usable: Vec<Interface> = listed
        .iter()
        .filter(|card| card.ifname != "lo")
        .filter_map(|card| {
            let address = card.addr_info.first()?;
            Some(Interface {
                name: card.ifname.clone(),
                address: address.local.parse().ok()?,
                prefix: address.prefixlen,
            })
        })
        .collect();
    let found = usable.iter().find(|card| Some(card.name.as_str()) == wanted);
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = usable.iter().map(|card| card.name.as_str()).collect();
        let what = match wanted {
            Some(wanted) => format!("there is no network card `{wanted}` with an IPv4 address"),
            None => "it is not known which network card to serve behind".to_owned(),
        };
        let hint = match names.as_slice() {
            [] => "give one an address: `ip addr add 192.168.77.1/24 dev NAME`".to_owned(),
            names => format!("name one with `--interface`: {}", names.join(", ")),
        };
        Advice::new(Kind::Input, what).hint(hint).error()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &[u8] = br#"[{"ifname":"lo","addr_info":[{"local":"127.0.0.1","prefixlen":8}]},
        {"ifname":"eth0","addr_info":[{"local":"192.168.7.9","prefixlen":22}]},{"ifname":"eth1","addr_info":[]}]"#;

    #[test]
    fn the_default_route_chooses_unless_somebody_does() {
        let card = choose(LISTED, br#"[{"dst":"default","dev":"eth0"}]"#, None).unwrap();
        assert_eq!((card.name.as_str(), card.network()), ("eth0", Ipv4Addr::new(192, 168, 4, 0)));
        assert_eq!(choose(LISTED, b"[]", Some("eth0")).unwrap(), card);
        let refused = choose(LISTED, b"[]", None).unwrap_err();
        assert!(refused.to_string().contains("is not known"), "{refused:#}");
        assert!(choose(LISTED, b"[]", Some("eth1")).is_err());
    }
}
