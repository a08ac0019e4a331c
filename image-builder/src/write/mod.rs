//! `brant-image write FILE DEVICE`: an image onto a stick, and back again to compare.

mod device;
mod judge;

use crate::failure::{Advice, Kind};
use crate::interrupt;
use crate::pieces::fill;
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use judge::DeviceFacts;
use rustix::fs::{Advice as Use, OFlags, fadvise};
use std::fs::File;
use std::io::{IsTerminal, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const PIECE: usize = 4 << 20;
/// Pieces between two moments when everything is on the stick: what the progress shows is what is there.
const FLUSH_EVERY: u64 = 8;

/// Write an image onto a stick or card, and compare what is there then.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// The image.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The device, such as /dev/sdX; everything on it is lost.
    #[arg(value_name = "DEVICE")]
    device: PathBuf,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// Overwrite the device of this name (without /dev/) though it is built in, or in use.
    #[arg(long, value_name = "NAME")]
    overwrite: Option<String>,
}

/// Does it.
///
/// # Errors
/// A device that is not to be written to (nothing was done to it), or one that did not keep what was written.
pub(crate) fn run(args: &WriteArgs) -> Result<()> {
    let reading = || format!("reading the image `{}`", args.file.display());
    let mut image = File::open(&args.file).with_context(reading)?;
    let length = image.metadata().with_context(reading)?.len();
    ensure!(length > 0, "the image `{}` is empty", args.file.display());
    let (path, facts) = device::look(&args.device)?;
    judge::judge(&facts, length, args.overwrite.as_deref()).map_err(|refusal| {
        let what = format!("`{}` ({}) is not written to", path.display(), describe(&facts));
        let hint = refusal.hint(&facts.name);
        anyhow::Error::from(refusal).context(Advice::new(Kind::Output, what).hint(hint))
    })?;
    if !args.yes {
        ask(&path, &facts)?;
    }
    let mut device = open(&path, args.overwrite.is_none() || facts.used.is_empty())?;
    let (_, now) = device::look(&path)?;
    if now != facts {
        let what = format!("`{}` is not the device any more that was asked about", path.display());
        return Err(Advice::new(Kind::Output, what).hint("look at it with `lsblk`, and start again").error());
    }
    let unfinished = || format!("writing to `{}`: what is on it now is of no use", path.display());
    copy(&mut image, &mut device, length).with_context(unfinished)?;
    compare(&mut image, &mut device, length).with_context(|| format!("comparing `{}`", path.display()))?;
    eprintln!("`{}` holds the image, byte for byte; it can be taken out", path.display());
    Ok(())
}

fn describe(facts: &DeviceFacts) -> String {
    format!("{}, {}.{} GB", facts.model, facts.bytes / 1_000_000_000, facts.bytes / 100_000_000 % 10)
}

fn ask(path: &Path, facts: &DeviceFacts) -> Result<()> {
    let question = format!("`{}` ({}): everything on it will be lost.", path.display(), describe(facts));
    if !std::io::stdin().is_terminal() {
        let advice = Advice::new(Kind::Input, format!("{question} Nobody is there to be asked"));
        return Err(advice.hint("`--yes` answers").error());
    }
    eprint!("{question} Write to it? Type `yes`: ");
    std::io::stderr().flush().context("asking")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("hearing the answer")?;
    if answer.trim() == "yes" { Ok(()) } else { bail!("nothing was written") }
}

/// Exclusively, so that nobody mounts it meanwhile; not where it is in use and is to be overwritten all the same.
fn open(path: &Path, exclusively: bool) -> Result<File> {
    let flags = if exclusively { OFlags::EXCL } else { OFlags::empty() };
    let opened = File::options().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(path);
    opened.with_context(|| {
        let advice = Advice::new(Kind::Output, format!("opening `{}`", path.display()));
        advice.hint("writing to a device needs root, and nobody else may use it")
    })
}

fn copy(image: &mut File, device: &mut File, length: u64) -> Result<()> {
    let progress = progress("writing", length);
    let mut buffer = vec![0; PIECE];
    let mut pieces = 0;
    image.rewind().context("reading the image")?;
    loop {
        interrupt::check()?;
        let got = fill(image, &mut buffer).context("reading the image")?;
        if got == 0 {
            break;
        }
        device.write_all(&buffer[..got]).context("writing")?;
        pieces += 1;
        if pieces % FLUSH_EVERY == 0 {
            device.sync_data().context("writing")?;
        }
        progress.inc(got as u64);
    }
    device.sync_all().context("writing")?;
    progress.finish_and_clear();
    eprintln!("written");
    Ok(())
}

/// Reads it back from the device itself, not from memory.
fn compare(image: &mut File, device: &mut File, length: u64) -> Result<()> {
    fadvise(&*device, 0, None, Use::DontNeed).context("forgetting what was written")?;
    let progress = progress("comparing", length);
    let (mut wanted, mut found) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    image.rewind().context("reading the image")?;
    device.rewind().context("reading")?;
    loop {
        interrupt::check()?;
        let got = fill(image, &mut wanted).context("reading the image")?;
        if got == 0 {
            break;
        }
        device.read_exact(&mut found[..got]).context("reading")?;
        if let Some(differs) = wanted[..got].iter().zip(&found[..got]).position(|(a, b)| a != b) {
            let what = format!("it did not keep what was written: byte {} differs", at + differs as u64);
            return Err(Advice::new(Kind::Output, what)
                .hint("take another stick; this one is worn out")
                .error());
        }
        at += got as u64;
        progress.inc(got as u64);
    }
    progress.finish_and_clear();
    Ok(())
}

fn progress(what: &'static str, length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("{what} {} MB …", length / 1_000_000);
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length).with_prefix(what);
    let template = "{prefix}  {bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_was_written_is_compared_and_a_worn_out_place_found() {
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (mut image, mut device) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        image.write_all(&bytes).unwrap();
        copy(&mut image, &mut device, 5_000_000).unwrap();
        compare(&mut image, &mut device, 5_000_000).unwrap();
        device.write_all_at(&[!bytes[4_500_000]], 4_500_000).unwrap();
        let error = compare(&mut image, &mut device, 5_000_000).unwrap_err();
        assert!(error.to_string().contains("byte 4500000 differs"), "{error}");
    }
}
