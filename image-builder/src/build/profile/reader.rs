//! Reads a TOML table key by key and collects every complaint, each with its line.

use super::nearest::nearest;
use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong in a profile, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Complaint {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and what was probably meant.
    pub text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// The complaints about one file.
#[derive(Debug)]
pub(crate) struct Complaints<'s> {
    source: &'s str,
    /// In the order they were found.
    pub found: Vec<Complaint>,
}

impl<'s> Complaints<'s> {
    /// None yet.
    pub(crate) fn about(source: &'s str) -> Self {
        Self { source, found: Vec::new() }
    }

    /// Notes a complaint about what begins at this byte.
    pub(crate) fn at(&mut self, offset: usize, text: impl Into<String>) {
        let line = 1 + self.source.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count();
        self.found.push(Complaint { line, text: text.into() });
    }
}

/// One table that is being read; every key asked for is a key that is known.
#[derive(Debug)]
pub(crate) struct Section<'t, 's> {
    name: &'static str,
    start: usize,
    table: &'t DeTable<'s>,
    known: Vec<&'static str>,
    lacking: Vec<&'static str>,
}

/// A value and the byte where it begins.
pub(crate) type At<T> = (T, usize);

impl<'t, 's> Section<'t, 's> {
    /// The table with this name (empty for the top of the file), which begins at this byte.
    pub(crate) fn new(name: &'static str, start: usize, table: &'t DeTable<'s>) -> Self {
        Self { name, start, table, known: Vec::new(), lacking: Vec::new() }
    }

    fn get(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'s>>> {
        self.known.push(key);
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// A table inside this one; an absent one is complained about.
    pub(crate) fn section(&mut self, key: &'static str, complaints: &mut Complaints<'_>) -> Option<Self> {
        let value = self.required(key)?;
        let Some(table) = value.get_ref().as_table() else {
            complaints.at(value.span().start, format!("`{key}` is a table, written `[{key}]`"));
            return None;
        };
        Some(Section::new(key, value.span().start, table))
    }

    /// A text that may be absent.
    pub(crate) fn optional_text(
        &mut self,
        key: &'static str,
        complaints: &mut Complaints<'_>,
    ) -> Option<At<String>> {
        let value = self.get(key)?;
        text(key, value, complaints)
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, key: &'static str, complaints: &mut Complaints<'_>) -> Option<At<String>> {
        let value = self.required(key)?;
        text(key, value, complaints)
    }

    /// A list of texts that must be there.
    pub(crate) fn texts(
        &mut self,
        key: &'static str,
        complaints: &mut Complaints<'_>,
    ) -> Option<Vec<At<String>>> {
        let value = self.required(key)?;
        let Some(list) = value.get_ref().as_array() else {
            complaints.at(value.span().start, format!("`{key}` is a list of texts"));
            return None;
        };
        list.iter().map(|item| text(key, item, complaints)).collect()
    }

    /// A whole number that must be there.
    pub(crate) fn number(&mut self, key: &'static str, complaints: &mut Complaints<'_>) -> Option<At<u32>> {
        let value = self.required(key)?;
        let start = value.span().start;
        let number = value.get_ref().as_integer().and_then(|integer| {
            u32::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
        });
        if number.is_none() {
            complaints.at(start, format!("`{key}` is a whole number, 0 or more"));
        }
        number.map(|number| (number, start))
    }

    /// Complains about every key that nobody has asked for, and about those that are not there. A key that was
    /// probably meant is not called absent as well.
    pub(crate) fn finish(mut self, complaints: &mut Complaints<'_>) {
        let place = if self.name.is_empty() { "the file".to_owned() } else { format!("`[{}]`", self.name) };
        for key in self.table.keys() {
            let name = key.get_ref();
            if self.known.contains(&name.as_ref()) {
                continue;
            }
            let word = nearest(name, &self.lacking).or_else(|| nearest(name, &self.known));
            self.lacking.retain(|lacking| Some(*lacking) != word);
            let meant = match word {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("known there: {}", self.known.join(", ")),
            };
            complaints.at(key.span().start, format!("{place} has an unknown key `{name}`; {meant}"));
        }
        for lacking in self.lacking {
            complaints.at(self.start, format!("{place} lacks `{lacking}`"));
        }
    }

    fn required(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'s>>> {
        let value = self.get(key);
        if value.is_none() {
            self.lacking.push(key);
        }
        value
    }
}

fn text(key: &str, value: &Spanned<DeValue<'_>>, complaints: &mut Complaints<'_>) -> Option<At<String>> {
    let start = value.span().start;
    let Some(text) = value.get_ref().as_str() else {
        let kind = value.get_ref().type_str();
        complaints.at(start, format!("`{key}` wants a text, not this {kind}"));
        return None;
    };
    Some((text.to_owned(), start))
}
