//! What was measured, as a small table.

use crate::cluster::args::NodeName;
use crate::cluster::state::Plan;
use crate::smoke::SmokeArgs;
use crate::smoke::ideal::Host;
use crate::smoke::workload::JOBS;
use brant_types::migration::{MoveRecord, MovedBy};

/// The makespan aimed at, as a multiple of the ideal.
const AIM: f64 = 1.25;

/// From the start of the first job to the end of the last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Makespan {
    /// Seconds.
    pub(crate) seconds: f64,
    /// The share of the host's processors that was lost to things outside the cluster.
    others: f64,
}

impl Makespan {
    /// What was measured.
    pub(crate) fn new(seconds: f64, others: f64) -> Self {
        Self { seconds, others }
    }

    fn told(self) -> String {
        format!("{:.1} s, the host was busy with other things by {:.0} %", self.seconds, self.others * 100.0)
    }
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    machines: String,
    /// Each node's name on the host, its own name, and the seconds from its kernel's start until it had joined.
    pub(crate) joined: Vec<(NodeName, String, f64)>,
    /// Of the four jobs together on one node.
    pub(crate) unmoved: Makespan,
    /// Of the four jobs on the cluster.
    pub(crate) moved: Makespan,
    /// Every move, with what moved.
    pub(crate) moves: Vec<(String, MoveRecord)>,
}

impl Figures {
    /// Nothing is measured yet.
    pub(crate) fn new(plan: &Plan) -> Self {
        let Plan { nodes, firmware, boot, accelerator, .. } = plan;
        let machines = format!("{}, {firmware} from {boot}, {accelerator}", nodes.len());
        Self {
            machines,
            joined: Vec::new(),
            unmoved: Makespan::default(),
            moved: Makespan::default(),
            moves: Vec::new(),
        }
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
        let (ratio, ideal) = (self.moved.seconds / self.unmoved.seconds, host.ideal_ratio(JOBS));
        let verdict = if ratio <= ideal * AIM { "reached" } else { "missed" };
        rows.push(("makespan, one node".to_owned(), self.unmoved.told()));
        rows.push((format!("makespan, {} nodes", host.nodes), self.moved.told()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::node::NodeId;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SmokeArgs,
    }

    #[test]
    fn the_figures_are_a_table() {
        let record = MoveRecord {
            pid: 7,
            to: "blue-tit".to_owned(),
            to_id: "00112233445566ff".parse::<NodeId>().unwrap(),
            by: MovedBy::Balancer,
            frozen_ms: 900,
            bytes: 4096,
            steps: vec![("dumped".to_owned(), 300), ("sent".to_owned(), 600)],
            rounds: Vec::new(),
        };
        let figures = Figures {
            machines: "3, BIOS from CD, emulation".to_owned(),
            joined: vec![("1".parse().unwrap(), "red-kite".to_owned(), 21.44)],
            unmoved: Makespan::new(240.0, 0.0),
            moved: Makespan::new(180.0, 0.126),
            moves: vec![("job 2".to_owned(), record)],
        };
        let host = Host { nodes: 3, cpus: 1, processors: 2 };
        let args = Line::parse_from(["smoke"]).args;
        assert_eq!(
            figures.table(host, &args),
            "machines                 3, BIOS from CD, emulation\n\
             kernel to joined, node1  21.4 s (red-kite)\n\
             move of job 2            900 ms frozen, to blue-tit by balancer, 4 KiB [dumped 300, sent 600]\n\
             makespan, one node       240.0 s, the host was busy with other things by 0 %\n\
             makespan, 3 nodes        180.0 s, the host was busy with other things by 13 %\n\
             makespan ratio           0.75; ideal on 2 processors 0.62; aim 0.78, reached\n\
             jobs                     4 of about 60 s"
        );
    }
}
