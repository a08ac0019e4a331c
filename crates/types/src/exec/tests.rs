//! Tests of the exec channel's frames.

use super::*;

fn start() -> Start {
    Start {
        arguments: vec!["sh".into(), "-c".into(), OsString::from_vec(vec![0xff, b' '])],
        environment: vec![("TERM".into(), "xterm".into()), ("EMPTY".into(), "".into())],
        user: "brant".into(),
        folder: "/tmp".into(),
        terminal: Some(TerminalSize { rows: 24, columns: 300 }),
    }
}

fn to_guest() -> Vec<ToGuest> {
    vec![
        ToGuest::Start(start()),
        ToGuest::Start(Start::default()),
        ToGuest::Input(Vec::new()),
        ToGuest::Input(b"abc".to_vec()),
        ToGuest::Resize(TerminalSize { rows: 1, columns: 65535 }),
        ToGuest::InputEnds,
    ]
}

fn to_host() -> Vec<ToHost> {
    vec![
        ToHost::Started(4_000_000),
        ToHost::Output(b"out".to_vec()),
        ToHost::Error(vec![0; 100]),
        ToHost::Ended(Ending::Exited(3)),
        ToHost::Ended(Ending::Killed(9)),
        ToHost::Refused { status: 127, reason: "no `x`".into() },
    ]
}

fn stream<M: Message>(nonce: [u8; 8], messages: &[M]) -> Vec<u8> {
    let mut bytes = preamble(nonce).to_vec();
    for message in messages {
        message.encode(&mut bytes);
    }
    bytes
}

fn contains_magic(bytes: &[u8]) -> bool {
    bytes.windows(MAGIC.len()).any(|window| window == MAGIC)
}

#[test]
fn messages_survive_the_stream_in_pieces_of_any_size() {
    for step in [1, 2, 7, 1000] {
        let (mut guest, mut arrivals) = (GuestDecoder::default(), Vec::new());
        for piece in stream([7; 8], &to_guest()).chunks(step) {
            guest.push(piece, &mut arrivals).unwrap();
        }
        let expected: Vec<Arrival> = std::iter::once(Arrival::Client([7; 8]))
            .chain(to_guest().into_iter().map(Arrival::Message))
            .collect();
        assert_eq!(arrivals, expected);

        let (mut host, mut messages) = (HostDecoder::new([9; 8]), Vec::new());
        for piece in stream([9; 8], &to_host()).chunks(step) {
            host.push(piece, &mut messages).unwrap();
        }
        assert!(host.answered());
        assert_eq!(messages, to_host());
    }
}

#[test]
fn a_client_hears_nothing_that_was_said_to_another() {
    let mut bytes = stream([1; 8], &[ToHost::Output(b"for another".to_vec())]);
    bytes.truncate(bytes.len() - 3);
    bytes.extend(stream([2; 8], &[ToHost::Started(5)]));
    let (mut host, mut messages) = (HostDecoder::new([2; 8]), Vec::new());
    host.push(&bytes, &mut messages).unwrap();
    assert_eq!(messages, [ToHost::Started(5)]);
}

#[test]
fn a_new_client_is_noticed_in_the_middle_of_a_frame() {
    let mut cut = stream([1; 8], &[ToGuest::Input(vec![b'x'; 500])]);
    cut.truncate(100);
    // The next client's magic first completes the payload of the frame that was cut, then breaks its successor.
    let mut almost = stream([1; 8], &[ToGuest::Input(vec![b'x'; 500])]);
    almost.truncate(almost.len() - 5);
    for mut bytes in [cut, almost] {
        let (mut guest, mut arrivals) = (GuestDecoder::default(), Vec::new());
        bytes.extend(stream([2; 8], &[ToGuest::InputEnds]));
        for piece in bytes.chunks(3) {
            // The half-heard frame may be taken for an error first; the client must be found all the same.
            let _half_heard = guest.push(piece, &mut arrivals);
        }
        let tail = &arrivals[arrivals.len() - 2..];
        assert_eq!(tail, [Arrival::Client([2; 8]), Arrival::Message(ToGuest::InputEnds)]);
    }
}

