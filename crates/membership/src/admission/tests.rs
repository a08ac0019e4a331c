//! A member, an applicant, and whoever is in between.

use super::*;
use brant_types::secret::ClusterSecret;
use std::net::SocketAddrV6;

fn address(n: u16) -> SocketAddrV6 {
    SocketAddrV6::new([0xfe80, 0, 0, 0, 0, 0, 0, n].into(), 1, 0, 2)
}

fn admitted() -> Admitted {
    Admitted { cluster: "lab".to_owned(), secret: ClusterSecret::from_bytes([7; 32]) }
}

/// Both ends, after the member has heard the applicant ask.
fn both() -> (Admissions, Applicant) {
    let (mut applicant, shown) = Applicant::new(NodeFacts::sample(1), [1; 32], Duration::ZERO);
    assert!(matches!(&shown[..], [Wants::Show(code)] if code == applicant.code()));
    let mut member = Admissions::new(admitted());
    let asks = applicant.tick(Duration::ZERO, [0; 32]);
    let [Wants::Beacon(datagram)] = &asks[..] else { panic!("{asks:?}") };
    member.datagram(Duration::ZERO, address(1), datagram);
    assert_eq!(member.applicants().count(), 1);
    (member, applicant)
}

fn sent(wants: &[Wants]) -> Vec<u8> {
    match wants.first() {
        Some(Wants::Send { datagram, .. }) => datagram.clone(),
        other => panic!("nothing was sent: {other:?}"),
    }
}

#[test]
fn the_right_code_admits_and_tells_both() {
    let (mut member, mut applicant) = both();
    let code = Code::typed(&applicant.code().to_string()).unwrap();
    let now = Duration::from_secs(1);
    let (id, to, begin) = member.begin(now, "node-1", &code, [9; 32]).unwrap();
    assert_eq!((id, to), (NodeFacts::sample(1).id, address(1)));
    assert_eq!(member.begin(now, "node-1", &code, [9; 32]).unwrap_err(), Refusal::UnderWay);
    let reply = sent(&applicant.datagram(now, address(2), &begin, [3; 32]));
    assert!(reply.len() <= begin.len(), "an answer of {} to {}", reply.len(), begin.len());
    // Heard twice, it says the same.
    assert_eq!(sent(&applicant.datagram(now, address(2), &begin, [4; 32])), reply);
    let follows = member.datagram(now, address(1), &reply);
    assert_eq!(follows.ended, []);
    let (_, sealed) = &follows.send[0];
    let wants = applicant.datagram(now, address(2), sealed, [5; 32]);
    assert_eq!(wants.last(), Some(&Wants::Join(admitted())));
    let follows = member.datagram(now, address(1), &sent(&wants));
    assert_eq!(follows.ended, [(id, Ended::Admitted)]);
    assert_eq!((member.next_tick(), member.applicants().count()), (None, 0));
}

#[test]
fn a_wrong_code_gets_nothing_and_is_good_for_one_guess() {
    let (mut member, mut applicant) = both();
    let shown = applicant.code().clone();
    let wrong = Code::typed("0000 0000").unwrap();
    assert_ne!(wrong, shown);
    let (id, _, begin) = member.begin(Duration::ZERO, "node-1", &wrong, [9; 32]).unwrap();
    let reply = sent(&applicant.datagram(Duration::ZERO, address(2), &begin, [3; 32]));
    let follows = member.datagram(Duration::ZERO, address(1), &reply);
    assert_eq!((follows.send, follows.ended), (vec![], vec![(id, Ended::WrongCode)]));
    // Another guess has to wait, and is against another code then.
    let (_, _, second) = member.begin(Duration::ZERO, "node-1", &shown, [8; 32]).unwrap();
    assert_eq!(applicant.datagram(Duration::from_secs(1), address(2), &second, [3; 32]), []);
    let wants = applicant.tick(ATTEMPT, [6; 32]);
    assert!(wants.iter().any(|want| matches!(want, Wants::Show(code) if *code != shown)));
    assert_ne!(applicant.code(), &shown);
}

#[test]
fn nobody_in_between_can_change_who_is_admitted_or_to_what() {
    let (mut member, mut applicant) = both();
    let code = applicant.code().clone();
    // Another key under the same name: the exchange is bound to the key.
    let other = Word::Asks(NodeFacts { name: "node-1".to_owned(), ..NodeFacts::sample(2) }).write();
    member.datagram(Duration::ZERO, address(3), &other);
    assert_eq!(member.begin(Duration::ZERO, "node-1", &code, [9; 32]).unwrap_err(), Refusal::SeveralAsk);
    let by_id = NodeFacts::sample(1).id.to_string();
    let (_, _, begin) = member.begin(Duration::ZERO, &by_id, &code, [9; 32]).unwrap();
    let reply = sent(&applicant.datagram(Duration::ZERO, address(2), &begin, [3; 32]));
    let (_, sealed) = member.datagram(Duration::ZERO, address(1), &reply).send.remove(0);
    for at in MAGIC.len()..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let wants = applicant.datagram(Duration::ZERO, address(2), &changed, [5; 32]);
        assert!(!wants.iter().any(|want| matches!(want, Wants::Join(_))), "byte {at}");
    }
    // An identity that is not the key's is not listed.
    let stolen = Word::Asks(NodeFacts { id: NodeFacts::sample(3).id, ..NodeFacts::sample(4) }).write();
    member.datagram(Duration::ZERO, address(3), &stolen);
    assert_eq!(member.applicants().count(), 2);
}

#[test]
fn what_is_lost_is_said_again_and_what_takes_too_long_ends() {
    let (mut member, _) = both();
    let code = Code::typed("1234-5678").unwrap();
    let (id, _, begin) = member.begin(Duration::ZERO, "node-1", &code, [9; 32]).unwrap();
    assert_eq!(member.tick(AGAIN), Follows { send: vec![(address(1), begin)], ended: vec![] });
    assert_eq!(member.tick(ATTEMPT), Follows { send: vec![], ended: vec![(id, Ended::NoAnswer)] });
    member.tick(Duration::from_secs(60));
    assert_eq!(member.applicants().count(), 0);
}

#[test]
fn a_flood_is_bounded_and_nonsense_is_nothing() {
    let mut member = Admissions::new(admitted());
    for n in 0..200 {
        member.datagram(Duration::ZERO, address(1), &Word::Asks(NodeFacts::sample(n)).write());
    }
    assert_eq!(member.applicants().count(), 16);
    for nonsense in [&b"BRNA"[..], b"BRNA\x01", b"BRNA\x01\xff\xff\xff", b"BRNA\x02\0"] {
        assert_eq!(member.datagram(Duration::ZERO, address(1), nonsense), Follows::default());
    }
    for bad in ["", "1234567", "123456789", "1234-567a"] {
        assert_eq!(Code::typed(bad), None, "{bad}");
    }
}
