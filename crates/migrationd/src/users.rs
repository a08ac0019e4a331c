//! The daemon's socket for users: one JSON question, one JSON answer, a line each.
//!
//! The kernel says who asks. An owner sees and moves his own processes, root all.

use crate::home::{Daemon, Stayed, move_away};
use crate::{doorman, history, inspect};
use anyhow::{Context, Result};
use brant_migration::balancer::least_loaded;
use brant_migration::obstacle::{Migratable, Obstacle};
use brant_types::agent::{NodeState, NodeView};
use brant_types::migration::{
    History, MIGRATIOND_SOCKET, MovedBy, ProcessList, Refused, UserAnswer, UserRequest,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// The longest question, bytes.
const MOST_ASKED: u64 = 4096;
/// How long a process that is just being moved may take to arrive.
const SETTLING: Duration = Duration::from_secs(30);
/// What a program that was just started may take until it is at work.
const STARTING: Duration = Duration::from_secs(2);
/// How often it is looked whether it has.
const AGAIN: Duration = Duration::from_millis(200);

/// Opens the socket.
///
/// # Errors
/// What the kernel said.
pub fn listen() -> Result<UnixListener> {
    let _left_by_another = std::fs::remove_file(MIGRATIOND_SOCKET);
    let listener = UnixListener::bind(MIGRATIOND_SOCKET)
        .with_context(|| format!("listening at `{MIGRATIOND_SOCKET}`"))?;
    std::fs::set_permissions(MIGRATIOND_SOCKET, std::fs::Permissions::from_mode(0o666))
        .context("opening the socket to all users")?;
    Ok(listener)
}

/// Answers users for as long as the program runs.
pub fn serve(daemon: &Daemon, listener: &UnixListener) {
    doorman::serve(listener, "user", |stream, uid| {
        if let Err(error) = talk(daemon, stream, uid) {
            tracing::debug!("a user went away: {error:#}");
        }
    });
}

fn talk(daemon: &Daemon, mut stream: UnixStream, uid: u32) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).context("setting up the conversation")?;
    let mut line = String::new();
    BufReader::new((&stream).take(MOST_ASKED)).read_line(&mut line).context("reading a question")?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => answer(daemon, uid, request),
        Err(error) => denied("question", format!("the question was not understood: {error}"), None),
    };
    let mut text = serde_json::to_vec(&answer).context("writing an answer")?;
    text.push(b'\n');
    stream.write_all(&text).context("sending an answer")
}

fn answer(daemon: &Daemon, uid: u32, request: UserRequest) -> UserAnswer {
    match request {
        UserRequest::Ps => {
            let mut processes = daemon.registry.list();
            processes.retain(|process| uid == 0 || process.uid == uid);
            UserAnswer::Processes(ProcessList { processes })
        }
        UserRequest::History => {
            let mut moves = history::read();
            moves.retain(|past| uid == 0 || past.uid == uid);
            UserAnswer::History(History { moves })
        }
        UserRequest::Why { pid } => match owned(uid, pid).map(|()| could_move(daemon, pid)) {
            Err(answer) => answer,
            Ok(Ok(unit)) => UserAnswer::CanMove {
                pid,
                members: unit.members.len(),
                sleeper: unit.members.iter().copied().find(|pid| inspect::sleeps_until_a_time(*pid)),
            },
            Ok(Err(obstacle)) => UserAnswer::Stayed(Stayed::from(obstacle).for_owner()),
        },
        UserRequest::Migrate { pid, node } => match owned(uid, pid) {
            Err(answer) => answer,
            Ok(()) => migrate(daemon, uid, pid, &node),
        },
    }
}

/// Whether the process can move, and there is a node that could take it.
fn could_move(daemon: &Daemon, pid: i32) -> Result<Migratable, Obstacle> {
    let migratable = inspect::migratable(pid)?;
    let view = daemon.node.view();
    let me = view.nodes.iter().find(|node| node.me);
    let takes = |other: &NodeView| {
        !other.me
            && other.state == NodeState::Alive
            && me.is_some_and(|me| other.cpu.include(me.cpu) && other.image_id == me.image_id)
    };
    if view.nodes.iter().any(takes) { Ok(migratable) } else { Err(Obstacle::NoNode) }
}

