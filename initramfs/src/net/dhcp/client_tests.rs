//! The client against servers that answer, refuse, fall silent and come late.

use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn lease(server: Ipv4Addr) -> Lease {
    Lease {
        address: ADDRESS,
        prefix: 24,
        server,
        renew_after: seconds(1000),
        rebind_after: seconds(1750),
        expires_after: seconds(2000),
        routes: Vec::new(),
        name_servers: Vec::new(),
        domains: Vec::new(),
        time_servers: Vec::new(),
        host_name: None,
        mtu: None,
        seeds: Vec::new(),
    }
}

fn reply(client: &Client, server: Ipv4Addr, kind: ReplyKind) -> Reply {
    Reply { transaction: client.transaction, server: Some(server), kind }
}

fn sent(actions: &[Action]) -> (Outgoing, Destination) {
    match actions {
        [.., Action::Send(message, destination)] => (message.clone(), *destination),
        other => panic!("nothing was sent: {other:?}"),
    }
}

/// A client bound at second 0.
fn bound() -> Client {
    let mut client = Client::new(5, None);
    client.link_up(Duration::ZERO);
    let offer = reply(&client, SERVER, ReplyKind::Offer(lease(SERVER)));
    client.on_reply(Duration::ZERO, offer);
    let ack = reply(&client, SERVER, ReplyKind::Ack(lease(SERVER)));
    assert_eq!(client.on_reply(Duration::ZERO, ack), [Action::Configure(lease(SERVER))]);
    client
}

#[test]
fn an_offer_is_requested_and_the_ack_configures() {
    let mut client = Client::new(5, None);
    let (discover, to) = sent(&client.link_up(Duration::ZERO));
    assert!(!discover.request && to == Destination::Broadcast);
    let offer = reply(&client, SERVER, ReplyKind::Offer(lease(SERVER)));
    let (request, to) = sent(&client.on_reply(seconds(1), offer));
    assert!(request.request && to == Destination::Broadcast);
    assert_eq!((request.wanted, request.server, request.own_address), (Some(ADDRESS), Some(SERVER), None));
    let ack = reply(&client, SERVER, ReplyKind::Ack(lease(SERVER)));
    assert_eq!(client.on_reply(seconds(2), ack), [Action::Configure(lease(SERVER))]);
    assert_eq!(client.lease(), Some(&lease(SERVER)));
    // From the request (second 1), not from the answer.
    assert_eq!(client.deadline(), Some(seconds(1001)));
}

#[test]
fn silence_is_asked_again_and_again_at_most_once_a_minute() {
    let mut client = Client::new(5, None);
    client.link_up(Duration::ZERO);
    let mut last = Duration::ZERO;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let now = client.deadline().unwrap();
        assert!(!sent(&client.on_time(now)).0.request);
        waits.push(now - last);
        last = now;
    }
    assert!(waits[0] < Duration::from_millis(2500) && waits[11] >= seconds(51) && waits[11] <= seconds(77));
    assert_eq!(client.in_vain_for(last), Some(last));
}

#[test]
fn answers_to_others_and_late_answers_change_nothing() {
    let mut client = Client::new(5, None);
    client.link_up(Duration::ZERO);
    let mut strange = reply(&client, SERVER, ReplyKind::Offer(lease(SERVER)));
    strange.transaction ^= 1;
    assert_eq!(client.on_reply(Duration::ZERO, strange), []);
    let ack = reply(&client, SERVER, ReplyKind::Ack(lease(SERVER)));
    assert_eq!(client.on_reply(Duration::ZERO, ack), []);
    assert_eq!(client.lease(), None);
    assert!(client.deadline().is_some());
}

#[test]
fn the_second_of_two_servers_is_not_mixed_up_with_the_first() {
    let mut client = Client::new(5, None);
    client.link_up(Duration::ZERO);
    for server in [SERVER, OTHER] {
        let offer = reply(&client, server, ReplyKind::Offer(lease(server)));
        client.on_reply(Duration::ZERO, offer);
    }
    let refusal = reply(&client, OTHER, ReplyKind::Nak);
    assert_eq!(client.on_reply(Duration::ZERO, refusal), []);
}

#[test]
fn a_server_that_offers_and_then_falls_silent_is_given_up() {
    let mut client = Client::new(5, None);
    client.link_up(Duration::ZERO);
    let offer = reply(&client, SERVER, ReplyKind::Offer(lease(SERVER)));
    client.on_reply(Duration::ZERO, offer);
    for _ in 0..REQUESTS - 1 {
        let now = client.deadline().unwrap();
        assert!(sent(&client.on_time(now)).0.request);
    }
    let now = client.deadline().unwrap();
    assert!(!sent(&client.on_time(now)).0.request);
}

