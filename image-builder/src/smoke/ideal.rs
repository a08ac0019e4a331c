//! How fast equal jobs could be at best on machines that share this host's processors.

/// The machines, and what they run on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    /// Machines.
    pub(crate) nodes: u32,
    /// Virtual processors of each.
    pub(crate) cpus: u32,
    /// Processors of the host.
    pub(crate) processors: u32,
}

impl Host {
    /// The makespan of this many equal jobs on all machines, divided by that on one of them: the jobs are spread as
    /// evenly as they can be at once, moves cost nothing, and nobody moves again when a machine runs empty.
    pub(crate) fn ideal_ratio(self, jobs: u32) -> f64 {
        let spread: Vec<u32> =
            (0..self.nodes).map(|node| (jobs + self.nodes - 1 - node) / self.nodes).collect();
        self.makespan(&spread) / self.makespan(&[jobs])
    }

    /// In units of one job's time on a processor of its own.
    fn makespan(self, spread: &[u32]) -> f64 {
        // Jobs of a machine are equal, so they end together: from one such end to the next the speeds are constant.
        let mut left: Vec<(f64, f64)> =
            spread.iter().filter(|jobs| **jobs > 0).map(|jobs| (f64::from(*jobs), 1.0)).collect();
        let mut time = 0.0;
        while !left.is_empty() {
            let wanted: f64 = left.iter().map(|(jobs, _)| jobs.min(f64::from(self.cpus))).sum();
            let share = (f64::from(self.processors) / wanted).min(1.0);
            let speed = |jobs: f64| share * jobs.min(f64::from(self.cpus)) / jobs;
            let next = left.iter().map(|(jobs, work)| work / speed(*jobs)).fold(f64::INFINITY, f64::min);
            time += next;
            for (jobs, work) in &mut left {
                *work -= next * speed(*jobs);
            }
            left.retain(|(_, work)| *work > 1e-9);
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(nodes: u32, cpus: u32, processors: u32, jobs: u32) -> f64 {
        let ratio = Host { nodes, cpus, processors }.ideal_ratio(jobs);
        (ratio * 1000.0).round() / 1000.0
    }

    #[test]
    fn the_ratio_is_that_of_the_crowded_host() {
        assert_eq!(ratio(3, 1, 2, 4), 0.625);
        assert_eq!(ratio(3, 1, 1, 4), 1.0);
        assert_eq!(ratio(3, 1, 8, 4), 0.5);
        assert_eq!(ratio(4, 1, 4, 4), 0.25);
        assert_eq!(ratio(2, 2, 4, 4), 0.5);
        assert_eq!(ratio(1, 1, 2, 4), 1.0);
        assert_eq!(ratio(3, 1, 4, 1), 1.0);
    }
}