#[test]
fn the_magic_in_a_payload_is_no_new_client() {
    let mut payload = b"BBRANTEX1BRANTEX1".to_vec();
    payload.extend(vec![b'-'; MAX_PIECE - payload.len() - 4]);
    payload.extend(MAGIC);
    let message = ToGuest::Input(payload);
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    assert!(!contains_magic(&bytes));
    let (mut guest, mut arrivals) = (GuestDecoder::default(), Vec::new());
    guest.push(&preamble([3; 8]), &mut arrivals).unwrap();
    guest.push(&bytes, &mut arrivals).unwrap();
    assert_eq!(arrivals, [Arrival::Client([3; 8]), Arrival::Message(message)]);
}

#[test]
fn frames_without_bound_or_meaning_are_refused_and_the_next_client_is_served() {
    let bad: [(&[u8], FrameError); 6] = [
        (&[99, 0, 0, 0, 0, 0], FrameError::Kind(99)),
        (&[2, 0, 1, 128, 0, 0], FrameError::Length(MAX_PIECE + 1)),
        (&[2, 2, 0, 0, 0, 0], FrameError::Malformed(2)),
        (&[3, 0, 1, 0, 0, 0, 7], FrameError::Malformed(3)),
        (&[1, 0, 4, 0, 0, 0, 255, 255, 255, 255], FrameError::Malformed(1)),
        (&[2, 1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0], FrameError::Malformed(3)),
    ];
    for (frame, error) in bad {
        let (mut guest, mut arrivals) = (GuestDecoder::default(), Vec::new());
        guest.push(&preamble([1; 8]), &mut arrivals).unwrap();
        assert_eq!(guest.push(frame, &mut arrivals), Err(error));
        guest.push(b"anything", &mut arrivals).unwrap();
        guest.push(&preamble([2; 8]), &mut arrivals).unwrap();
        assert_eq!(arrivals, [Arrival::Client([1; 8]), Arrival::Client([2; 8])]);
    }
}

#[test]
fn a_message_cannot_grow_for_ever() {
    let (mut guest, mut arrivals) = (GuestDecoder::default(), Vec::new());
    guest.push(&preamble([1; 8]), &mut arrivals).unwrap();
    let piece = [&[2, 1, 0, 128, 0, 0][..], &vec![0; MAX_PIECE]].concat();
    let refused = (0..=MAX_MESSAGE / MAX_PIECE).find_map(|_| guest.push(&piece, &mut arrivals).err());
    assert_eq!(refused, Some(FrameError::Length(MAX_MESSAGE + MAX_PIECE)));
}

#[test]
fn strings_with_a_nul_are_no_start() {
    let mut body = start();
    body.arguments.push(OsString::from_vec(vec![b'a', 0]));
    let (kind, bytes) = ToGuest::Start(body).to_parts();
    assert_eq!(ToGuest::from_parts(kind, &bytes), Err(FrameError::Malformed(1)));
}

#[test]
fn endings_have_the_status_that_a_shell_shows() {
    assert_eq!(Ending::Exited(7).status(), 7);
    assert_eq!(Ending::Killed(15).status(), 143);
}

#[path = "../../../../fuzz/damage.rs"]
mod damage;

#[test]
fn no_damaged_stream_harms_a_decoder() {
    let mut whole = preamble([1; 8]).to_vec();
    let start = Start {
        arguments: vec!["sh".into(), "-c".into()],
        environment: vec![("A".into(), "b".into())],
        terminal: Some(TerminalSize { rows: 24, columns: 80 }),
        ..Start::default()
    };
    for message in [ToGuest::Start(start), ToGuest::Input(vec![7; 40]), ToGuest::InputEnds] {
        message.encode(&mut whole);
    }
    ToHost::Refused { status: 127, reason: "no such program".to_owned() }.encode(&mut whole);
    damage::damaged(&whole, 20_000, |bytes| {
        let (mut arrivals, mut messages) = (Vec::new(), Vec::new());
        let _refused = GuestDecoder::default().push(bytes, &mut arrivals);
        let _refused = HostDecoder::new([1; 8]).push(bytes, &mut messages);
        assert!(arrivals.len() + messages.len() <= bytes.len());
    });
}
