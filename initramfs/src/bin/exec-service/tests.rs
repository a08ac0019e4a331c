//! The service and the workstation's client against each other, over a socket in place of a virtio port.

use crate::port::talk;
use crate::sessions::Sessions;
use brant_qemu::exec::{Channel, ExecError, Output, run};
use brant_types::exec::{Ending, Start, TerminalSize, ToGuest, ToHost};
use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A machine's folder whose first port is served by a thread, one client after the other.
fn machine() -> TempDir {
    let folder = TempDir::new().unwrap();
    let listener = UnixListener::bind(folder.path().join("exec.0")).unwrap();
    thread::spawn(move || {
        let sessions = Sessions::new(None);
        for stream in listener.incoming() {
            talk(&stream.unwrap().into(), &sessions).unwrap();
        }
    });
    folder
}

fn own_user() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

fn shell(script: &str) -> Start {
    let arguments = ["sh", "-c", script].map(OsString::from).to_vec();
    Start { arguments, user: own_user(), folder: "/".into(), ..Start::default() }
}

fn run_shell(script: &str, input: &[u8]) -> Output {
    run(machine().path(), shell(script), input, PATIENCE).unwrap()
}

/// A command that runs, and what it has said so far.
struct Command {
    channel: Channel,
    pid: u32,
    said: Vec<u8>,
    ending: Option<Ending>,
}

impl Command {
    fn start(machine: &Path, start: Start) -> Self {
        let mut channel = Channel::open(machine, PATIENCE).unwrap();
        channel.start(start).unwrap();
        let mut command = Self { channel, pid: 0, said: Vec::new(), ending: None };
        command.listen(|command| command.pid != 0);
        command
    }

