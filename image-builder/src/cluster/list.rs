//! `cluster list`: what runs on this host.

use crate::cluster::args::ListArgs;
use crate::cluster::state::{Cluster, Clusters};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::io::Write;

/// Lists clusters and nodes.
pub(crate) fn run(args: &ListArgs) -> Result<()> {
    let clusters = Clusters::find()?.all()?;
    let mut described = Vec::new();
    for cluster in &clusters {
        described.extend(describe(cluster)?);
    }
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&described).context("writing JSON")?)
    } else {
        table(&described)
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("writing the list")
        }
        _ => Ok(()),
    }
}

/// Nothing for a folder that never became a cluster.
fn describe(cluster: &Cluster) -> Result<Option<Value>> {
    let Some(plan) = cluster.plan()? else { return Ok(None) };
    let kept = cluster.keeper()?.is_some();
    let nodes: Vec<Value> = plan
        .nodes
        .iter()
        .map(|node| {
            let runs = kept && cluster.ended(node.name).is_none();
            json!({ "name": node.name, "state": if runs { "running" } else { "off" }, "mac": node.mac })
        })
        .collect();
    Ok(Some(json!({
        "name": plan.name, "iso": plan.iso, "firmware": plan.firmware, "boot": plan.boot,
        "accelerator": plan.accelerator, "dhcp": plan.dhcp, "nodes": nodes,
    })))
}

fn table(clusters: &[Value]) -> String {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or("?").to_owned();
    let mut lines = String::new();
    for cluster in clusters {
        let of = |key: &str| text(cluster, key);
        let dhcp = if cluster["dhcp"] == true { ", DHCP" } else { "" };
        lines.push_str(&format!(
            "{}: {} ({}, {}, {}{dhcp})\n",
            of("name"),
            of("iso"),
            of("firmware"),
            of("boot"),
            of("accelerator")
        ));
        for node in cluster["nodes"].as_array().into_iter().flatten() {
            lines.push_str(&format!("  {:8} {}\n", text(node, "name"), text(node, "state")));
        }
    }
    if lines.is_empty() { "no cluster runs\n".to_owned() } else { lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_a_line_and_its_nodes_are_below_it() {
        let cluster = json!({
            "name": "default", "iso": "/x.iso", "firmware": "bios", "boot": "cdrom", "accelerator": "tcg",
            "dhcp": true, "nodes": [{ "name": "node1", "state": "running" }, { "name": "node2", "state": "off" }],
        });
        assert_eq!(
            table(&[cluster]),
            "default: /x.iso (bios, cdrom, tcg, DHCP)\n  node1    running\n  node2    off\n"
        );
        assert_eq!(table(&[]), "no cluster runs\n");
    }
}
