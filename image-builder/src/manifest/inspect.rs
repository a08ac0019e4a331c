//! `brant-image inspect FILE`: what an image is, how it boots, and whether it is whole.

use super::Manifest;
use super::artefact::Artefact;
use crate::build::megabytes;
use crate::clock;
use crate::failure::{Advice, Kind};
use crate::site::show;
use anyhow::{Context as _, Result};
use clap::Args;
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Where an ISO 9660 volume says that it boots (El Torito).
const BOOT_RECORD: u64 = 17 * 2048;

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
    let artefact = Artefact::open(&args.file).with_context(reading)?;
    let manifest = artefact.manifest().with_context(reading)?;
    let label = artefact.label().with_context(reading)?;
    let boots = Boots::look(artefact.file()).with_context(reading)?;
    let site = artefact.site().with_context(reading)?;
    let arguments = artefact.arguments().with_context(reading)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let all = json!({
            "artefact": artefact.kind(),
            "label": label,
            "boots": {
                "bios-disk": boots.bios,
                "cd": boots.el_torito,
                "gpt-partitions": boots.partitions.as_ref().ok(),
            },
            "site": {
                "cluster": site.cluster,
                "secret": site.secret.is_some(),
                "seeds": site.seeds,
                "ssh-keys": site.ssh_keys,
                "kernel-arguments": arguments,
            },
            "manifest": manifest,
        });
        let text = serde_json::to_string_pretty(&all).context("writing JSON")?;
        writeln!(out, "{text}").context("printing")?;
    } else {
        let length = artefact.file().metadata().with_context(reading)?.len();
        if let Some(label) = label {
            writeln!(out, "{:16}  {label}", "label").context("printing")?;
        }
        for (name, value) in rows(&artefact, &manifest, &boots, length) {
            writeln!(out, "{name:16}  {value}").context("printing")?;
        }
        drop(out);
        show(&site, arguments)?;
    }
    if args.verify { verify(&artefact, &manifest) } else { Ok(()) }
}

fn rows(artefact: &Artefact, manifest: &Manifest, boots: &Boots, length: u64) -> Vec<(&'static str, String)> {
    let facts = &manifest.image;
    let partitions = match &boots.partitions {
        Ok(count) => format!("valid GPT with {count} partitions"),
        Err(why) => format!("no valid GPT ({why})"),
    };
    let parts = manifest.sizes.rows(length).map(|(name, bytes)| format!("{name} {}", megabytes(bytes)));
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    vec![
        ("image", format!("{} (profile {}, Brant {})", facts.image_id, facts.profile, facts.version)),
        ("artefact", artefact.kind().to_owned()),
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

fn verify(artefact: &Artefact, manifest: &Manifest) -> Result<()> {
    let (damaged, count) = artefact.damaged(manifest)?;
    if damaged.is_empty() {
        eprintln!("all {count} files are what they were");
        return Ok(());
    }
    let what = format!("the image is damaged: {}", damaged.join(", "));
    Err(Advice::new(Kind::Input, what).hint("copy or build it anew").error())
}