    fn listen(&mut self, until: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        while !until(self) && self.ending.is_none() {
            assert!(since.elapsed() < PATIENCE, "only heard {:?}", String::from_utf8_lossy(&self.said));
            for message in self.channel.turn(None, Some(Duration::from_millis(100))).unwrap().messages {
                match message {
                    ToHost::Started(pid) => self.pid = pid,
                    ToHost::Output(bytes) => self.said.extend(bytes),
                    ToHost::Ended(ending) => self.ending = Some(ending),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// What it says until that ends so, or the command does.
    fn hear(&mut self, end: &str) -> String {
        self.listen(|command| !end.is_empty() && command.said.ends_with(end.as_bytes()));
        String::from_utf8(std::mem::take(&mut self.said)).unwrap()
    }

    fn type_in(&mut self, keys: &[u8]) {
        self.channel.queue(&ToGuest::Input(keys.to_vec()));
    }
}

fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

fn ends_within(pid: u32, time: Duration) -> bool {
    let since = Instant::now();
    while lives(pid) {
        if since.elapsed() > time {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn output_and_error_stay_apart_and_the_status_comes_back() {
    let output = run_shell("echo out; echo err >&2; exit 7", b"");
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
    assert_eq!(output.ending, Ending::Exited(7));
}

#[test]
fn a_signal_that_ended_the_command_comes_back() {
    assert_eq!(run_shell("kill -TERM $$", b"").ending, Ending::Killed(15));
}

#[test]
fn megabytes_pass_through_unchanged_and_the_input_ends() {
    let input: Vec<u8> =
        (0..3_000_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let output = run_shell("cat; echo done >&2", &input);
    assert!(output.stdout == input, "{} bytes of {} came back", output.stdout.len(), input.len());
    assert_eq!(output.stderr, b"done\n");
}

#[test]
fn a_command_that_reads_nothing_ends_all_the_same() {
    assert_eq!(run_shell("exit 3", &vec![b'x'; 2_000_000]).ending, Ending::Exited(3));
}

#[test]
fn a_login_environment_is_set_and_added_to() {
    let environment = vec![("EXTRA".into(), "a b".into())];
    let start =
        Start { environment, ..shell("echo $HOME $USER $SHELL $PATH $EXTRA; umask; pwd; env | wc -l") };
    let said = run(machine().path(), start, b"", PATIENCE).unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let me = passwd.lines().find(|line| line.split(':').nth(2) == Some(&own_user())).unwrap();
    let fields: Vec<&str> = me.split(':').collect();
    let first = said.lines().next().unwrap();
    assert!(first.starts_with(&format!("{} {} {} /usr/local", fields[5], fields[0], fields[6])), "{first}");
    assert!(first.ends_with(" a b"), "{first}");
    assert!(said.contains("\n/\n"), "{said}");
}

#[test]
fn what_cannot_be_started_is_refused_with_a_reason() {
    let command = |program: &str| Start { arguments: vec![program.into()], ..shell("") };
    let refusals = [
        (command("no-such-program"), 127, "no-such-program"),
        (command("/etc/passwd"), 126, "Permission denied"),
        (Start { user: "nobody-at-all".into(), ..shell("true") }, 126, "no user `nobody-at-all`"),
        (Start { folder: "/no/such".into(), ..shell("true") }, 126, "no folder `/no/such`"),
    ];
    for (start, expected, words) in refusals {
        match run(machine().path(), start, b"", PATIENCE) {
            Err(ExecError::Refused { status, reason }) => {
                assert_eq!(status, expected, "{reason}");
                assert!(reason.contains(words), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn background_processes_do_not_hold_the_session_open() {
    let since = Instant::now();
    let output = run_shell("setsid sleep 20 & echo started", b"");
    assert_eq!(output.stdout, b"started\n");
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_terminal_has_a_size_that_follows_the_clients_and_shows_all_before_the_end() {
    let machine = machine();
    let terminal = Some(TerminalSize { rows: 40, columns: 132 });
    let script = "stty size; read answer; stty size; echo $TERM; seq 20000; exit 5";
    let environment = vec![("TERM".into(), "vt220".into())];
    let mut command = Command::start(machine.path(), Start { terminal, environment, ..shell(script) });
    assert_eq!(command.hear("132\r\n"), "40 132\r\n");
    command.channel.queue(&ToGuest::Resize(TerminalSize { rows: 50, columns: 80 }));
    command.type_in(b"yes\r");
    let said = command.hear("");
    assert!(said.starts_with("yes\r\n50 80\r\nvt220\r\n1\r\n2\r\n"), "{}", &said[..said.len().min(100)]);
    assert!(said.ends_with("\r\n19999\r\n20000\r\n"), "{}", &said[said.len() - 20..]);
    assert_eq!(command.ending, Some(Ending::Exited(5)));
}

#[test]
fn control_c_at_a_terminal_interrupts_and_the_end_of_input_ends_a_reader() {
    let machine = machine();
    let terminal = Some(TerminalSize { rows: 24, columns: 80 });
    let script =
        "trap 'echo interrupted; go=1' INT; echo ready; while [ -z \"$go\" ]; do sleep 0.1; done; cat";
    let mut command = Command::start(machine.path(), Start { terminal, ..shell(script) });
    assert_eq!(command.hear("ready\r\n"), "ready\r\n");
    command.type_in(&[3]);
    assert_eq!(command.hear("interrupted\r\n"), "^Cinterrupted\r\n");
    command.channel.queue(&ToGuest::InputEnds);
    assert_eq!(command.hear(""), "");
    assert_eq!(command.ending, Some(Ending::Exited(0)));
}

#[test]
fn a_client_that_vanishes_takes_its_session_along_but_not_the_detached() {
    let machine = machine();
    let script = "setsid sleep 61 & a=$!; nohup sleep 62 >/dev/null 2>&1 & b=$!; \
                  sh -c 'trap \"\" TERM; sleep 63; :' & c=$!; sleep 0.3; echo $a $b $c; sleep 64";
    let mut command = Command::start(machine.path(), shell(script));
    let said = command.hear("\n");
    let pids: Vec<u32> = said.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    let [setsid, nohup, attached] = pids[..] else { panic!("{said}") };
    let leader = command.pid;
    drop(command);
    assert!(ends_within(leader, Duration::from_secs(10)));
    assert!(ends_within(attached, Duration::from_secs(10)));
    sleep(Duration::from_millis(2500));
    assert!(lives(setsid));
    assert!(lives(nohup));
    for pid in [setsid, nohup] {
        brant_sys::signal::send(i32::try_from(pid).unwrap(), 9).unwrap();
    }
}

#[test]
fn a_port_serves_one_client_after_the_other() {
    let machine = machine();
    for word in ["first", "second"] {
        let output = run(machine.path(), shell(&format!("echo {word}")), b"", PATIENCE).unwrap();
        assert_eq!(output.stdout, format!("{word}\n").into_bytes());
    }
}

#[test]
fn a_machine_that_is_off_or_silent_is_told_apart() {
    let folder = TempDir::new().unwrap();
    let off = run(folder.path(), shell("true"), b"", PATIENCE).unwrap_err();
    assert!(matches!(off, ExecError::Off(_)), "{off:?}");
    let _listener = UnixListener::bind(folder.path().join("exec.0")).unwrap();
    let silent = run(folder.path(), shell("true"), b"", Duration::from_millis(300)).unwrap_err();
    assert!(matches!(silent, ExecError::Silent(_)), "{silent:?}");
}

#[test]
fn a_command_that_is_too_long_is_refused_before_it_is_sent() {
    let long = Start { arguments: vec!["echo".into(), "x".repeat(1 << 20).into()], ..shell("") };
    let refused = run(machine().path(), long, b"", PATIENCE).unwrap_err();
    assert!(matches!(refused, ExecError::TooLong(_)), "{refused:?}");
}

#[test]
fn a_client_that_cannot_be_understood_is_told_so() {
    let machine = machine();
    let mut command = Channel::open(machine.path(), PATIENCE).unwrap();
    // Longer than any message may be.
    command.queue(&ToGuest::Input(vec![0; 2 << 20]));
    let since = Instant::now();
    loop {
        assert!(since.elapsed() < PATIENCE);
        let messages = command.turn(None, Some(Duration::from_millis(100))).unwrap().messages;
        if let Some(ToHost::Refused { reason, .. }) = messages.first() {
            assert!(reason.contains("too long"), "{reason}");
            return;
        }
    }
}
