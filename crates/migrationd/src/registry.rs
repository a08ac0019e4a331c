//! What is known of the processes that move: one thread owns it, everybody else sends it messages.

use crate::home::Event;
use brant_migration::protocol::SessionId;
use brant_types::migration::{ProcessState, ProcessView};
use brant_types::node::NodeId;
use std::collections::HashMap;
use std::sync::mpsc;

/// How many processes that have ended, or stayed, are remembered.
const REMEMBERED: usize = 200;

/// A change to what is shown of one session.
type Change = Box<dyn FnOnce(&mut ProcessView) + Send>;

enum Message {
    Begin(SessionId, Box<ProcessView>, Vec<i32>, mpsc::Sender<bool>),
    Change(SessionId, Change),
    List(mpsc::Sender<Vec<ProcessView>>),
    TakesOrders(SessionId, mpsc::Sender<Event>),
    KeeperOf(i32, mpsc::Sender<Option<mpsc::Sender<Event>>>),
}

/// A way to the registry.
#[derive(Clone)]
pub struct Registry(mpsc::Sender<Message>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// Starts the registry's thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start() -> std::io::Result<Self> {
        let (to, inbox) = mpsc::channel();
        std::thread::Builder::new().name("registry".to_owned()).spawn(move || own(&inbox))?;
        Ok(Self(to))
    }

    /// Begins a session; false when this process is in one that has not ended, or one of its kin is: its ancestors, and
    /// those that move with it. Two moves that both copy a process would each clear what the kernel notes for the other.
    pub fn begin(&self, session: SessionId, view: ProcessView, kin: Vec<i32>) -> bool {
        let (answer, wait) = mpsc::channel();
        let sent = self.0.send(Message::Begin(session, Box::new(view), kin, answer)).is_ok();
        sent && wait.recv().unwrap_or(false)
    }

    /// Changes what is shown of a session.
    pub fn change(&self, session: SessionId, change: impl FnOnce(&mut ProcessView) + Send + 'static) {
        // The registry lives as long as the program.
        let _ending = self.0.send(Message::Change(session, Box::new(change)));
    }

    /// From now on, who wants something of this session's process tells its keeper.
    pub(crate) fn take_orders(&self, session: SessionId, keeper: mpsc::Sender<Event>) {
        let _ending = self.0.send(Message::TakesOrders(session, keeper));
    }

    /// The keeper of a process of this node that moves or is away.
    pub(crate) fn keeper_of(&self, pid: i32) -> Option<mpsc::Sender<Event>> {
        let (answer, wait) = mpsc::channel();
        let _ending = self.0.send(Message::KeeperOf(pid, answer));
        wait.recv().ok().flatten()
    }

    /// The node where a process of this node runs, if it is away from its own place here.
    pub fn node_of(&self, pid: i32) -> Option<NodeId> {
        let away = self.list().into_iter().find(|view| view.pid == pid && view.state == ProcessState::Away);
        away.and_then(|view| view.moves.last().map(|last| last.to_id))
    }

    /// Everything, in the order of process ids.
    pub fn list(&self) -> Vec<ProcessView> {
        let (answer, wait) = mpsc::channel();
        let _ending = self.0.send(Message::List(answer));
        wait.recv().unwrap_or_default()
    }
}

fn own(inbox: &mpsc::Receiver<Message>) {
    let mut sessions: Vec<(SessionId, ProcessView)> = Vec::new();
    let mut keepers: HashMap<SessionId, mpsc::Sender<Event>> = HashMap::new();
    for message in inbox {
        match message {
            Message::Begin(session, view, kin, answer) => {
                let related = |other: i32| other == view.pid || kin.contains(&other);
                let busy = sessions
                    .iter()
                    .any(|(_, other)| related(other.pid) && other.home == view.home && !is_over(other));
                if !busy {
                    forget_the_oldest(&mut sessions);
                    sessions.push((session, *view));
                }
                let _gone = answer.send(!busy);
            }
            Message::Change(session, change) => {
                if let Some((_, view)) = sessions.iter_mut().find(|(id, _)| *id == session) {
                    change(view);
                    if is_over(view) {
                        keepers.remove(&session);
                    }
                }
            }
            Message::TakesOrders(session, keeper) => {
                keepers.insert(session, keeper);
            }
            Message::KeeperOf(pid, answer) => {
                let kept = sessions.iter().filter(|(_, view)| view.pid == pid && !is_over(view));
                let keeper = kept.filter_map(|(session, _)| keepers.get(session)).next_back();
                let _gone = answer.send(keeper.cloned());
            }
            Message::List(answer) => {
                let mut views: Vec<ProcessView> = sessions.iter().map(|(_, view)| view.clone()).collect();
                views.sort_by_key(|view| view.pid);
                let _gone = answer.send(views);
            }
        }
    }
}

fn is_over(view: &ProcessView) -> bool {
    matches!(view.state, ProcessState::Ended | ProcessState::Stayed)
}

fn forget_the_oldest(sessions: &mut Vec<(SessionId, ProcessView)>) {
    while sessions.iter().filter(|(_, view)| is_over(view)).count() >= REMEMBERED {
        if let Some(oldest) = sessions.iter().position(|(_, view)| is_over(view)) {
            sessions.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(pid: i32) -> ProcessView {
        ProcessView {
            pid,
            comm: "job".to_owned(),
            args: String::new(),
            user: "a".to_owned(),
            uid: 1000,
            node: "n".to_owned(),
            home: "n".to_owned(),
            state: ProcessState::Moving,
            cpu_seconds_home: 0.0,
            cpu_seconds_away: 0.0,
            moves: Vec::new(),
        }
    }

    #[test]
    fn a_process_is_in_one_session_at_a_time() {
        let registry = Registry::start().unwrap();
        assert!(registry.begin(SessionId(1), view(7), vec![]));
        assert!(!registry.begin(SessionId(2), view(7), vec![]));
        registry.change(SessionId(1), |view| view.state = ProcessState::Ended);
        assert!(registry.begin(SessionId(2), view(7), vec![]));
        assert_eq!(registry.list().len(), 2);
    }

    #[test]
    fn a_process_waits_while_its_kin_are_in_a_session() {
        let registry = Registry::start().unwrap();
        assert!(registry.begin(SessionId(1), view(8), vec![7]));
        assert!(!registry.begin(SessionId(2), view(7), vec![7, 8, 9]));
        assert!(registry.begin(SessionId(3), view(11), vec![7]));
        registry.change(SessionId(1), |view| view.state = ProcessState::Stayed);
        assert!(registry.begin(SessionId(4), view(7), vec![7, 8, 9]));
    }

    #[test]
    fn the_past_is_bounded() {
        let registry = Registry::start().unwrap();
        for n in 0..300 {
            let view = ProcessView { state: ProcessState::Stayed, ..view(1) };
            assert!(registry.begin(SessionId(n), view, vec![]));
        }
        assert_eq!(registry.list().len(), REMEMBERED);
    }
}
