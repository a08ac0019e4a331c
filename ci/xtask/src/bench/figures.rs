//! What was measured, and the table of it.

use anyhow::{Context, Result};
use std::fmt;

/// One move.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moved {
    pub(super) frozen_ms: f64,
    /// Bytes a second of its first round.
    pub(super) first_rate: f64,
    /// By how much the worker was slower while it was copied, and in the 10 s after.
    pub(super) slowdown: Option<(f64, f64)>,
}

/// All of it; each kind as often as there were runs.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) small: Vec<f64>,
    pub(super) large: Vec<f64>,
    pub(super) plain: Vec<f64>,
    pub(super) precopy: Vec<f64>,
    pub(super) floor: Vec<f64>,
    pub(super) idle_rate: Vec<f64>,
    pub(super) stream_rate: Vec<f64>,
    pub(super) slowdown: Vec<(f64, f64)>,
    pub(super) deputy_kib: f64,
    pub(super) daemon_kib: f64,
}

impl Moved {
    /// Reads what `move.sh` prints.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let mut head = lines.next().context("the worker said nothing")?.split(' ');
        let mut number = || head.next().and_then(|word| word.parse::<f64>().ok());
        let pid = number().context("reading the worker's number")?;
        let asked = number().unwrap_or(0.0);
        let list = lines.next().context("`brant ps` said nothing")?;
        let list: serde_json::Value = serde_json::from_str(list).context("understanding `brant ps`")?;
        let processes = list["processes"].as_array().context("`brant ps` lists nothing")?;
        let record = processes
            .iter()
            .filter(|process| process["pid"].as_f64() == Some(pid))
            .find_map(|process| process["moves"].as_array()?.last())
            .context("the worker did not move")?;
        let first = &record["rounds"][0];
        let rate = |bytes: f64, ms: f64| 1000.0 * bytes / ms.max(1.0);
        Ok(Self {
            frozen_ms: record["frozen_ms"].as_f64().context("reading how long it stood still")?,
            first_rate: rate(first["bytes"].as_f64().unwrap_or(0.0), first["ms"].as_f64().unwrap_or(1.0)),
            slowdown: slowdown(asked, lines),
        })
    }
}

/// From the worker's lines (time and work done): the longest gap between two is where it stood still.
fn slowdown<'a>(asked: f64, lines: impl Iterator<Item = &'a str>) -> Option<(f64, f64)> {
    let points: Vec<(f64, f64)> = lines
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(time, work)| Some((time.parse().ok()?, work.parse().ok()?)))
        .collect();
    let (before, after) = points
        .windows(2)
        .max_by(|one, other| (one[1].0 - one[0].0).total_cmp(&(other[1].0 - other[0].0)))
        .map(|gap| (gap[0].0, gap[1].0))?;
    let speed = |from: f64, to: f64| {
        let inside: Vec<_> = points.iter().filter(|point| (from..=to).contains(&point.0)).collect();
        let (first, last) = (inside.first()?, inside.last()?);
        (last.0 > first.0).then(|| (last.1 - first.1) / (last.0 - first.0))
    };
    let normal = speed(0.0, asked)?;
    Some((normal / speed(asked, before)?, normal / speed(after, after + 10.0)?))
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (while_copied, after): (Vec<f64>, Vec<f64>) = self.slowdown.iter().copied().unzip();
        let large = median(&self.large);
        let ratio = |values: &[f64]| large / median(values);
        writeln!(f, "medians of {}, milliseconds that the process stood still:", self.large.len())?;
        for (what, values) in [
            ("16 MiB", &self.small),
            ("large", &self.large),
            ("large, by hand: dump, copy, restore", &self.plain),
            ("large, by hand: two rounds, page server", &self.precopy),
            ("1 MiB, by hand: local dump and restore", &self.floor),
        ] {
            writeln!(f, "  {what:<44} {:>9.0}", median(values))?;
        }
        writeln!(f, "ratio                                              measured   aim")?;
        for (what, value, aim) in [
            ("1  large ÷ 16 MiB", ratio(&self.small), "1.5 or less"),
            ("2  large ÷ dump, copy, restore", ratio(&self.plain), "0.1 or less"),
            ("2  large ÷ two rounds, page server", ratio(&self.precopy), "0.4 or less"),
            ("3  large ÷ local floor", ratio(&self.floor), "2.0 or less"),
            (
                "4  first round, idle ÷ TCP stream",
                median(&self.idle_rate) / median(&self.stream_rate),
                "0.85 or more",
            ),
            ("5  slowdown while it is copied", median(&while_copied), ""),
            ("5  slowdown in the 10 s after", median(&after), ""),
            ("6  private memory of a deputy, KiB", self.deputy_kib, "400 or less"),
            ("6  private memory of migrationd, KiB", self.daemon_kib, "15360 or less"),
        ] {
            writeln!(f, "  {what:<44} {value:>12.2}   {aim}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_and_its_slowdown_are_read_from_what_the_script_prints() {
        let record =
            r#"{"processes":[{"pid":7,"moves":[{"frozen_ms":1500,"rounds":[{"bytes":4096,"ms":2}]}]}]}"#;
        let worker = "ready\n1 100\n2 200\n3 250\n4 300\n9 310\n10 410\n11 510";
        let moved = Moved::parse(&format!("7 2.0\n{record}\n{worker}")).unwrap();
        assert_eq!(moved, Moved { frozen_ms: 1500.0, first_rate: 2_048_000.0, slowdown: Some((2.0, 1.0)) });
    }

    #[test]
    fn a_worker_that_stayed_is_an_error() {
        assert!(Moved::parse("7 2.0\n{\"processes\":[{\"pid\":8,\"moves\":[]}]}\n").is_err());
    }
}
