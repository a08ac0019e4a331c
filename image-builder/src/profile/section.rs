//! Reads a merged table key by key and collects every complaint, each with its place.

use super::nearest::nearest;
use super::tree::{Complaint, Complaints, Node, Place, Table, Value};

/// One table that is being read; every key asked for is a key that is known.
#[derive(Debug)]
pub(crate) struct Section<'t> {
    name: String,
    place: Place,
    table: &'t Table,
    known: Vec<&'static str>,
    lacking: Vec<&'static str>,
}

/// A value and its place.
pub(crate) type At<T> = (T, Place);

impl<'t> Section<'t> {
    /// The table with this name (empty for the top of the file), which begins here.
    pub(crate) fn new(name: impl Into<String>, place: Place, table: &'t Table) -> Self {
        Self { name: name.into(), place, table, known: Vec::new(), lacking: Vec::new() }
    }

    /// Where the table begins.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn get(&mut self, key: &'static str) -> Option<&'t Node> {
        self.known.push(key);
        self.table.get(key)
    }

    fn required(&mut self, key: &'static str) -> Option<&'t Node> {
        let value = self.get(key);
        if value.is_none() {
            self.lacking.push(key);
        }
        value
    }

    /// A table inside this one; an absent one is complained about.
    pub(crate) fn section(&mut self, key: &'static str, complaints: &mut Complaints) -> Option<Self> {
        let node = self.required(key)?;
        Section::of(key, node, complaints)
    }

    /// A table inside this one that may be absent.
    pub(crate) fn optional_section(
        &mut self,
        key: &'static str,
        complaints: &mut Complaints,
    ) -> Option<Self> {
        let node = self.get(key)?;
        Section::of(key, node, complaints)
    }

    /// A table of tables with free names, which may be absent.
    pub(crate) fn sections(&mut self, key: &'static str, complaints: &mut Complaints) -> Vec<(String, Self)> {
        let Some(outer) = self.optional_section(key, complaints) else { return Vec::new() };
        let named = |(name, node): (&String, &'t Node)| {
            Some((name.clone(), Section::of(&format!("{key}.{name}"), node, complaints)?))
        };
        outer.table.iter().filter_map(named).collect()
    }

    fn of(name: &str, node: &'t Node, complaints: &mut Complaints) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            complain(complaints, &node.place, format!("`{name}` is a table, written `[{name}]`"));
            return None;
        };
        Some(Section::new(name, node.place.clone(), table))
    }

    /// A text that may be absent.
    pub(crate) fn optional_text(
        &mut self,
        key: &'static str,
        complaints: &mut Complaints,
    ) -> Option<At<String>> {
        let node = self.get(key)?;
        text(key, node, complaints)
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, key: &'static str, complaints: &mut Complaints) -> Option<At<String>> {
        let node = self.required(key)?;
        text(key, node, complaints)
    }

    /// A list of texts; an absent one is empty.
    pub(crate) fn texts(&mut self, key: &'static str, complaints: &mut Complaints) -> Vec<At<String>> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            complain(complaints, &node.place, format!("`{key}` is a list of texts"));
            return Vec::new();
        };
        items.iter().filter_map(|item| text(key, item, complaints)).collect()
    }

    /// `true` or `false`; an absent one is false.
    pub(crate) fn flag(&mut self, key: &'static str, complaints: &mut Complaints) -> bool {
        let Some(node) = self.get(key) else { return false };
        let Value::Flag(flag) = node.value else {
            let text = format!("`{key}` is `true` or `false`, not this {}", node.value.kind());
            complain(complaints, &node.place, text);
            return false;
        };
        flag
    }

    /// A whole number that must be there, within these bounds.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<u32>,
        complaints: &mut Complaints,
    ) -> Option<At<u32>> {
        let node = self.required(key)?;
        let whole = if let Value::Number(number) = node.value { number } else { None };
        let fitting =
            whole.and_then(|number| u32::try_from(number).ok()).filter(|number| bounds.contains(number));
        if fitting.is_none() {
            let text = format!("`{key}` is a whole number from {} to {}", bounds.start(), bounds.end());
            complain(complaints, &node.place, text);
        }
        Some((fitting?, node.place.clone()))
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        complaints: &mut Complaints,
    ) -> Option<T> {
        let word = self.text(key, complaints)?;
        one_of(key, &word, words, complaints)
    }

    /// A list of such words; an absent one is empty.
    pub(crate) fn words<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        complaints: &mut Complaints,
    ) -> Vec<T> {
        let texts = self.texts(key, complaints);
        texts.iter().filter_map(|word| one_of(key, word, words, complaints)).collect()
    }

    /// Complains about every key that nobody has asked for, and about those that are not there. A key that was
    /// probably meant is not called absent as well.
    pub(crate) fn finish(mut self, complaints: &mut Complaints) {
        let whose =
            if self.name.is_empty() { "the profile".to_owned() } else { format!("`[{}]`", self.name) };
        for (name, node) in self.table {
            if self.known.contains(&name.as_str()) {
                continue;
            }
            let word = nearest(name, &self.lacking).or_else(|| nearest(name, &self.known));
            self.lacking.retain(|lacking| Some(*lacking) != word);
            let meant = match word {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("known there: {}", self.known.join(", ")),
            };
            complain(complaints, &node.place, format!("{whose} has an unknown key `{name}`; {meant}"));
        }
        for lacking in self.lacking {
            complain(complaints, &self.place, format!("{whose} lacks `{lacking}`"));
        }
    }
}

/// Notes a complaint.
pub(crate) fn complain(complaints: &mut Complaints, place: &Place, text: impl Into<String>) {
    complaints.push(Complaint { place: place.clone(), text: text.into() });
}

fn one_of<T: Copy>(
    key: &str,
    (word, place): &At<String>,
    words: &[(&'static str, T)],
    complaints: &mut Complaints,
) -> Option<T> {
    if let Some((_, value)) = words.iter().find(|(known, _)| known == word) {
        return Some(*value);
    }
    let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
    let meant = match nearest(word, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known there: {}", known.join(", ")),
    };
    complain(complaints, place, format!("`{key}` cannot be `{word}`; {meant}"));
    None
}

fn text(key: &str, node: &Node, complaints: &mut Complaints) -> Option<At<String>> {
    let Value::Text(text) = &node.value else {
        let text = format!("`{key}` wants a text, not this {}", node.value.kind());
        complain(complaints, &node.place, text);
        return None;
    };
    Some((text.clone(), node.place.clone()))
}
