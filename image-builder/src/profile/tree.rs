//! A profile's values as they were written, each with the place it comes from; and how one file builds on others.
//!
//! Tables merge key by key, single values replace those built on, lists append; an item `-NAME` of a list takes `NAME`
//! out of what was built on.

use super::nearest::nearest;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The profile's file.
    pub file: Rc<Path>,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something wrong in a profile, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Complaint {
    /// Where it is.
    pub place: Place,
    /// What is wrong, and what was probably meant.
    pub text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// The complaints so far, in the order they were found.
pub(crate) type Complaints = Vec<Complaint>;

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// What is written.
    pub value: Value,
    /// Where it is written.
    pub place: Place,
}

/// A value of the kinds that profiles use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A string.
    Text(String),
    /// An integer; none when it is negative or too large for any use here.
    Number(Option<u64>),
    /// `true` or `false`.
    Flag(bool),
    /// An array.
    List(Vec<Node>),
    /// A table.
    Table(Table),
    /// What no key takes, by TOML's name for it.
    Other(&'static str),
}

/// A table's values by key.
pub(crate) type Table = BTreeMap<String, Node>;

impl Value {
    /// What people call it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "number",
            Self::Flag(_) => "`true` or `false`",
            Self::List(_) => "list",
            Self::Table(_) => "table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads one file's text.
///
/// # Errors
/// It is not TOML; what is wrong, and where.
pub(crate) fn parse(file: &Path, source: &str) -> Result<Node, Complaint> {
    let file = Source { path: file.into(), text: source };
    match DeTable::parse(source) {
        Ok(table) => Ok(Node { value: Value::Table(file.table(table.get_ref())), place: file.at(0) }),
        Err(error) => Err(Complaint {
            place: file.at(error.span().map_or(0, |span| span.start)),
            text: error.message().replace('\n', ", "),
        }),
    }
}

struct Source<'s> {
    path: Rc<Path>,
    text: &'s str,
}

impl Source<'_> {
    fn at(&self, offset: usize) -> Place {
        let line = 1 + self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count();
        Place { file: Rc::clone(&self.path), line }
    }

    /// A value's place is that of its key.
    fn table(&self, table: &DeTable<'_>) -> Table {
        let entry = |(key, value): (&Spanned<_>, &Spanned<_>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            (name.to_string(), Node { value: self.value(value), place: self.at(key.span().start) })
        };
        table.iter().map(entry).collect()
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                Value::Number(u64::from_str_radix(&digits, number.radix()).ok())
            }
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.item(item)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
            other => Value::Other(other.type_str()),
        }
    }

    fn item(&self, item: &Spanned<DeValue<'_>>) -> Node {
        Node { value: self.value(item), place: self.at(item.span().start) }
    }
}

/// Lays one profile over another.
pub(crate) fn merge(base: Table, over: Table, complaints: &mut Complaints) -> Table {
    let mut merged = base;
    for (key, node) in over {
        let laid = match (merged.remove(&key), node) {
            (Some(Node { value: Value::Table(below), .. }), Node { value: Value::Table(above), place }) => {
                Node { value: Value::Table(merge(below, above, complaints)), place }
            }
            (Some(Node { value: Value::List(below), .. }), Node { value: Value::List(above), place }) => {
                Node { value: Value::List(append(below, above, complaints)), place }
            }
            (_, node) => node,
        };
        merged.insert(key, laid);
    }
    merged
}

fn append(mut below: Vec<Node>, above: Vec<Node>, complaints: &mut Complaints) -> Vec<Node> {
    let mut added = Vec::new();
    for item in above {
        let Value::Text(text) = &item.value else {
            added.push(item);
            continue;
        };
        let Some(name) = text.strip_prefix('-') else {
            // What is there already keeps its place, so that a list does not depend on who repeats what.
            if !below.iter().any(|known| known.value == item.value) {
                added.push(item);
            }
            continue;
        };
        let before = below.len();
        below.retain(|known| known.value != Value::Text(name.to_owned()));
        if below.len() == before {
            let known: Vec<&str> = below
                .iter()
                .filter_map(|known| match &known.value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            let meant =
                nearest(name, &known).map_or_else(String::new, |word| format!("; did you mean `-{word}`?"));
            let text = format!("`{text}` takes nothing away: no profile built on lists `{name}`{meant}");
            complaints.push(Complaint { place: item.place, text });
        }
    }
    below.extend(added);
    below
}

/// A path as a place's file.
pub(crate) fn place_at_start(file: PathBuf) -> Place {
    Place { file: file.into(), line: 1 }
}
