//! Receiving a process's image into this node's memory.

use super::contents::FromLink;
use super::flat::FlatImage;
use crate::link::SILENCE;
use crate::wire;
use anyhow::{Context, Result, bail};
use brant_migration::pagemap::PAGE;
use brant_migration::protocol::{ImageAnswer, ImagePart, Offer};
use brant_types::meminfo;
use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

/// Room for CRIU's own files, and for what a small process grows by meanwhile, bytes.
const SLACK: u64 = 32 << 20;

/// The most that a process's image may take, bytes. A program that grows while it is copied is welcome to half of what is
/// free here.
fn budget(offer: &Offer) -> u64 {
    let resident = offer.resident_kib << 10;
    let negotiated = resident * 2 + SLACK;
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = meminfo::field(&meminfo, "MemAvailable").unwrap_or(0) << 10;
    negotiated.max(free / 2)
}

/// Takes rounds of memory, then files, until the image is whole.
pub(super) fn receive(link: &mut TcpStream, offer: &Offer, folder: &Path) -> Result<()> {
    link.set_read_timeout(Some(SILENCE)).context("setting up the link")?;
    // What was negotiated bounds what is taken.
    let mut budget = budget(offer);
    let mut flat = FlatImage::new(folder, budget / PAGE);
    let mut contents = FromLink::new(link)?;
    loop {
        match wire::receive(link).context("receiving an image")? {
            Some(ImagePart::Pages { owner, runs }) => flat.take(owner, &runs, &mut contents)?,
            Some(ImagePart::RoundOver) => {
                let missing = flat.end_round()?;
                wire::send(link, &ImageAnswer::Merged { missing }).context("answering who sends an image")?;
            }
            Some(ImagePart::LastRoundOver { eager }) => flat.complete(&eager)?,
            Some(ImagePart::File { name, size }) => {
                budget = budget.checked_sub(size).context("the image is larger than was negotiated")?;
                receive_file(link, folder, &name, size)?;
            }
            Some(ImagePart::Complete) => return Ok(()),
            Some(ImagePart::StillHere) => {}
            Some(other) => bail!("expected a part of an image, got {other:?}"),
            None => bail!("the image of `{}` broke off", offer.comm),
        }
    }
}

fn receive_file(link: &mut TcpStream, folder: &Path, name: &str, size: u64) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        bail!("`{name}` is no name for an image file");
    }
    let mut file =
        File::create_new(folder.join(name)).with_context(|| format!("making the image file `{name}`"))?;
    let mut left = size;
    while left > 0 {
        let Some(ImagePart::Data(part)) = wire::receive(link).context("receiving an image file")? else {
            bail!("the image file `{name}` ended early");
        };
        left = left
            .checked_sub(part.len() as u64)
            .with_context(|| format!("the image file `{name}` is longer than was said"))?;
        file.write_all(&part).with_context(|| format!("writing the image file `{name}`"))?;
    }
    Ok(())
}
