//! Addresses that a person has given: `ip=` on the kernel's command line. Pure.
//!
//! ```text
//! ip=ADDRESS:[SERVER]:[GATEWAY]:MASK:[NAME]:[LINK]:none[:NAMESERVER[:NAMESERVER]]
//! ```
//! As the kernel's documentation has it (`nfsroot.txt`); the mask may be a length (`24`), as dracut takes it. What does not end
//! the search for an address by `none`, `off` or `static` is no such address: pxelinux tells of DHCP's in the same way.

use super::dhcp::{Lease, Route, prefix_of};
use brant_types::boot::FixedAddress;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The address that this value of `ip=` gives; none where it gives none, and `Err` where it should and is wrong.
pub(crate) fn parse(text: &str) -> Result<Option<FixedAddress>, ()> {
    let fields: Vec<&str> = text.split(':').collect();
    let field = |at: usize| fields.get(at).copied().filter(|text| !text.is_empty());
    if !field(6).is_some_and(|how| ["none", "off", "static"].contains(&how)) {
        return Ok(None);
    }
    let address = |at: usize| field(at).map(|text| text.parse::<Ipv4Addr>().map_err(drop)).transpose();
    let prefix = match field(3).ok_or(())? {
        mask if mask.contains('.') => prefix_of(mask.parse().map_err(drop)?).ok_or(())?,
        length => length.parse().ok().filter(|length| (1..=32).contains(length)).ok_or(())?,
    };
    Ok(Some(FixedAddress {
        link: field(5).map(str::to_owned),
        address: address(0)?.ok_or(())?,
        prefix,
        gateway: address(2)?,
        name_servers: [address(7)?, address(8)?].into_iter().flatten().collect(),
    }))
}

/// The same as a lease that never ends.
pub(super) fn as_lease(fixed: &FixedAddress) -> Lease {
    let route = |gateway| Route { destination: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway: Some(gateway) };
    Lease {
        address: fixed.address,
        prefix: fixed.prefix,
        server: Ipv4Addr::UNSPECIFIED,
        renew_after: Duration::MAX,
        rebind_after: Duration::MAX,
        expires_after: Duration::MAX,
        routes: fixed.gateway.map(route).into_iter().collect(),
        name_servers: fixed.name_servers.clone(),
        domains: Vec::new(),
        time_servers: Vec::new(),
        host_name: None,
        mtu: None,
        seeds: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_the_kernel_documents_it() {
        let full =
            parse("10.0.0.9::10.0.0.1:255.255.255.0:attic:eth1:none:10.0.0.2:10.0.0.3").unwrap().unwrap();
        assert_eq!((full.address, full.prefix), (Ipv4Addr::new(10, 0, 0, 9), 24));
        assert_eq!((full.link.as_deref(), full.gateway), (Some("eth1"), Some(Ipv4Addr::new(10, 0, 0, 1))));
        assert_eq!(full.name_servers.len(), 2);
        assert_eq!(as_lease(&full).routes.len(), 1);
        let short = parse("10.0.0.9:::16:::off").unwrap().unwrap();
        assert_eq!((short.prefix, short.gateway, short.link), (16, None, None));
    }

    #[test]
    fn what_dhcp_has_given_is_none_and_nonsense_is_wrong() {
        for other in ["10.0.0.9:10.0.0.1:10.0.0.1:255.255.255.0", "dhcp", "", "::::::dhcp"] {
            assert_eq!(parse(other), Ok(None), "{other}");
        }
        for wrong in [
            "::::::none",
            "10.0.0.9:::::eth0:none",
            "10.0.0.9:::255.0.255.0:::none",
            "x:::24:::none",
            "10.0.0.9::y:24:::none",
            "10.0.0.9:::0:::none",
        ] {
            assert_eq!(parse(wrong), Err(()), "{wrong}");
        }
    }
}
