//! `brant set`.

use crate::ask;
use crate::table::render;
use anyhow::{Context, Result};
use brant_types::agent::{AgentAnswer, AgentRequest, ClusterView};
use brant_types::settings::Key;
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `brant set`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The setting; without one, all are listed.
    key: Option<String>,
    /// What it becomes, on all nodes; without it, what it is now.
    value: Option<String>,
    /// Go back to what holds by itself.
    #[arg(long, requires = "key", conflicts_with = "value")]
    default: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows settings of the cluster, or changes one.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Some(key) = &arguments.key else { return list(arguments.json) };
    if arguments.value.is_none() && !arguments.default {
        return show(key, arguments.json);
    }
    let value = arguments.value.clone().map(|value| as_kept(key, value)).transpose()?;
    let request = AgentRequest::Set { key: key.clone(), value };
    let answer: AgentAnswer = ask::agent_for(&request)?;
    if arguments.json {
        ask::print_json(&answer)?;
    }
    match answer {
        AgentAnswer::Done if arguments.json => Ok(ExitCode::SUCCESS),
        AgentAnswer::Done => {
            let value = key.parse::<Key>().map(|key| ask::agent().map(|view| shown(&view, key).to_owned()));
            let value = value.context("reading it again")??;
            writeln!(std::io::stdout(), "{key} is {value} now, on all nodes within seconds")
                .context("printing")?;
            Ok(ExitCode::SUCCESS)
        }
        AgentAnswer::Refused(_) if arguments.json => Ok(ExitCode::from(1)),
        AgentAnswer::Refused(refused) => Ok(ask::refuse(&refused)),
    }
}

/// Nodes are kept by their ids, and named by their names.
fn as_kept(key: &str, value: String) -> Result<String> {
    if key != Key::Clock.name() {
        return Ok(value);
    }
    let nodes = ask::agent()?.nodes;
    Ok(nodes.iter().find(|node| node.name == value).map_or(value, |node| node.id.to_string()))
}

fn list(json: bool) -> Result<ExitCode> {
    let view = ask::agent()?;
    if json {
        let all = Key::ALL.map(|key| (key.name().to_owned(), about(&view, key)));
        ask::print_json(&Value::Object(all.into_iter().collect()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = Key::ALL.map(|key| {
        vec![
            key.name().to_owned(),
            shown(&view, key).to_owned(),
            author(&view, key).unwrap_or("-").to_owned(),
            key.meaning().to_owned(),
        ]
    });
    let table = render(&["SETTING", "VALUE", "SET ON", "MEANING"], &[], &rows);
    write!(std::io::stdout(), "{table}").context("printing")?;
    if let Some(why) = &view.refused_edit {
        eprintln!("note: {why}");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(key: &str, json: bool) -> Result<ExitCode> {
    let key = match key.parse::<Key>() {
        Ok(key) => key,
        Err(unknown) => {
            eprintln!("brant: {unknown}");
            return Ok(ExitCode::from(1));
        }
    };
    let view = ask::agent()?;
    if json {
        ask::print_json(&about(&view, key))?;
    } else {
        writeln!(std::io::stdout(), "{}", shown(&view, key)).context("printing")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A setting's value as people name it.
fn shown(view: &ClusterView, key: Key) -> &str {
    let value = view.settings.value(key);
    let node = view.nodes.iter().find(|node| key == Key::Clock && node.id.to_string() == value);
    node.map_or(value, |node| node.name.as_str())
}

fn about(view: &ClusterView, key: Key) -> Value {
    json!({
        "value": view.settings.value(key),
        "default": key.default_value(),
        "set_on": author(view, key),
        "meaning": key.meaning(),
    })
}

/// The name of the node where it was set, or its id if it has gone.
fn author(view: &ClusterView, key: Key) -> Option<&str> {
    let setting = view.settings.register(key).filter(|setting| setting.value.is_some())?;
    let node = view.nodes.iter().find(|node| node.id == setting.author);
    Some(node.map_or("a node that has gone", |node| node.name.as_str()))
}
