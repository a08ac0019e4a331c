//! `brant-image profile show NAME`: the resolved profile as TOML, each value with the place it comes from.

use crate::profile::find;
use crate::profile::tree::{Node, Table, Value};
use crate::workspace::Workspace;
use anyhow::Context as _;
use std::io::Write;

/// Prints it. A profile that is wrong is printed too, since that is when people look; then it is refused.
///
/// # Errors
/// No such profile, or it is wrong.
pub(super) fn run(name: &str) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    let merged = find(&workspace, name)?;
    let root = workspace.root().display().to_string();
    let text = render(&merged.table).replace(&format!("{root}/"), "");
    std::io::stdout().lock().write_all(text.as_bytes()).context("printing the profile")?;
    merged.check(&workspace).map(drop)
}

fn render(table: &Table) -> String {
    let mut lines = Vec::new();
    one_table("", table, &mut lines);
    let width = lines.iter().filter(|(_, from)| !from.is_empty()).map(|(line, _)| line.chars().count()).max();
    let width = width.unwrap_or(0).min(56);
    lines.iter().fold(String::new(), |text, (line, from)| {
        text + &if from.is_empty() { format!("{line}\n") } else { format!("{line:width$}  # {from}\n") }
    })
}

/// Values first, then the tables inside, as TOML wants it.
fn one_table(path: &str, table: &Table, lines: &mut Vec<(String, String)>) {
    for (key, node) in table.iter().filter(|(key, _)| !path.is_empty() || *key != "extends") {
        match &node.value {
            Value::Table(_) => {}
            Value::List(items) => {
                lines.push((format!("{key} = ["), String::new()));
                for item in items {
                    lines.push((format!("    {},", simple(item)), item.place.to_string()));
                }
                lines.push(("]".to_owned(), String::new()));
            }
            _ => lines.push((format!("{key} = {}", simple(node)), node.place.to_string())),
        }
    }
    for (key, node) in table {
        let Value::Table(inner) = &node.value else { continue };
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        // A table that only holds tables needs no heading.
        if inner.values().any(|node| !matches!(node.value, Value::Table(_))) {
            lines.push((format!("\n[{name}]"), String::new()));
        }
        one_table(&name, inner, lines);
    }
}

fn simple(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => toml::Value::String(text.clone()).to_string(),
        Value::Number(Some(number)) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        other => format!("\"(a {})\"", other.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::tree::{merge, parse};
    use std::path::Path;

    fn table(file: &str, source: &str) -> Table {
        let Value::Table(table) = parse(Path::new(file), source).unwrap().value else { unreachable!() };
        table
    }

    #[test]
    fn what_is_printed_says_where_it_is_from_and_means_the_same() {
        let base =
            table("base.toml", "a = \"x\\\"y\"\n[t]\nlist = [\"one\",\n  \"two\"]\n[u.v]\nyes = true\n");
        let over = table("it.toml", "extends = \"base\"\n[t]\nn = 5\nlist = [\"-one\", \"three\"]\n");
        let merged = merge(base, over, &mut Vec::new());
        let text = render(&merged);
        assert!(text.contains("\"two\",") && text.contains("# base.toml:4"), "{text}");
        assert!(text.contains("# it.toml:4") && !text.contains("one\""), "{text}");
        let read_again: toml::Table = text.parse().unwrap();
        assert_eq!(read_again["t"]["list"].as_array().unwrap().len(), 2);
        assert_eq!(read_again["u"]["v"]["yes"].as_bool(), Some(true));
        assert_eq!(read_again["a"].as_str(), Some("x\"y"));
    }
}
