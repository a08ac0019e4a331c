//! Letters between home and hosts: whatever they say, both machines take them, and stay as they must be.
#![no_main]

use brant_migration::protocol::SessionId;
use brant_migration::session::home::{self, Home, Stay};
use brant_migration::session::host::{self, Host};
use brant_migration::session::letter::{FromHome, FromHost, Incarnation, Letter, Mail, Order};
use brant_migration::session::relay::{End, Packet};
use brant_migration::session::{Settings, Time};
use brant_types::node::NodeId;
use libfuzzer_sys::fuzz_target;

const SESSION: SessionId = SessionId(1);

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings::default();
    let (mut to_host, mut to_home) = (Vec::new(), Vec::new());
    let mut home = Home::new(Incarnation(1), settings);
    let stay = Stay { session: SESSION, node: NodeId::from([1; 8]) };
    let _begun = home.move_to(Time::ZERO, stay, &mut to_home);
    let asks = Mail::new(SESSION, Incarnation(1)).write(FromHome { order: Order::Prepare, echo: None });
    let mut host = Host::asked(Time::ZERO, asks, Incarnation(2), settings, &mut to_host);
    let mut relay = End::<u8>::default();
    let mut rest = bytes;
    let mut now = Time::ZERO;
    while let Ok((letter, after)) = postcard::take_from_bytes::<Letter<FromHost>>(rest) {
        home.step(now, home::Event::Letter(letter), &mut to_home);
        rest = after;
        now += settings.word_every;
    }
    while let Ok((letter, after)) = postcard::take_from_bytes::<Letter<FromHome>>(rest) {
        host.step(now, host::Event::Letter(letter), &mut to_host);
        rest = after;
        now += settings.word_every;
    }
    while let Ok((packet, after)) = postcard::take_from_bytes::<Packet<u8>>(rest) {
        relay.say(0);
        relay.take(now, packet, &mut Vec::<u8>::new());
        relay.packet(now);
        rest = after;
    }
    // Nobody but home's own record makes a host run anything: it was never told that an image had come.
    assert!(!host.is_running());
});
