//! What belongs to a site: what the initramfs carries, and above it what a person has written into `brant.toml` on a stick.

use super::root::medium::{self, Wanted};
use super::verify::top_of;
use crate::command_line::CommandLine;
use crate::devices::Uevents;
use crate::modules::Modules;
use crate::report;
use anyhow::{Context, Result};
use brant_types::boot::marker;
use brant_types::site::{SITE, STICK, Site, Stick};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::time::Duration;

/// How long the stick is looked for; some sticks take their time, and somebody may have pulled it.
const PATIENCE: Duration = Duration::from_secs(20);
/// More than anybody writes into it, bytes.
const MOST: u64 = 64 << 10;

/// Reads both. What is wrong on the stick is said, and the node boots without it.
pub(super) fn find(
    line: &mut CommandLine,
    image_id: &str,
    modules: &mut Modules,
    uevents: &mut Uevents,
) -> Result<Site> {
    let mut site = carried()?;
    if line.stick {
        match on_the_stick(line, image_id, modules, uevents) {
            Ok(Some(stick)) => {
                line.add(&stick.kernel_arguments.join(" "));
                line.name = stick.name.clone().or(line.name.take());
                stick.lay_over(&mut site);
            }
            Ok(None) => {
                report::complain("the stick with this node's settings has not been found; going on without");
            }
            Err(error) => report::complain(&format!("{error:#}; going on without")),
        }
    }
    Ok(site)
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

fn on_the_stick(
    line: &CommandLine,
    image_id: &str,
    modules: &mut Modules,
    uevents: &mut Uevents,
) -> Result<Option<Stick>> {
    let wanted = Wanted { file: marker(image_id), length: 0, image: None };
    let Some(found) = medium::find_within(&wanted, modules, uevents, PATIENCE)? else { return Ok(None) };
    let path = top_of(&found, &wanted.file)?.join(STICK);
    drop(found);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    medium::let_go();
    read.with_context(|| format!("reading `{STICK}` on the stick"))?;
    if line.rescue {
        return Ok(None);
    }
    Stick::parse(&text).with_context(|| format!("understanding `{STICK}` on the stick")).map(Some)
}
