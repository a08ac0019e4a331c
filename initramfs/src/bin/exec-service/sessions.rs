//! Starting sessions: whose they are, what they find around them, and the control group each one lives in.

use crate::session::Session;
use brant_sys::cgroup::Cgroup;
use brant_sys::child::{ChildError, Identity, Tool};
use brant_sys::pty::{Pty, WindowSize, set_window_size};
use brant_types::account::{Account, group_number};
use brant_types::exec::Start;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a session was not started; nothing ran.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The exit status that a shell would show.
    pub(crate) status: u8,
    /// Why, for people.
    pub(crate) reason: String,
}

impl Refusal {
    fn new(doing: &str, error: &dyn std::error::Error) -> Self {
        let mut reason = format!("{doing}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            reason.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self { status: 126, reason }
    }

    fn because(reason: String) -> Self {
        Self { status: 126, reason }
    }
}

/// All that sessions have in common.
pub(crate) struct Sessions {
    group: Option<Cgroup>,
    /// Held from the making of a control group until its session is in it: an empty one would be swept away.
    starting: Mutex<()>,
}

impl Sessions {
    /// Sessions get control groups below this folder, or none.
    pub(crate) fn new(group: Option<PathBuf>) -> Self {
        Self { group: group.map(Cgroup::at), starting: Mutex::new(()) }
    }

    /// Starts one session.
    pub(crate) fn start(&self, start: &Start) -> Result<Session, Refusal> {
        let read = |path| {
            fs::read_to_string(path).map_err(|error| Refusal::new(&format!("reading `{path}`"), &error))
        };
        let group_file = read("/etc/group")?;
        let user = if start.user.is_empty() { "root" } else { &start.user };
        let account = Account::find(&read("/etc/passwd")?, &group_file, user)
            .ok_or_else(|| Refusal::because(format!("there is no user `{user}`")))?;
        let through = Through::of(&account);
        let tool = environment(command(start, &account, through), start, &account);
        let tool = tool.cwd(folder(start, &account)?);
        let tool = if through == Through::Su { tool } else { identity(tool, &account)? };

        let _others_wait = self.starting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let group = self.group.as_ref().map(make_group).transpose();
        let group = group.map_err(|error| Refusal::new("making the session's control group", &error))?;
        let tool = match &group {
            Some((_, processes)) => {
                tool.in_cgroup(processes.try_clone().map_err(|error| Refusal::new("sharing a file", &error))?)
            }
            None => tool,
        };
        let group = group.map(|(group, _)| group);
        let started = match start.terminal {
            Some(size) => {
                let size = WindowSize { rows: size.rows, columns: size.columns };
                let terminal_group = group_number(&group_file, "tty").unwrap_or(account.gid);
                on_terminal((tool, through), size, &account, terminal_group, group.clone())
            }
            None => on_pipes(tool, group.clone()),
        };
        if let (Err(_), Some(group)) = (&started, &group) {
            let _empty_or_swept_later = group.remove();
        }
        started
    }
}

fn on_terminal(
    (tool, through): (Tool, Through),
    size: WindowSize,
    account: &Account,
    terminal_group: u32,
    group: Option<Cgroup>,
) -> Result<Session, Refusal> {
    let opening = |error: io::Error| Refusal::new("opening a terminal", &error);
    let pty = Pty::open().map_err(opening)?;
    set_window_size(&pty.master, size).map_err(opening)?;
    if rustix::process::geteuid().is_root() {
        pty.give_to(account.uid, terminal_group).map_err(opening)?;
    }
    let tool = match through {
        Through::Nothing => pty.attach(tool),
        // The terminal is for the shell behind it, which the kernel tells of its end then.
        Through::Su => pty.attach_streams(tool).map(Tool::new_session_without_terminal),
    };
    let running = tool.map_err(opening)?.spawn().map_err(|error| not_started(&error))?;
    let Pty { master, slave: _only_the_session_holds_it } = pty;
    Session::on_terminal(running.child, master, group).map_err(opening)
}

fn on_pipes(tool: Tool, group: Option<Cgroup>) -> Result<Session, Refusal> {
    let tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).new_session();
    let running = tool.spawn().map_err(|error| not_started(&error))?;
    Session::on_pipes(running.child, group).map_err(|error| Refusal::new("setting up pipes", &error))
}