#[test]
fn a_refused_request_begins_anew_with_a_new_transaction() {
    let mut client = Client::new(5, None);
    let (first, _) = sent(&client.link_up(Duration::ZERO));
    let offer = reply(&client, SERVER, ReplyKind::Offer(lease(SERVER)));
    client.on_reply(Duration::ZERO, offer);
    let refusal = reply(&client, SERVER, ReplyKind::Nak);
    let (again, _) = sent(&client.on_reply(seconds(1), refusal));
    assert!(!again.request && again.transaction != first.transaction);
}

#[test]
fn a_lease_is_renewed_at_its_server_and_then_anywhere() {
    let mut client = bound();
    let (message, to) = sent(&client.on_time(seconds(1000)));
    assert_eq!(to, Destination::Unicast { from: ADDRESS, to: SERVER });
    assert_eq!((message.own_address, message.wanted, message.server), (Some(ADDRESS), None, None));
    // Half of the time that is left until T2, then T2 itself.
    assert_eq!(client.deadline(), Some(seconds(1375)));
    client.on_time(seconds(1375));
    let mut to = to;
    while client.deadline().unwrap() <= seconds(1750) {
        let now = client.deadline().unwrap();
        to = sent(&client.on_time(now)).1;
    }
    assert_eq!(to, Destination::Broadcast);
}

#[test]
fn a_renewed_lease_counts_from_its_request() {
    let mut client = bound();
    client.on_time(seconds(1000));
    let ack = reply(&client, SERVER, ReplyKind::Ack(lease(SERVER)));
    assert_eq!(client.on_reply(seconds(1003), ack), [Action::Configure(lease(SERVER))]);
    assert_eq!(client.deadline(), Some(seconds(2000)));
}

#[test]
fn a_lease_that_nobody_renews_ends_in_time() {
    let mut client = bound();
    loop {
        let now = client.deadline().unwrap();
        let actions = client.on_time(now);
        if actions.first() == Some(&Action::Deconfigure) {
            assert_eq!(now, seconds(2000));
            assert!(!sent(&actions).0.request);
            return;
        }
        assert!(now < seconds(2000));
    }
}

#[test]
fn a_refused_renewal_drops_the_address_at_once() {
    let mut client = bound();
    client.on_time(seconds(1000));
    let refusal = reply(&client, SERVER, ReplyKind::Nak);
    let actions = client.on_reply(seconds(1001), refusal);
    assert_eq!(actions[0], Action::Deconfigure);
    assert_eq!(client.lease(), None);
}

#[test]
fn a_cable_pulled_and_plugged_asks_whether_the_address_is_still_good() {
    let mut client = bound();
    client.link_down();
    assert!(client.lease().is_some());
    let (message, to) = sent(&client.link_up(seconds(50)));
    assert!(message.request && to == Destination::Broadcast);
    assert_eq!((message.wanted, message.own_address, message.server), (Some(ADDRESS), None, None));
    let refusal = reply(&client, OTHER, ReplyKind::Nak);
    assert_eq!(client.on_reply(seconds(51), refusal)[0], Action::Deconfigure);
}

#[test]
fn without_a_link_nothing_is_asked() {
    let mut client = Client::new(5, None);
    client.link_up(Duration::ZERO);
    client.link_down();
    assert_eq!(client.deadline(), None);
    assert_eq!(client.on_time(seconds(100)), []);
    assert_eq!(client.in_vain_for(seconds(100)), None);
}

#[test]
fn the_address_of_an_earlier_boot_is_asked_for_first() {
    let mut client = Client::new(5, Some(ADDRESS));
    let (request, to) = sent(&client.link_up(Duration::ZERO));
    assert!(request.request && to == Destination::Broadcast);
    assert_eq!((request.wanted, request.server, request.own_address), (Some(ADDRESS), None, None));
    // What is offered now was not asked for, and another address is not that one.
    let other = Lease { address: Ipv4Addr::new(10, 0, 0, 77), ..lease(SERVER) };
    for kind in [ReplyKind::Offer(lease(SERVER)), ReplyKind::Ack(other)] {
        let reply = reply(&client, SERVER, kind);
        assert_eq!(client.on_reply(Duration::ZERO, reply), []);
    }
    let ack = reply(&client, SERVER, ReplyKind::Ack(lease(SERVER)));
    assert_eq!(client.on_reply(Duration::ZERO, ack), [Action::Configure(lease(SERVER))]);
}

#[test]
fn where_that_is_refused_or_nobody_answers_any_is_taken() {
    let mut client = Client::new(5, Some(ADDRESS));
    client.link_up(Duration::ZERO);
    let nak = reply(&client, SERVER, ReplyKind::Nak);
    let (discover, _) = sent(&client.on_reply(Duration::ZERO, nak));
    assert!(!discover.request && discover.wanted.is_none());

    let mut client = Client::new(5, Some(ADDRESS));
    client.link_up(Duration::ZERO);
    let mut asked = 1;
    let discovers_at = loop {
        let now = client.deadline().unwrap();
        if !sent(&client.on_time(now)).0.request {
            break now;
        }
        asked += 1;
    };
    assert_eq!(asked, REBOOTS);
    assert!(discovers_at < seconds(10));
}
