//! `cluster.toml` as somebody has edited it: which settings that changes, or what is wrong with it.

use super::{Key, NoSuchKey, Settings};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// The file as people write it: only the settings matter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    #[serde(default, rename = "cluster")]
    _cluster: IgnoredAny,
    #[serde(default, rename = "revision")]
    _revision: IgnoredAny,
    #[serde(default, rename = "node")]
    _nodes: IgnoredAny,
}

/// `balance = "off"`, `balance-after = 9`, or a register as the agent writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(i64),
    Register { value: Option<String> },
}

impl Value {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number.to_string()),
            Self::Register { value } => value,
        }
    }
}

/// How the settings in this text differ from the cluster's; none is what holds by itself.
///
/// # Errors
/// What is wrong, and in which line, for whoever has written it.
pub fn changes(text: &str, settings: &Settings) -> Result<Vec<(Key, Option<String>)>, String> {
    let mut written: Written = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        format!("line {line}: {}", error.message().replace('\n', ", "))
    })?;
    let mut changes = Vec::new();
    for key in Key::ALL {
        // The cluster sets this one itself: who does not speak of it does not mean it.
        if key == Key::Clock && !written.settings.contains_key(key.name()) {
            continue;
        }
        let value = written.settings.remove(key.name()).and_then(Value::text);
        if let Some(value) = &value {
            key.check(value).map_err(|bad| format!("line {}: {bad}", line_with(text, key.name())))?;
        }
        if value.as_deref() != settings.register(key).and_then(|setting| setting.value.as_deref()) {
            changes.push((key, value));
        }
    }
    let known = |name: &str| settings.iter().any(|(ours, _)| ours == name);
    match written.settings.keys().find(|name| !known(name)) {
        Some(name) => Err(format!("line {}: {}", line_with(text, name), NoSuchKey { name: name.clone() })),
        None => Ok(changes),
    }
}

/// The number of the line that this byte is in.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The number of the first line that names this setting.
fn line_with(text: &str, name: &str) -> usize {
    let names = |line: &str| {
        let line = line.trim_start().trim_start_matches("[settings.").trim_start_matches('"');
        line.strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '-'))
    };
    text.lines().position(names).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterConfig;
    use crate::node::{ClusterId, NodeId};

    fn settings(balance: &str) -> Settings {
        let mut settings = Settings::default();
        settings.set(Key::Balance, Some(balance.to_owned()), NodeId::from([1; 8])).unwrap();
        settings
    }

    fn config(settings: &Settings) -> ClusterConfig {
        ClusterConfig::of("x", ClusterId([0; 8]), settings, [])
    }

    #[test]
    fn only_what_was_changed_counts_however_it_is_written() {
        let ours = settings("off");
        let text = config(&ours).to_toml();
        assert_eq!(changes(&text, &ours), Ok(vec![]));
        let on = vec![(Key::Balance, Some("on".to_owned()))];
        assert_eq!(changes(&text.replace("\"off\"", "\"on\""), &ours), Ok(on.clone()));
        assert_eq!(changes("[settings]\nbalance = \"on\"\n", &ours), Ok(on));
        let both = vec![(Key::Balance, None), (Key::BalanceAfter, Some("9".to_owned()))];
        assert_eq!(changes("settings.balance-after = 9", &ours), Ok(both));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let ours = settings("off");
        let why = |text: &str| changes(text, &ours).unwrap_err();
        assert!(why("cluster = \"x\"\n\n[settings\nbalance = 1\n").starts_with("line 3: "));
        assert!(
            why("cluster = \"x\"\n[settings]\nbalance-after = 1\nbalance = \"maybe\"\n")
                .starts_with("line 4: `balance` cannot be `maybe`")
        );
        assert!(why("[settings]\nbalanse = \"on\"\n").starts_with("line 2: there is no setting `balanse`"));
        assert!(why("cluster = \"x\"\nnodes = []\n").starts_with("line 2: unknown field `nodes`"));
    }
}