/// 127 for what is not there, 126 for what cannot be run, as shells have it.
fn not_started(error: &ChildError) -> Refusal {
    let missing =
        matches!(error, ChildError::Start { source, .. } if source.kind() == io::ErrorKind::NotFound);
    Refusal { status: if missing { 127 } else { 126 }, ..Refusal::new("running the command", error) }
}

/// What logind is told of comes through `su`, which makes a session by PAM and gives back the command's status.
const SU: [&str; 3] = ["/usr/bin/su", "--preserve-environment", "--shell=/bin/sh"];
/// What `su` starts: the program, or the program as the leader of a session with the terminal.
const SU_STARTS: [&str; 2] =
    ["--session-command=exec \"$0\" \"$@\"", "--session-command=exec setsid --ctty \"$0\" \"$@\""];

fn command(start: &Start, account: &Account, through: Through) -> Tool {
    let login_shell = [account.shell.clone().into_os_string(), "-l".into()];
    let (program, arguments) = start.arguments.split_first().unwrap_or((&login_shell[0], &login_shell[1..]));
    let tool = match through {
        Through::Nothing => Tool::new(program),
        Through::Su => {
            let starts = SU_STARTS[usize::from(start.terminal.is_some())];
            Tool::new(SU[0]).args(&SU[1..]).args([starts, "--"]).arg(&account.name).arg(program)
        }
    };
    tool.args(arguments).outlives_parent()
}

/// How a session gets to be its user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    /// We make it so.
    Nothing,
    /// Where systemd runs, as any other way in does it.
    Su,
}

impl Through {
    fn of(account: &Account) -> Self {
        let systemd = Path::new("/run/systemd/system").is_dir();
        if systemd && account.uid != 0 { Self::Su } else { Self::Nothing }
    }
}

fn environment(tool: Tool, start: &Start, account: &Account) -> Tool {
    let mut tool = tool
        .env_clear()
        .env("HOME", &account.home)
        .env("LANG", "C.UTF-8")
        .env("LOGNAME", &account.name)
        .env("PATH", PATH)
        .env("SHELL", &account.shell)
        .env("USER", &account.name);
    if start.terminal.is_some() {
        tool = tool.env("TERM", "linux");
    }
    start.environment.iter().fold(tool, |tool, (name, value)| tool.env(name, value))
}

fn folder(start: &Start, account: &Account) -> Result<PathBuf, Refusal> {
    if start.folder.is_empty() {
        return Ok(if account.home.is_dir() { account.home.clone() } else { PathBuf::from("/") });
    }
    let folder = Path::new(&start.folder);
    if folder.is_dir() {
        Ok(folder.to_owned())
    } else {
        Err(Refusal::because(format!("there is no folder `{}`", folder.display())))
    }
}

fn identity(tool: Tool, account: &Account) -> Result<Tool, Refusal> {
    let own = rustix::process::geteuid();
    if own.is_root() {
        return Ok(tool.identity(Identity {
            uid: account.uid,
            gid: account.gid,
            groups: account.groups.clone(),
        }));
    }
    if own.as_raw() == account.uid {
        return Ok(tool);
    }
    Err(Refusal::because(format!("only root can start a session of `{}`", account.name)))
}

/// A new control group for a session, and its list of processes, open for writing.
fn make_group(sessions: &Cgroup) -> io::Result<(Cgroup, File)> {
    fs::create_dir_all(sessions.path())?;
    sweep(sessions);
    let mut number = 1;
    let group = loop {
        let group = sessions.child(&format!("exec-{number}"));
        match fs::create_dir(group.path()) {
            Ok(()) => break group,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    let processes = OpenOptions::new().write(true).open(group.path().join("cgroup.procs"))?;
    Ok((group, processes))
}

/// Removes the groups of sessions whose last background process has ended meanwhile.
fn sweep(sessions: &Cgroup) {
    for name in sessions.children().unwrap_or_default() {
        if name.starts_with("exec-") {
            let _still_in_use = sessions.child(&name).remove();
        }
    }
}
