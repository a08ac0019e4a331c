//! DHCP messages as bytes (RFC 2131, RFC 2132), with the `dhcproto` crate for the format. Pure.

use super::client::{Outgoing, Reply, ReplyKind};
use super::lease::{self, Lease, Route};
use brant_types::node::is_node_name;
use dhcproto::v4::{
    CLIENT_PORT, DhcpOption, DhcpOptions, Flags, HType, Message, MessageType, Opcode, OptionCode,
};
use dhcproto::{Decodable, Decoder, Encodable};
use std::net::Ipv4Addr;

const _: () = assert!(CLIENT_PORT == super::CLIENT_PORT);

/// Site option for the seeds of a cluster.
const SEEDS: u8 = 224;
/// The least that every host must take (RFC 791, RFC 2131); some servers ignore shorter messages.
const SHORTEST: usize = 300;
/// Smaller MTUs would switch IPv6 off on the link.
const LEAST_MTU: u16 = 1280;

/// Where options begin: behind the fixed fields and the magic cookie.
const OPTIONS_AT: usize = 240;
const PAD: u8 = 0;
const MESSAGE_TYPE: u8 = 53;
const END: u8 = 255;
/// The C library searches no more domains than these.
const MOST_DOMAINS: usize = 6;
/// More would not make the time better.
const MOST_TIME_SERVERS: usize = 4;
const WANTED: [u8; 14] = [1, 3, 6, 12, 15, 26, 42, 51, 54, 58, 59, 119, 121, SEEDS];

/// A message to a server.
pub(crate) fn encode(outgoing: &Outgoing, mac: [u8; 6], host_name: &str) -> Vec<u8> {
    let mut message = Message::default();
    message
        .set_opcode(Opcode::BootRequest)
        .set_htype(HType::Eth)
        .set_chaddr(&mac)
        .set_xid(outgoing.transaction)
        .set_secs(u16::try_from(outgoing.trying_for.as_secs()).unwrap_or(u16::MAX));
    // A link without an address can be reached by broadcast only, as far as some servers are concerned.
    if outgoing.own_address.is_none() {
        message.set_flags(Flags::default().set_broadcast());
    }
    if let Some(address) = outgoing.own_address {
        message.set_ciaddr(address);
    }
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(match outgoing.request {
        false => MessageType::Discover,
        true => MessageType::Request,
    }));
    let mut identifier = vec![1];
    identifier.extend(mac);
    options.insert(DhcpOption::ClientIdentifier(identifier));
    options.insert(DhcpOption::MaxMessageSize(1400));
    options.insert(DhcpOption::ClassIdentifier(b"brant".to_vec()));
    options.insert(DhcpOption::Hostname(host_name.to_owned()));
    options.insert(DhcpOption::ParameterRequestList(WANTED.map(OptionCode::from).to_vec()));
    if let Some(address) = outgoing.wanted {
        options.insert(DhcpOption::RequestedIpAddress(address));
    }
    if let Some(server) = outgoing.server {
        options.insert(DhcpOption::ServerIdentifier(server));
    }
    let mut bytes = message.to_vec().unwrap_or_else(|_| unreachable!("all our options are short"));
    bytes.resize(bytes.len().max(SHORTEST), 0);
    bytes
}

/// A server's answer to this link; `None` for anything else, or what makes no sense.
pub(crate) fn decode(bytes: &[u8], mac: [u8; 6]) -> Option<Reply> {
    let message = Message::decode(&mut Decoder::new(&only_wanted(bytes)?)).ok()?;
    if message.opcode() != Opcode::BootReply || message.hlen() != 6 || message.chaddr() != mac {
        return None;
    }
    let options = message.opts();
    let server = match options.get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
        _ => None,
    };
    let kind = match options.msg_type()? {
        MessageType::Offer => ReplyKind::Offer(lease_of(&message, server?)?),
        MessageType::Ack => ReplyKind::Ack(lease_of(&message, server?)?),
        MessageType::Nak => ReplyKind::Nak,
        _ => return None,
    };
    Some(Reply { transaction: message.xid(), server, kind })
}

