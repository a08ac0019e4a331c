//! The settings of a cluster: what holds on all its nodes, and may be changed on any of them.
//!
//! Each is a register of which the last writer wins: a change carries a logical clock above all that its author has
//! seen, and of two with the same clock that of the higher node id counts (Shapiro et al. 2011, LWW-Register). Merging is
//! therefore commutative, associative and idempotent, and nodes that have heard the same changes agree.

pub mod edited;

use crate::node::NodeId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The most registers that a cluster has, those of other versions of Brant among them.
pub const MOST: usize = 16;
/// The longest name and the longest value, bytes.
const LONGEST: usize = 48;
/// A clock that no cluster reaches by setting: what stands above it is nonsense.
const MOST_CLOCK: u64 = 1 << 40;

/// What can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// Whether the balancer moves processes by itself.
    Balance,
    /// How long a process computes before the balancer moves it.
    BalanceAfter,
    /// Whose wall clock all others follow.
    Clock,
}

/// A name that is none of a setting's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no setting `{name}`; there are {}", Key::names())]
pub struct NoSuchKey {
    /// What was asked for.
    pub name: String,
}

/// A value that a setting cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` cannot be `{value}`: it is {}", key.values())]
pub struct BadValue {
    /// The setting.
    pub key: Key,
    /// What it was to become.
    pub value: String,
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Balance, Self::BalanceAfter, Self::Clock];

    /// As people and files name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::BalanceAfter => "balance-after",
            Self::Clock => "clock",
        }
    }

    /// What it says, in a line.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Balance => "whether processes are moved without anybody asking",
            Self::BalanceAfter => "how long a process computes before that, seconds",
            Self::Clock => "the node whose clock all others follow; chosen anew when it goes",
        }
    }

    /// Which values it can have.
    pub fn values(self) -> &'static str {
        match self {
            Self::Balance => "`on` or `off`",
            Self::BalanceAfter => "a number of seconds from 1 to 86400",
            Self::Clock => "the name or the id of a node",
        }
    }

    /// What holds as long as nobody has set it.
    pub fn default_value(self) -> &'static str {
        match self {
            Self::Balance => "on",
            Self::BalanceAfter => "3",
            Self::Clock => "none",
        }
    }

    /// Whether it can have this value.
    ///
    /// # Errors
    /// [`BadValue`] says which it can have.
    pub fn check(self, value: &str) -> Result<(), BadValue> {
        let good = match self {
            Self::Balance => ["on", "off"].contains(&value),
            Self::BalanceAfter => {
                value.len() <= 5 && value.parse::<u32>().is_ok_and(|seconds| (1..=86_400).contains(&seconds))
            }
            Self::Clock => value.parse::<NodeId>().is_ok(),
        };
        if good { Ok(()) } else { Err(BadValue { key: self, value: value.to_owned() }) }
    }

    fn names() -> String {
        Self::ALL.map(|key| format!("`{key}`")).join(", ")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Key {
    type Err = NoSuchKey;
    fn from_str(name: &str) -> Result<Self, NoSuchKey> {
        Self::ALL
            .into_iter()
            .find(|key| key.name() == name)
            .ok_or_else(|| NoSuchKey { name: name.to_owned() })
    }
}

/// One register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its value; none when somebody has gone back to what holds by itself.
    #[serde(default)]
    pub value: Option<String>,
    /// The logical time of the change.
    pub clock: u64,
    /// The node where it was made.
    pub author: NodeId,
}

impl Setting {
    fn newer_than(&self, other: &Self) -> bool {
        (self.clock, self.author) > (other.clock, other.author)
    }
}

/// All registers of a cluster, by name. One that this version of Brant does not know is carried along.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(BTreeMap<String, Setting>);

impl Settings {
    /// Those that were sent or read; what cannot be a register is left out.
    pub fn of(entries: impl IntoIterator<Item = (String, Setting)>) -> Self {
        let mut settings = Self::default();
        for (name, setting) in entries.into_iter().take(MOST) {
            settings.take(name, setting);
        }
        settings
    }

    /// The registers, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.0.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    /// The register of a setting, if it was ever set.
    pub fn register(&self, key: Key) -> Option<&Setting> {
        self.0.get(key.name())
    }

    /// What holds for a setting. A value that it cannot have counts as none.
    pub fn value(&self, key: Key) -> &str {
        let value = self.register(key).and_then(|setting| setting.value.as_deref());
        value.filter(|value| key.check(value).is_ok()).unwrap_or(key.default_value())
    }

    /// Whether the balancer moves processes by itself.
    pub fn balances(&self) -> bool {
        self.value(Key::Balance) == "on"
    }

    /// How long a process computes before it does.
    pub fn balance_after(&self) -> Duration {
        Duration::from_secs(self.value(Key::BalanceAfter).parse().unwrap_or(3))
    }

