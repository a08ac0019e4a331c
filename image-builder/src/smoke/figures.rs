//! What was measured, as a small table.

use crate::cluster::args::NodeName;
use crate::cluster::state::Plan;
use crate::smoke::SmokeArgs;
use crate::smoke::ideal::Host;
use crate::smoke::workload::JOBS;
use brant_types::migration::{MoveRecord, MovedBy};

/// The makespan aimed at, as a multiple of the ideal.
const AIM: f64 = 1.25;

/// What was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    machines: String,
    /// Each node's name on the host, its own name, and the seconds from its kernel's start until it had joined.
    pub(crate) joined: Vec<(NodeName, String, f64)>,
    /// Seconds that the four jobs took together on one node.
    pub(crate) unmoved_seconds: f64,
    /// Seconds that they took on the cluster.
    pub(crate) moved_seconds: f64,
    /// Every move, with what moved.
    pub(crate) moves: Vec<(String, MoveRecord)>,
}

impl Figures {
    /// Nothing is measured yet.
    pub(crate) fn new(plan: &Plan) -> Self {
        let Plan { nodes, firmware, boot, accelerator, .. } = plan;
        let machines = format!("{}, {firmware} from {boot}, {accelerator}", nodes.len());
        Self { machines, joined: Vec::new(), unmoved_seconds: 0.0, moved_seconds: 0.0, moves: Vec::new() }
    }

    /// The figures, one a line.
    pub(crate) fn table(&self, host: Host, args: &SmokeArgs) -> String {
        let mut rows = vec![("machines".to_owned(), self.machines.clone())];
        for (node, name, seconds) in &self.joined {
            rows.push((format!("kernel to joined, {node}"), format!("{seconds:.1} s ({name})")));
        }
        for (what, record) in &self.moves {
            let by = match record.by {
                MovedBy::Balancer => "balancer",
                MovedBy::Hand => "hand",
            };
            let steps: Vec<String> = record.steps.iter().map(|(name, ms)| format!("{name} {ms}")).collect();
            let (ms, to, kib) = (record.frozen_ms, &record.to, record.bytes / 1024);
            let value = format!("{ms} ms frozen, to {to} by {by}, {kib} KiB [{}]", steps.join(", "));
            rows.push((format!("move of {what}"), value));
        }
        let (ratio, ideal) = (self.moved_seconds / self.unmoved_seconds, host.ideal_ratio(JOBS));
        let verdict = if ratio <= ideal * AIM { "reached" } else { "missed" };
        rows.push(("makespan, one node".to_owned(), format!("{:.1} s", self.unmoved_seconds)));
        rows.push((format!("makespan, {} nodes", host.nodes), format!("{:.1} s", self.moved_seconds)));
        rows.push((
            "makespan ratio".to_owned(),
            format!(
                "{ratio:.2}; ideal on {} processors {ideal:.2}; aim {:.2}, {verdict}",
                host.processors,
                ideal * AIM
            ),
        ));
        rows.push(("jobs".to_owned(), format!("{JOBS} of about {} s", args.job_seconds)));
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        rows.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect::<Vec<_>>().join("\n")
    }
}