/// The message without the options that were not asked for: the crate asserts the lengths of some of those, and what no
/// one reads need not be decoded. `None` where an option is longer than the message.
fn only_wanted(bytes: &[u8]) -> Option<Vec<u8>> {
    let (fixed, mut rest) = bytes.split_at_checked(OPTIONS_AT)?;
    let mut wanted = fixed.to_vec();
    loop {
        rest = match rest {
            [] | [END, ..] => break,
            [PAD, after @ ..] => after,
            [code, length, after @ ..] => {
                let (data, after) = after.split_at_checked(usize::from(*length))?;
                if *code == MESSAGE_TYPE || WANTED.contains(code) {
                    wanted.extend_from_slice(&[*code, *length]);
                    wanted.extend_from_slice(data);
                }
                after
            }
            [_] => return None,
        };
    }
    wanted.push(END);
    Some(wanted)
}

fn lease_of(message: &Message, server: Ipv4Addr) -> Option<Lease> {
    let address = message.yiaddr();
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast() {
        return None;
    }
    let options = message.opts();
    let seconds = |code| match options.get(code) {
        Some(DhcpOption::AddressLeaseTime(n) | DhcpOption::Renewal(n) | DhcpOption::Rebinding(n)) => Some(*n),
        _ => None,
    };
    let (renew_after, rebind_after, expires_after) = lease::times(
        seconds(OptionCode::AddressLeaseTime),
        seconds(OptionCode::Renewal),
        seconds(OptionCode::Rebinding),
    );
    let prefix = match options.get(OptionCode::SubnetMask) {
        Some(DhcpOption::SubnetMask(mask)) => lease::prefix_of(*mask).filter(|prefix| *prefix > 0),
        _ => None,
    };
    // A search list (RFC 3397) replaces the domain where both are there.
    let domains = match (options.get(OptionCode::DomainSearch), options.get(OptionCode::DomainName)) {
        (Some(DhcpOption::DomainSearch(names)), _) => {
            names.iter().take(MOST_DOMAINS).filter_map(|name| domain(&name.to_ascii())).collect()
        }
        (_, Some(DhcpOption::DomainName(name))) => domain(name).into_iter().collect(),
        _ => Vec::new(),
    };
    let time_servers = match options.get(OptionCode::NtpServers) {
        Some(DhcpOption::NtpServers(servers)) => servers.iter().take(MOST_TIME_SERVERS).copied().collect(),
        _ => Vec::new(),
    };
    let host_name = match options.get(OptionCode::Hostname) {
        Some(DhcpOption::Hostname(name)) => label(name),
        _ => None,
    };
    let name_servers = match options.get(OptionCode::DomainNameServer) {
        Some(DhcpOption::DomainNameServer(servers)) => servers.clone(),
        _ => Vec::new(),
    };
    let mtu = match options.get(OptionCode::InterfaceMtu) {
        Some(DhcpOption::InterfaceMtu(mtu)) if *mtu >= LEAST_MTU => Some(*mtu),
        _ => None,
    };
    let seeds = match options.get(OptionCode::from(SEEDS)) {
        Some(DhcpOption::Unknown(option)) => lease::seeds(option.data()),
        _ => Vec::new(),
    };
    Some(Lease {
        address,
        prefix: prefix.unwrap_or_else(|| lease::prefix_of_class(address)),
        server,
        renew_after,
        rebind_after,
        expires_after,
        routes: routes(options),
        name_servers,
        domains,
        time_servers,
        host_name,
        mtu,
        seeds,
    })
}