    /// Sets one, later than all that is known of it here; none goes back to what holds by itself.
    ///
    /// # Errors
    /// [`BadValue`]; nothing has changed.
    pub fn set(&mut self, key: Key, value: Option<String>, author: NodeId) -> Result<(), BadValue> {
        if let Some(value) = &value {
            key.check(value)?;
        }
        let clock = 1 + self.register(key).map_or(0, |setting| setting.clock);
        self.0.insert(key.name().to_owned(), Setting { value, clock, author });
        Ok(())
    }

    /// Takes what is newer there; says whether anything was.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (name, setting) in &other.0 {
            changed |= self.take(name.clone(), setting.clone());
        }
        changed
    }

    /// Whether there is something here that is newer than there, or missing.
    pub fn has_news_for(&self, other: &Self) -> bool {
        self.0.iter().any(|(name, setting)| other.0.get(name).is_none_or(|theirs| setting.newer_than(theirs)))
    }

    /// Equal settings have equal digests.
    pub fn digest(&self) -> u64 {
        let mut digest = Sha256::new();
        for (name, Setting { value, clock, author }) in &self.0 {
            let value = value.as_deref();
            digest.update(format!("{name:?} {value:?} {clock} {author}\n"));
        }
        digest.finalize().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    fn take(&mut self, name: String, setting: Setting) -> bool {
        let word = |text: &str| text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        let sound = word(&name)
            && !name.is_empty()
            && setting.value.as_deref().is_none_or(word)
            && setting.clock <= MOST_CLOCK;
        let room = self.0.len() < MOST || self.0.contains_key(&name);
        let newer = self.0.get(&name).is_none_or(|known| setting.newer_than(known));
        if sound && room && newer {
            self.0.insert(name, setting);
        }
        sound && room && newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> NodeId {
        NodeId::from([n; 8])
    }

    fn set(settings: &mut Settings, key: Key, value: &str, author: u8) {
        settings.set(key, Some(value.to_owned()), node(author)).unwrap();
    }

    #[test]
    fn what_nobody_has_set_holds_by_itself() {
        let mut settings = Settings::default();
        assert!(settings.balances());
        assert_eq!(settings.balance_after(), Duration::from_secs(3));
        set(&mut settings, Key::Balance, "off", 1);
        set(&mut settings, Key::BalanceAfter, "60", 1);
        assert!(!settings.balances());
        assert_eq!(settings.balance_after(), Duration::from_secs(60));
        settings.set(Key::Balance, None, node(1)).unwrap();
        assert!(settings.balances());
    }

    #[test]
    fn values_are_checked_before_anything_changes() {
        let mut settings = Settings::default();
        for bad in ["", "maybe", "ON"] {
            assert!(settings.set(Key::Balance, Some(bad.to_owned()), node(1)).is_err());
        }
        for bad in ["0", "-1", "86401", "1e3", "99999999999"] {
            assert!(settings.set(Key::BalanceAfter, Some(bad.to_owned()), node(1)).is_err());
        }
        assert_eq!(settings, Settings::default());
        assert!("balanse".parse::<Key>().unwrap_err().to_string().contains("`balance-after`"));
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent() {
        let mut versions = vec![Settings::default(); 3];
        set(&mut versions[0], Key::Balance, "off", 1);
        set(&mut versions[1], Key::Balance, "on", 2);
        set(&mut versions[1], Key::BalanceAfter, "8", 2);
        set(&mut versions[1], Key::BalanceAfter, "9", 2);
        set(&mut versions[2], Key::BalanceAfter, "7", 3);
        let merged = |order: [usize; 3]| {
            let mut all = Settings::default();
            for at in order {
                all.merge(&versions[at]);
            }
            assert!(!all.clone().merge(&all));
            all
        };
        let all = merged([0, 1, 2]);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(merged(order), all);
        }
        // Of equal clocks the higher id counts, of others the later.
        assert!(all.balances());
        assert_eq!(all.value(Key::BalanceAfter), "9");
        assert!(all.has_news_for(&versions[0]) && !versions[0].has_news_for(&all));
        assert_ne!(all.digest(), versions[0].digest());
        assert_eq!(all.digest(), versions[1].digest());
    }

    #[test]
    fn nonsense_is_left_out_and_the_unknown_is_carried() {
        let setting = |value: &str, clock| Setting { value: Some(value.to_owned()), clock, author: node(1) };
        let long = "x".repeat(LONGEST + 1);
        let settings = Settings::of([
            ("balance".to_owned(), setting("perhaps", 1)),
            ("of-the-future".to_owned(), setting("yes", 1)),
            (long.clone(), setting("a", 1)),
            ("a".to_owned(), setting(&long, 1)),
            ("b".to_owned(), setting("a b", 1)),
            ("c".to_owned(), setting("never", u64::MAX)),
        ]);
        assert_eq!(settings.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["balance", "of-the-future"]);
        assert!(settings.balances());
        let many = (0..100).map(|n| (format!("k{n}"), setting("v", 1)));
        assert_eq!(Settings::of(many).iter().count(), MOST);
    }
}