/// Moves it; what the balancer is just moving is moved on when it has arrived, and what passes is waited for.
fn migrate(daemon: &Daemon, uid: u32, pid: i32, node: &str) -> UserAnswer {
    let deadline = Instant::now() + SETTLING;
    loop {
        match attempt(daemon, pid, node) {
            Attempt::Over(answer) => return answer,
            Attempt::Unsettled(stayed) if Instant::now() > deadline => {
                return UserAnswer::Stayed(stayed.for_owner());
            }
            Attempt::Unsettled(_) => std::thread::sleep(AGAIN),
        }
        // The number may be somebody else's by now.
        if let Err(answer) = owned(uid, pid) {
            return answer;
        }
    }
}

/// What came of trying once.
enum Attempt {
    Over(UserAnswer),
    /// It is between two nodes.
    Unsettled(Stayed),
}

fn attempt(daemon: &Daemon, pid: i32, node: &str) -> Attempt {
    let to = match node {
        "home" => daemon.node.me().ok(),
        "balance" => {
            let resident_kib = inspect::resident_kib(&inspect::members(pid));
            least_loaded(&daemon.node.view(), resident_kib).cloned()
        }
        name => daemon.node.find(name),
    };
    let Some(to) = to else {
        let hint = Some("`brant nodes` lists them".to_owned());
        let what = format!("there is no living node `{node}` in this cluster");
        return Attempt::Over(denied("no_such_node", what, hint));
    };
    let is_there = daemon.registry.node_of(pid).map_or(to.me, |is_at| is_at == to.id);
    if is_there {
        return Attempt::Over(denied("same_node", format!("the process is on {} already", to.name), None));
    }
    Attempt::Over(match move_away(daemon, pid, to, MovedBy::Hand).recv() {
        Ok(Ok(record)) => UserAnswer::Moved(record),
        Ok(Err(stayed)) if passes(&stayed) => return Attempt::Unsettled(stayed),
        Ok(Err(stayed)) => UserAnswer::Stayed(stayed.for_owner()),
        Err(_) => denied(
            "daemon",
            "the move ended without an answer".to_owned(),
            Some(format!("look at {}", crate::system::own_log())),
        ),
    })
}

/// Whether the next moment may be another: it is just being moved, what others share with it is just changing, or a program that it has just started is not over its
/// first steps, as most read a file of `/proc` then.
fn passes(stayed: &Stayed) -> bool {
    match stayed {
        Stayed::Busy(_) | Stayed::Obstacle(Obstacle::Away(_) | Obstacle::Changing) => true,
        Stayed::Obstacle(Obstacle::Descendant { pid, .. }) => {
            inspect::summary(*pid).is_none_or(|descendant| descendant.is_younger_than(STARTING))
        }
        _ => false,
    }
}

fn owned(uid: u32, pid: i32) -> Result<(), UserAnswer> {
    match inspect::summary(pid) {
        None => Err(UserAnswer::Stayed(Stayed::from(Obstacle::NoSuchProcess(pid)).for_owner())),
        Some(summary) if uid == 0 || summary.uid == uid => Ok(()),
        Some(_) => Err(denied(
            "not_yours",
            format!("process {pid} belongs to somebody else"),
            Some("ask as its owner, or as root".to_owned()),
        )),
    }
}

fn denied(reason: &str, message: String, hint: Option<String>) -> UserAnswer {
    UserAnswer::Denied(Refused { reason: reason.to_owned(), message, hint })
}

/// A user's name by `/etc/passwd`, which is all that a static program may ask; else the number.
pub fn name_of(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let found = passwd.lines().find(|line| line.split(':').nth(2) == Some(&number));
    found.and_then(|line| line.split(':').next()).map_or(number.clone(), str::to_owned)
}