/// Classless routes (RFC 3442) replace the router option where both are there.
fn routes(options: &DhcpOptions) -> Vec<Route> {
    if let Some(DhcpOption::ClasslessStaticRoute(routes)) = options.get(OptionCode::ClasslessStaticRoute) {
        let routes = routes.iter().map(|(network, gateway)| Route {
            destination: network.trunc().addr(),
            prefix: network.prefix_len(),
            gateway: (!gateway.is_unspecified()).then_some(*gateway),
        });
        return routes.collect();
    }
    match options.get(OptionCode::Router) {
        Some(DhcpOption::Router(routers)) => routers
            .first()
            .map(|gateway| Route { destination: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway: Some(*gateway) })
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// The first label, if it may be a node's name; some servers append the domain.
fn label(name: &str) -> Option<String> {
    let label = name.trim_end_matches('\0').split('.').next()?.to_ascii_lowercase();
    is_node_name(&label).then_some(label)
}

/// The domain, if it may stand in `resolv.conf`: whatever a server says must not become another line there.
fn domain(name: &str) -> Option<String> {
    let name = name.trim_end_matches(['\0', '.']);
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    (plain && name.len() <= 253).then(|| name.to_owned())
}

#[cfg(test)]
#[path = "../../../../fuzz/damage.rs"]
mod damage;

#[cfg(test)]
mod tests {
    use super::*;
    use dhcproto::v4::UnknownOption;
    use std::time::Duration;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn answer(kind: MessageType, change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::default();
        message.set_opcode(Opcode::BootReply).set_htype(HType::Eth).set_chaddr(&MAC).set_xid(7);
        message.set_yiaddr(Ipv4Addr::new(10, 0, 0, 9));
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(SERVER));
        change(&mut message);
        message.to_vec().unwrap()
    }

    fn granted(bytes: &[u8]) -> Lease {
        match decode(bytes, MAC).unwrap().kind {
            ReplyKind::Offer(lease) | ReplyKind::Ack(lease) => lease,
            ReplyKind::Nak => panic!("refused"),
        }
    }

    #[test]
    fn a_search_list_replaces_the_domain_and_time_servers_are_few() {
        let lease = granted(&answer(MessageType::Ack, |message| {
            let options = message.opts_mut();
            options.insert(DhcpOption::DomainName("lab.example".to_owned()));
            options.insert(DhcpOption::NtpServers(vec![SERVER; 9]));
            // `a.example`, `b.example` with the first's end, and what may not stand in a file.
            let names = b"\x01a\x07example\x00\x01b\xc0\x02\x03x\ny\x00".to_vec();
            options.insert(DhcpOption::Unknown(UnknownOption::new(OptionCode::DomainSearch, names)));
        }));
        assert_eq!(lease.domains, ["a.example", "b.example"]);
        assert_eq!(lease.time_servers, [SERVER; MOST_TIME_SERVERS]);
    }

    #[test]
    fn an_offer_is_read_with_its_options() {
        let lease = granted(&answer(MessageType::Offer, |message| {
            let options = message.opts_mut();
            options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 240, 0)));
            options.insert(DhcpOption::Router(vec![SERVER, Ipv4Addr::new(10, 0, 0, 2)]));
            options.insert(DhcpOption::DomainNameServer(vec![SERVER]));
            options.insert(DhcpOption::DomainName("lab.example".to_owned()));
            options.insert(DhcpOption::AddressLeaseTime(600));
            options.insert(DhcpOption::InterfaceMtu(9000));
            options.insert(DhcpOption::Unknown(UnknownOption::new(
                OptionCode::from(SEEDS),
                b"10.0.0.7".to_vec(),
            )));
        }));
        assert_eq!((lease.address, lease.prefix, lease.server), (Ipv4Addr::new(10, 0, 0, 9), 20, SERVER));
        assert_eq!(
            lease.routes,
            [Route { destination: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway: Some(SERVER) }]
        );
        assert_eq!((lease.domains, lease.mtu), (vec!["lab.example".to_owned()], Some(9000)));
        assert_eq!(lease.expires_after, Duration::from_secs(600));
        assert_eq!(lease.seeds, ["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]);
    }

    #[test]
    fn a_network_without_router_and_name_server_is_normal() {
        let lease = granted(&answer(MessageType::Ack, |_| {}));
        assert!(lease.routes.is_empty() && lease.name_servers.is_empty());
        assert_eq!(lease.prefix, 8);
    }

    #[test]
    fn classless_routes_replace_the_router() {
        let lease = granted(&answer(MessageType::Ack, |message| {
            let options = message.opts_mut();
            options.insert(DhcpOption::Router(vec![SERVER]));
            let network = "192.168.5.0/24".parse().unwrap();
            options.insert(DhcpOption::ClasslessStaticRoute(vec![(network, Ipv4Addr::UNSPECIFIED)]));
        }));
        assert_eq!(
            lease.routes,
            [Route { destination: Ipv4Addr::new(192, 168, 5, 0), prefix: 24, gateway: None }]
        );
    }

    #[test]
    fn answers_for_others_and_nonsense_are_nobodys() {
        let bytes = answer(MessageType::Ack, |_| {});
        assert_eq!(decode(&bytes, [9; 6]), None);
        assert_eq!(decode(&bytes[..100], MAC), None);
        let for_everybody = answer(MessageType::Ack, |message| {
            message.set_yiaddr(Ipv4Addr::BROADCAST);
        });
        assert_eq!(decode(&for_everybody, MAC), None);
        assert_eq!(decode(&answer(MessageType::Discover, |_| {}), MAC), None);
    }

    #[test]
    fn a_domain_cannot_smuggle_lines_and_a_tiny_mtu_is_ignored() {
        let lease = granted(&answer(MessageType::Ack, |message| {
            message.opts_mut().insert(DhcpOption::DomainName("x\nnameserver 6.6.6.6".to_owned()));
            message.opts_mut().insert(DhcpOption::InterfaceMtu(68));
        }));
        assert_eq!((lease.domains, lease.mtu), (vec![], None));
    }

    #[test]
    fn a_host_name_is_one_label_or_none() {
        let names = [("Web-3", Some("web-3")), ("web.lab.example\0", Some("web")), ("a b", None), ("", None)];
        for (said, taken) in names.into_iter().chain([("localhost", None), ("x\n127.0.0.1 bank", None)]) {
            let lease = granted(&answer(MessageType::Ack, |message| {
                message.opts_mut().insert(DhcpOption::Hostname(said.to_owned()));
            }));
            assert_eq!(lease.host_name.as_deref(), taken, "{said:?}");
        }
    }

    #[test]
    fn a_discover_asks_for_a_broadcast_and_a_renewal_does_not() {
        let mut outgoing = Outgoing {
            request: false,
            transaction: 7,
            trying_for: Duration::from_secs(3),
            own_address: None,
            wanted: None,
            server: None,
        };
        let bytes = encode(&outgoing, MAC, "quiet-heron");
        let message = Message::decode(&mut Decoder::new(&bytes)).unwrap();
        assert!(message.flags().broadcast() && bytes.len() >= SHORTEST);
        assert_eq!((message.xid(), message.secs(), message.chaddr()), (7, 3, &MAC[..]));
        outgoing.own_address = Some(Ipv4Addr::new(10, 0, 0, 9));
        outgoing.request = true;
        let bytes = encode(&outgoing, MAC, "quiet-heron");
        let message = Message::decode(&mut Decoder::new(&bytes)).unwrap();
        assert!(!message.flags().broadcast());
        assert_eq!(message.opts().msg_type(), Some(MessageType::Request));
        assert!(message.opts().get(OptionCode::ServerIdentifier).is_none());
    }

    #[test]
    fn no_damaged_answer_harms_the_client() {
        let whole = answer(MessageType::Offer, |message| {
            message.opts_mut().insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 240, 0)));
            message.opts_mut().insert(DhcpOption::DomainName("lab.example".to_owned()));
            let seeds = UnknownOption::new(OptionCode::from(SEEDS), b"10.0.0.7".to_vec());
            message.opts_mut().insert(DhcpOption::Unknown(seeds));
        });
        // Without what stands before the options, which is nearly all of the message.
        let (head, options) = whole.split_at(240);
        damage::damaged(options, 20_000, |options| {
            if let Some(reply) = decode(&[head, options].concat(), MAC)
                && let ReplyKind::Offer(lease) | ReplyKind::Ack(lease) = reply.kind
            {
                assert!((1..=32).contains(&lease.prefix));
            }
        });
    }
}
