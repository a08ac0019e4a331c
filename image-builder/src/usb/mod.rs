//! `brant-image usb`: a finished ISO made into the image of a stick that a person can open on any computer.
//!
//! ```text
//! old partition table (boots by BIOS) │ GPT │ partition for everybody: FAT, brant.toml, boot loaders, kernel, root │ GPT
//! ```
//! An ISO that is written to a stick is read-only there; here each file can be seen and changed, `brant.toml` above all.

mod disk;
mod files;

pub(crate) use disk::{BIOS_TOOLS, Persistence, Shape};
pub(crate) use files::is_left_out;

use crate::failure::{Advice, Kind};
use crate::iso9660::Image;
use crate::site::Own;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use clap::Args;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Make an ISO into the image of a USB stick whose settings a person can edit on any computer (`brant.toml`).
///
/// It boots by UEFI, with Secure Boot on or off, and by BIOS where this machine has Debian's packages `syslinux` and
/// `mtools`. `brant-image write` writes it onto a stick.
#[derive(Debug, Args)]
pub(crate) struct UsbArgs {
    /// The ISO [default: what `build` made last].
    #[arg(value_name = "ISO")]
    iso: Option<PathBuf>,
    /// Where the image goes [default: beside the ISO, with `.img` instead of `.iso`].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Do without the old BIOS, and without the programs that this takes.
    #[arg(long)]
    uefi_only: bool,
    /// Keep on the stick what is written on the PC that was started from it; takes all that is left of the stick.
    #[arg(long, value_enum, value_name = "HOW")]
    persistence: Option<Persistence>,
}

/// Does it.
///
/// # Errors
/// Not one of our ISOs, a program that is missing, or no room; what was there under that name is as it was.
pub(crate) fn run(args: &UsbArgs) -> Result<()> {
    let iso = match &args.iso {
        Some(iso) => iso.clone(),
        None => Workspace::find()?.image("compute"),
    };
    let output = args.output.clone().unwrap_or_else(|| iso.with_extension("img"));
    if output == iso {
        let what = format!("`{}` would be written over itself", iso.display());
        return Err(Advice::new(Kind::Input, what).hint("name another file with `--output`").error());
    }
    make(&iso, &output, Shape { bios: !args.uefi_only, persistence: args.persistence })
        .with_context(|| format!("making `{}` from `{}`", output.display(), iso.display()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", output.display()).context("saying where it is")
}

/// Makes it; it has its name when it is whole.
pub(crate) fn make(iso: &Path, output: &Path, shape: Shape) -> Result<()> {
    if shape.bios {
        disk::check_bios_tools()?;
    }
    let source = File::open(iso).with_context(|| format!("opening `{}`", iso.display()))?;
    let image = Image::open(&source)?;
    let own = Own::find(&source)?;
    let id = files::image_id(&image)?;
    let files = files::gather(&image, own.site())?;
    let name = output.file_name().context("it is not the name of a file")?.to_string_lossy().into_owned();
    let half = output.with_file_name(format!(".{name}.part"));
    let _left_by_an_earlier_run = fs::remove_file(&half);
    let made = (|| {
        // It may hold the secret.
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&half);
        disk::write(&file.context("opening it")?, &half, &files, &id, shape)?;
        crate::invoker::give(&half);
        fs::rename(&half, output).context("giving it its name")
    })();
    if made.is_err() {
        let _nothing_half_done = fs::remove_file(&half);
    }
    made
}
