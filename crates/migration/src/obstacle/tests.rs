//! The judge, obstacle by obstacle.

use super::facts::{Descriptor, Mapping, Nameless, Opened, OutsideEnds, ProcessFacts, Sharer, TreeFacts};
use super::judge;
use crate::protocol::SharedFile;
use crate::stream::{Direction, Home, Stream};
use std::collections::BTreeMap;

const GOES_ON: Sharer = Sharer { pid: 7, number: 1, waits: false };

fn plain(pid: i32) -> ProcessFacts {
    ProcessFacts {
        pid,
        comm: "job".to_owned(),
        uids: [1000; 3],
        in_session: true,
        session_leader: false,
        zombie: false,
        first_thread_gone: false,
        stopped: false,
        tracer: 0,
        seccomp: false,
        no_new_privileges: false,
        capabilities: 0,
        own_namespaces: true,
        wide: true,
        real_time: false,
        locks: false,
        locked_memory_kib: 0,
        own_root: true,
        strange_folder: None,
        descriptors: vec![
            Descriptor { number: 0, what: Opened::Terminal("/dev/pts/1".to_owned()) },
            Descriptor { number: 1, what: file(None, None) },
            Descriptor { number: 2, what: Opened::Terminal("/dev/pts/1".to_owned()) },
        ],
        mappings: Vec::new(),
        away: false,
        guest: false,
    }
}

fn file(shared: Option<Sharer>, deleted: Option<Nameless>) -> Opened {
    Opened::File { path: "/home/a/out".to_owned(), shared, only_writes: false, deleted }
}

fn pipe(inode: u64, writes: bool) -> Opened {
    Opened::Pipe { inode, writes, packets: false }
}

fn alone(facts: ProcessFacts) -> TreeFacts {
    TreeFacts { members: vec![facts], outside_pipes: BTreeMap::new() }
}

fn with(descriptors: &[Opened]) -> ProcessFacts {
    let mut facts = plain(500);
    let more = descriptors.iter().zip(3..);
    facts.descriptors.extend(more.map(|(what, number)| Descriptor { number, what: what.clone() }));
    facts
}

#[test]
fn a_plain_job_of_a_shell_can_move() {
    let can = judge(&alone(plain(500))).unwrap();
    assert_eq!((can.pid(), can.terminal.as_deref()), (500, Some("/dev/pts/1")));
    assert_eq!((can.members, can.streams), (vec![500], vec![]));
}

#[test]
fn each_obstacle_of_the_process_is_named() {
    type Spoil = fn(&mut ProcessFacts);
    let cases: [(Spoil, &str); 18] = [
        (|f| f.zombie = true, "zombie"),
        (|f| f.away = true, "away"),
        (|f| f.guest = true, "guest"),
        (|f| f.uids[1] = 0, "root"),
        (|f| f.in_session = false, "not_in_session"),
        (|f| f.session_leader = true, "session_leader"),
        (|f| f.first_thread_gone = true, "first_thread_gone"),
        (|f| f.tracer = 9, "traced"),
        (|f| f.seccomp = true, "seccomp"),
        (|f| f.no_new_privileges = true, "landlock"),
        (|f| f.capabilities = 1, "capabilities"),
        (|f| f.own_namespaces = false, "namespaces"),
        (|f| f.own_root = false, "changed_root"),
        (|f| f.wide = false, "32_bit"),
        (|f| f.real_time = true, "real_time"),
        (|f| f.locks = true, "locks"),
        (|f| f.locked_memory_kib = 4, "locked_memory"),
        (|f| f.strange_folder = Some("/run/user/1000".to_owned()), "folder"),
    ];
    for (spoil, name) in cases {
        let mut facts = plain(500);
        spoil(&mut facts);
        assert_eq!(judge(&alone(facts)).unwrap_err().name(), name);
    }
}

#[test]
fn each_obstacle_of_a_descriptor_is_named() {
    let big = Nameless { linked: false, kib: super::MOST_NAMELESS_KIB + 1 };
    let linked = Nameless { linked: true, kib: 1 };
    let path = || "/x".to_owned();
    let cases = [
        (Opened::Socket("internet".to_owned()), "socket"),
        (Opened::Pair { inside: false }, "local_socket"),
        (Opened::Terminal("/dev/pts/2".to_owned()), "two_terminals"),
        (Opened::ForeignMount(path()), "foreign_mount"),
        (Opened::IoUring, "io_uring"),
        (Opened::Watch, "file_watch"),
        (Opened::Device("/dev/fuse".to_owned()), "device"),
        (Opened::Other("anon_inode:[bpf]".to_owned()), "other"),
        (file(Some(GOES_ON), None), "shared_file"),
        (Opened::Memory { path: path(), shared_with: Some(7) }, "shared_file"),
        (Opened::Memory { path: "/dev/shm/out".to_owned(), shared_with: None }, "foreign_mount"),
        (Opened::EventLoop { shared_with: Some(7) }, "shared_file"),
        (Opened::Fifo { path: path(), shared_with: Some(7) }, "shared_file"),
        (file(None, Some(big)), "deleted_file"),
        (file(None, Some(linked)), "deleted_file"),
        (Opened::Pipe { inode: 5, writes: true, packets: true }, "packet_pipe"),
    ];
    for (what, name) in cases {
        assert_eq!(judge(&alone(with(&[what]))).unwrap_err().name(), name);
    }
}

