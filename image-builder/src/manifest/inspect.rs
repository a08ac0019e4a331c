//! `brant-image inspect FILE`: what an image is, how it boots, and whether it is whole.

use super::{Manifest, what_counts};
use crate::build::{hex, megabytes};
use crate::clock;
use crate::failure::{Advice, Kind};
use crate::iso9660::Image;
use crate::site::Own;
use anyhow::{Context as _, Result};
use clap::Args;
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Where an ISO 9660 volume says that it boots (El Torito).
const BOOT_RECORD: u64 = 17 * 2048;
/// The largest file of a medium that is read whole.
const MOST_FILE: u64 = 4 << 30;

/// Read an image without root: what it is, how it boots, what is in it.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The image.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print everything, each package and file included, as JSON.
    #[arg(long)]
    json: bool,
    /// Compare each file of the medium with its digest.
    #[arg(long)]
    verify: bool,
}

/// How firmware will see it.
struct Boots {
    bios: bool,
    el_torito: bool,
    partitions: Result<usize, String>,
}

/// Does it.
///
/// # Errors
/// It is no image of ours, or, with `--verify`, it is damaged.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let reading = || format!("reading `{}`", args.file.display());
    let file = File::open(&args.file).with_context(reading)?;
    let image = Image::open(&file).with_context(reading)?;
    let manifest = Manifest::of(&image).with_context(reading)?;
    let boots = Boots::look(&file).with_context(reading)?;
    let own = Own::find(&file).with_context(reading)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let all = json!({
            "label": image.label(),
            "boots": {
                "bios-disk": boots.bios,
                "cd": boots.el_torito,
                "gpt-partitions": boots.partitions.as_ref().ok(),
            },
            "site": {
                "cluster": own.site().cluster,
                "secret": own.site().secret.is_some(),
                "seeds": own.site().seeds,
                "ssh-keys": own.site().ssh_keys,
                "kernel-arguments": own.arguments(),
            },
            "manifest": manifest,
        });
        let text = serde_json::to_string_pretty(&all).context("writing JSON")?;
        writeln!(out, "{text}").context("printing")?;
    } else {
        let length = file.metadata().with_context(reading)?.len();
        for (name, value) in rows(&image, &manifest, &boots, length) {
            writeln!(out, "{name:16}  {value}").context("printing")?;
        }
        drop(out);
        own.show()?;
    }
    if args.verify { verify(&image, &manifest) } else { Ok(()) }
}

fn rows(image: &Image<'_>, manifest: &Manifest, boots: &Boots, length: u64) -> Vec<(&'static str, String)> {
    let facts = &manifest.image;
    let partitions = match &boots.partitions {
        Ok(count) => format!("valid GPT with {count} partitions"),
        Err(why) => format!("no valid GPT ({why})"),
    };
    let parts = manifest.sizes.rows(length).map(|(name, bytes)| format!("{name} {}", megabytes(bytes)));
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    vec![
        ("image", format!("{} (profile {}, Brant {})", facts.image_id, facts.profile, facts.version)),
        ("label", image.label().to_owned()),
        ("kernel", manifest.kernel.clone()),
        ("debian", format!("{}, as of {}", manifest.debian.suite, clock::utc(manifest.debian.date))),
        (
            "boots",
            format!("as CD: {}; by BIOS as disk: {}; {partitions}", yes(boots.el_torito), yes(boots.bios)),
        ),
        ("size", format!("{}: {}", megabytes(length), parts.join(", "))),
        ("packages", manifest.packages.len().to_string()),
        ("files", format!("{} on the root, {} on the medium", manifest.root.len(), manifest.medium.len())),
    ]
}

impl Boots {
    fn look(file: &File) -> Result<Self> {
        let mut sector = [0; 512];
        file.read_exact_at(&mut sector, 0)?;
        let mut record = [0; 30];
        file.read_exact_at(&mut record, BOOT_RECORD)?;
        let disk = GptConfig::new()
            .writable(false)
            .logical_block_size(LogicalBlockSize::Lb512)
            .only_valid_headers(true)
            .open_from_device(file.try_clone()?);
        Ok(Self {
            bios: sector[510..] == [0x55, 0xaa] && sector[..440].iter().any(|byte| *byte != 0),
            el_torito: record[1..6] == *b"CD001" && record[7..30] == *b"EL TORITO SPECIFICATION",
            partitions: disk
                .map(|disk| disk.partitions().values().filter(|partition| partition.is_used()).count())
                .map_err(|error| error.to_string()),
        })
    }
}

fn verify(image: &Image<'_>, manifest: &Manifest) -> Result<()> {
    let mut damaged = Vec::new();
    for entry in &manifest.medium {
        let found = image.find(&entry.path).and_then(|extent| image.read(extent, MOST_FILE));
        let counted = found.ok().and_then(|bytes| what_counts(&entry.path, bytes));
        let whole = counted.is_some_and(|bytes| hex(&Sha256::digest(&bytes)) == entry.sha256);
        if !whole {
            damaged.push(entry.path.as_str());
        }
    }
    if damaged.is_empty() {
        eprintln!("all {} files of the medium are what they were", manifest.medium.len());
        return Ok(());
    }
    let what = format!("the image is damaged: {}", damaged.join(", "));
    Err(Advice::new(Kind::Input, what).hint("copy or build it anew").error())
}
