//! From a profile's name to its file, to those it builds on, and to what they say together.

use super::model::Profile;
use super::nearest::nearest;
use super::read::{Surroundings, read};
use super::tree::{Complaint, Complaints, Node, Table, Value, merge, parse, place_at_start};
use crate::failure::{Advice, Kind};
use crate::workspace::Workspace;
use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A profile's values, merged with those it builds on.
#[derive(Debug)]
pub(crate) struct Merged {
    /// The file's name without `.toml`.
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) table: Table,
    complaints: Complaints,
}

/// The profile of this name, or of this file.
///
/// # Errors
/// No such profile, not readable, or wrong; the error says every line that is.
pub(crate) fn load(workspace: &Workspace, name: &str) -> anyhow::Result<Profile> {
    find(workspace, name)?.check(workspace)
}

/// The values of the profile of this name, or of this file, not checked yet.
///
/// # Errors
/// No such profile, or a file that cannot be read or is not TOML.
pub(crate) fn find(workspace: &Workspace, name: &str) -> anyhow::Result<Merged> {
    let folder = workspace.profiles();
    let file = if is_file_name(name) { PathBuf::from(name) } else { named(&folder, name)? };
    merged(&file, &folder)
}

/// What ends with `.toml` or has a slash is a file of its own, not one of `profiles/`.
fn is_file_name(name: &str) -> bool {
    name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "toml")
}

fn named(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let known = known(folder)?;
    if !known.iter().any(|profile| profile == name) {
        let words: Vec<&str> = known.iter().map(String::as_str).collect();
        let advice = Advice::new(Kind::Input, format!("there is no profile `{name}`"))
            .hint(format!("known profiles: {}", known.join(", ")));
        let meant = nearest(name, &words).map(|word| format!("did you mean `--profile {word}`?"));
        return Err(meant.into_iter().fold(advice, Advice::hint).error());
    }
    Ok(folder.join(format!("{name}.toml")))
}

/// The names of all profiles that an image can be built from, sorted. What begins with `base` is only built on.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn known(folder: &Path) -> anyhow::Result<Vec<String>> {
    let listing = || format!("listing the profiles in `{}`", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.retain(|name| !name.starts_with("base"));
    names.sort();
    Ok(names)
}

fn merged(file: &Path, folder: &Path) -> anyhow::Result<Merged> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut complaints = Complaints::new();
    let mut chain = Vec::new();
    match gather(file, folder, &mut chain, &mut complaints)? {
        Ok(table) => Ok(Merged { name, file: file.to_owned(), table, complaints }),
        Err(complaint) => Err(refusal(&name, &[complaint])),
    }
}

/// The file's values over those of the profile it extends.
fn gather(
    file: &Path,
    folder: &Path,
    chain: &mut Vec<PathBuf>,
    complaints: &mut Complaints,
) -> anyhow::Result<Result<Table, Complaint>> {
    let source =
        fs::read_to_string(file).with_context(|| format!("reading the profile `{}`", file.display()))?;
    let table = match parse(file, &source) {
        Ok(Node { value: Value::Table(table), .. }) => table,
        Ok(node) => return Ok(Err(Complaint { place: node.place, text: "a profile is a table".to_owned() })),
        Err(complaint) => return Ok(Err(complaint)),
    };
    chain.push(file.to_owned());
    let Some(Node { value: Value::Text(base), place }) = table.get("extends") else { return Ok(Ok(table)) };
    let beside = file.parent().unwrap_or(Path::new("")).join(format!("{base}.toml"));
    let shipped = folder.join(format!("{base}.toml"));
    let Some(base_file) = [beside, shipped].into_iter().find(|path| path.is_file()) else {
        let text = format!(
            "`extends` names `{base}`, and there is no `{base}.toml` beside it or among the profiles"
        );
        return Ok(Err(Complaint { place: place.clone(), text }));
    };
    if chain.contains(&base_file) {
        let text = format!("`extends` names `{base}`, which builds on this profile itself");
        return Ok(Err(Complaint { place: place.clone(), text }));
    }
    Ok(gather(&base_file, folder, chain, complaints)?.map(|below| merge(below, table, complaints)))
}

impl Merged {
    /// Checks the values.
    ///
    /// # Errors
    /// Every complaint, with file and line.
    pub(crate) fn check(&self, workspace: &Workspace) -> anyhow::Result<Profile> {
        let (overlays, hooks) = (workspace.overlay(), workspace.profiles());
        let around = Surroundings { overlays: &overlays, hooks: &hooks };
        self.profile(around).map_err(|complaints| refusal(&self.name, &complaints))
    }

    pub(super) fn profile(&self, around: Surroundings<'_>) -> Result<Profile, Complaints> {
        let mut complaints = self.complaints.clone();
        let top = (&self.table, place_at_start(self.file.clone()));
        let profile = read(&self.name, top, around, &mut complaints);
        complaints.sort();
        profile.filter(|_| complaints.is_empty()).ok_or(complaints)
    }
}

fn refusal(name: &str, complaints: &[Complaint]) -> anyhow::Error {
    let lines: Vec<String> = complaints.iter().map(|it| format!("\n  {it}")).collect();
    Advice::new(Kind::Input, format!("the profile `{name}` is wrong:{}", lines.concat())).error()
}