#[test]
fn each_obstacle_of_a_mapping_is_named() {
    let cases = [
        (Mapping::SystemV, "system_v"),
        (Mapping::Shared { path: "/memfd:x".to_owned(), with: 7 }, "shared_memory"),
        (Mapping::ForeignMount("/run/x".to_owned()), "mapping"),
        (Mapping::Renamed("/dev/shm/x (deleted)".to_owned()), "named_semaphore"),
    ];
    for (mapping, name) in cases {
        let mut facts = plain(500);
        facts.mappings.push(mapping);
        assert_eq!(judge(&alone(facts)).unwrap_err().name(), name);
    }
}

#[test]
fn a_pipe_with_a_name_that_only_the_tree_has_open_is_told_to_the_target() {
    let fifo = Opened::Fifo { path: "/tmp/jobs".to_owned(), shared_with: None };
    let migratable = judge(&alone(with(&[fifo.clone(), fifo]))).unwrap();
    assert_eq!(migratable.named_pipes, ["/tmp/jobs"]);
}

#[test]
fn what_lives_inside_one_tree_is_no_obstacle() {
    let small = Nameless { linked: false, kib: 100 };
    let mut parent = with(&[pipe(5, false), Opened::Pair { inside: true }, file(None, Some(small))]);
    parent.mappings.push(Mapping::Named("/dev/shm/sum".to_owned()));
    let mut child = plain(501);
    child.descriptors.push(Descriptor { number: 4, what: pipe(5, true) });
    child.descriptors.push(Descriptor { number: 5, what: Opened::EventLoop { shared_with: None } });
    let mut ended = plain(502);
    ended.zombie = true;
    let tree = TreeFacts { members: vec![parent, child, ended], outside_pipes: BTreeMap::new() };
    let can = judge(&tree).unwrap();
    assert_eq!(
        (can.members, can.streams, can.named_memory),
        (vec![500, 501, 502], vec![], vec!["sum".to_owned()])
    );
}

#[test]
fn an_obstacle_of_a_descendant_says_whose_it_is() {
    let mut child = plain(501);
    child.locks = true;
    let tree = TreeFacts { members: vec![plain(500), child], outside_pipes: BTreeMap::new() };
    let obstacle = judge(&tree).unwrap_err();
    assert_eq!(obstacle.name(), "locks");
    assert!(obstacle.to_string().contains("501"), "{obstacle}");
}

#[test]
fn pipes_to_the_outside_are_streams_with_a_direction() {
    let outside = |reader, writer| OutsideEnds { reader, writer };
    let tree = TreeFacts {
        members: vec![with(&[pipe(5, false), pipe(6, true), pipe(7, false), pipe(8, true)])],
        outside_pipes: BTreeMap::from([
            (5, outside(None, Some(7))),
            (6, outside(Some(8), Some(9))),
            (7, outside(Some(8), Some(9))),
        ]),
    };
    let stream = |inode, direction, shared| Stream { home: Home::Pipe(inode), direction, shared };
    let expected = vec![
        stream(5, Direction::In, false),
        stream(6, Direction::Out, false),
        stream(7, Direction::In, true),
    ];
    assert_eq!(judge(&tree).unwrap().streams, expected);
    let both = TreeFacts {
        members: vec![with(&[pipe(5, false), pipe(5, true)])],
        outside_pipes: BTreeMap::from([(5, outside(Some(8), None))]),
    };
    assert_eq!(judge(&both).unwrap_err().sharer(), Some(8));
}

#[test]
fn an_open_file_that_only_waiting_ancestors_share_goes_along_and_is_remembered() {
    let mut facts = plain(500);
    facts.descriptors.truncate(1);
    facts
        .descriptors
        .push(Descriptor { number: 3, what: file(Some(Sharer { waits: true, ..GOES_ON }), None) });
    let can = judge(&alone(facts)).unwrap();
    assert_eq!(can.shared_files, [SharedFile { pid: 500, number: 3 }]);
}

#[test]
fn a_file_that_others_write_to_meanwhile_is_a_stream_unless_it_is_used_otherwise_too() {
    let log = |number| Opened::File {
        path: "/home/a/log".to_owned(),
        shared: Some(Sharer { number, ..GOES_ON }),
        only_writes: true,
        deleted: None,
    };
    let stream =
        Stream { home: Home::File("/home/a/log".to_owned()), direction: Direction::Out, shared: false };
    assert_eq!(judge(&alone(with(&[log(1), log(1)]))).unwrap().streams, [stream]);
    assert_eq!(judge(&alone(with(&[log(1), log(2)]))).unwrap_err().name(), "shared_file", "opened twice");
    let read =
        Opened::File { path: "/home/a/log".to_owned(), shared: None, only_writes: false, deleted: None };
    assert_eq!(judge(&alone(with(&[log(1), read]))).unwrap_err().name(), "shared_file", "read as well");
}
