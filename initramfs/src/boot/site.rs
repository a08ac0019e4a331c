//! What belongs to a site: what the initramfs carries, and above it what a person has written into `brant.toml` on a stick.

use super::root::Persistence;
use super::root::medium::{self, Wanted};
use super::verify::top_of;
use crate::command_line::{CommandLine, node_name};
use crate::devices::Uevents;
use crate::modules::Modules;
use crate::report;
use anyhow::{Context, Result};
use brant_types::boot::stick_marker;
use brant_types::site::{SITE, STICK, Site, Stick};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::time::Duration;

/// How long the stick is looked for where the root does not need it; somebody may have pulled it.
const PATIENCE: Duration = Duration::from_secs(20);
/// More than anybody writes into it, bytes.
const MOST: u64 = 64 << 10;

/// Reads both, and looks for what the stick keeps. What is wrong on the stick is said, and the node boots without it.
pub(super) fn find(
    line: &mut CommandLine,
    (image_id, root_needs_it): (&str, bool),
    modules: &mut Modules,
    uevents: &mut Uevents,
) -> Result<(Site, Option<Persistence>)> {
    let mut site = carried()?;
    let mut persistence = None;
    if line.stick {
        match on_the_stick((image_id, root_needs_it), modules, uevents) {
            Ok(Some(found)) => {
                persistence = found.persistence;
                let stick = found.settings.unwrap_or_else(|error| {
                    report::complain(&format!("{error:#}; going on without"));
                    Stick::default()
                });
                add_arguments(line, &stick.kernel_arguments);
                match stick.name.as_deref().map(node_name) {
                    Some(Some(name)) => line.name = Some(name),
                    Some(None) => report::complain(
                        "`name` on the stick is no name for a node: up to 63 of a-z, 0-9 and -",
                    ),
                    None => {}
                }
                stick.lay_over(&mut site);
            }
            Ok(None) => {
                report::complain("the stick with this node's settings has not been found; going on without");
            }
            Err(error) => report::complain(&format!("{error:#}; going on without")),
        }
    }
    Ok((site, persistence))
}

/// An image without any still boots.
fn carried() -> Result<Site> {
    let reading = || format!("reading `{SITE}` in the initramfs");
    match fs::read_to_string(SITE) {
        // The parser's message could quote the secret.
        Ok(text) => toml::from_str(&text).ok().with_context(|| format!("{}: it is damaged", reading())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Site::default()),
        Err(error) => Err(error).with_context(reading),
    }
}

/// Only some still have a meaning now.
fn add_arguments(line: &mut CommandLine, arguments: &[String]) {
    let comes_in_time = |argument: &&String| {
        let key = argument.split('=').next().unwrap_or_default();
        [
            "brant.seed",
            "brant.name",
            "brant.lease",
            "brant.persistence",
            "brant.toram",
            "toram",
            "findiso",
            "ip",
            "vlan",
            "bond",
        ]
        .contains(&key)
    };
    for argument in arguments.iter().filter(|argument| !comes_in_time(argument)) {
        report::complain(&format!("`{argument}` has no effect in `{STICK}`: it belongs into the boot menu"));
    }
    let known = line.unknown.len();
    let some: Vec<&str> = arguments.iter().filter(comes_in_time).map(String::as_str).collect();
    line.add(&some.join(" "));
    for word in line.unknown.iter().skip(known) {
        report::complain(&format!("the argument `{word}` in `{STICK}` means nothing here"));
    }
}

/// What is on a stick.
struct OnTheStick {
    settings: Result<Stick>,
    persistence: Option<Persistence>,
}

fn on_the_stick(
    (image_id, root_needs_it): (&str, bool),
    modules: &mut Modules,
    uevents: &mut Uevents,
) -> Result<Option<OnTheStick>> {
    let wanted = Wanted { file: stick_marker(image_id), ..Wanted::default() };
    let found = if root_needs_it {
        Some(medium::find(&wanted, modules, uevents)?)
    } else {
        medium::find_within(&wanted, modules, uevents, PATIENCE)?
    };
    let Some(medium::Found { file: found, .. }) = found else { return Ok(None) };
    let path = top_of(&found, &wanted.file)?.join(STICK);
    let persistence = Persistence::beside(&found).unwrap_or_else(|error| {
        report::complain(&format!("looking for what the stick keeps: {error:#}"));
        None
    });
    drop(found);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    medium::let_go();
    let settings = read
        .with_context(|| format!("reading `{STICK}` on the stick"))
        .and_then(|_| Stick::parse(&text).with_context(|| format!("understanding `{STICK}` on the stick")));
    Ok(Some(OnTheStick { settings, persistence }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stick_says_what_its_network_is_and_nothing_that_comes_too_late() {
        let mut line = CommandLine::parse("");
        let said = ["ip=10.0.0.9:::24:::none", "vlan=eth0.5:eth0", "bond=bond0:eth0,eth1", "brant.rescue"];
        add_arguments(&mut line, &said.map(str::to_owned));
        assert_eq!((line.addresses.len(), line.vlans.len(), line.bonds.len()), (1, 1, 1));
        assert!(!line.rescue && line.unknown.is_empty());
    }
}
