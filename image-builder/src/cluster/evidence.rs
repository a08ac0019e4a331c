//! What may help to understand why a test failed, once the machines are gone: what Brant says, its logs, the consoles.

use crate::cluster::node::{Node, ROOT};
use crate::cluster::state::Cluster;

/// How much of each console and log is shown.
const TAIL_LINES: usize = 30;

/// Titles, each with what was found below it.
#[derive(Debug, Default)]
pub(crate) struct Evidence(String);

impl Evidence {
    /// Of every node, whether it still answers or not.
    pub(crate) fn of(nodes: &[Node], cluster: &Cluster) -> Self {
        let logs = format!(
            "tail -n {TAIL_LINES} /run/brant/log/*.log || journalctl -n {TAIL_LINES} --no-pager -u 'brant-*'"
        );
        let processes = format!("brant ps --all | tail -n {TAIL_LINES}");
        let moves = format!("brant history | tail -n {TAIL_LINES}");
        let kernel = format!("dmesg | tail -n {TAIL_LINES}");
        let mut evidence = Self::default();
        for node in nodes {
            if let Some(ended) = cluster.ended(node.name) {
                evidence.add(&format!("{}: its machine has ended", node.name), &ended);
            }
            for command in ["brant nodes", &processes, &moves, "free -m; uptime", &logs, &kernel] {
                evidence.ask(node, command);
            }
            let console = cluster.console_log(node.name).tail(TAIL_LINES);
            evidence.add(&format!("{}: console", node.name), &console);
        }
        // At the end, for of what CI has printed often only that is kept.
        for node in nodes {
            if let Some(panic) = cluster.console_log(node.name).panic() {
                evidence.add(&format!("{}: its kernel has panicked", node.name), &panic);
            }
        }
        evidence
    }

    /// The end of something that may be long.
    pub(crate) fn add_end(&mut self, title: &str, content: &str) {
        let lines: Vec<&str> = content.lines().collect();
        self.add(title, &lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"));
    }

    /// What a command says, or why it could not be asked.
    pub(crate) fn ask(&mut self, node: &Node, command: &str) {
        let said = node.shell(ROOT, command).unwrap_or_else(|error| format!("{error:#}"));
        self.add(&format!("{}: {command}", node.name), &said);
    }

    /// Something else.
    pub(crate) fn add(&mut self, title: &str, content: &str) {
        self.0.push_str(&format!("--- {title} ---\n{}\n", content.trim_end()));
    }

    /// Shows it, beside the progress; not to who has pressed Ctrl-C.
    pub(crate) fn show(&self) {
        if crate::interrupt::received().is_none() {
            eprint!("{}", self.0);
        }
    }
}
