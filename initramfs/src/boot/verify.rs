//! `brant.verify`: compares every file of the medium with its sum, says which are damaged, and restarts the PC.

use super::checksum;
use super::root::medium;
use crate::command_line::CommandLine;
use crate::devices::Uevents;
use crate::modules::Modules;
use crate::power::Ending;
use crate::report;
use crate::rescue::Invitation;
use anyhow::{Context, Result, bail};
use brant_types::boot::{ImageFacts, MEDIUM_SUMS, marker};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A file of the medium, as it should be.
#[derive(Debug, PartialEq, Eq)]
struct Sum {
    sum: u64,
    bytes: u64,
    path: String,
}

/// Checks the medium that this image was started from; returns only with the reason why it could not.
pub(super) fn run(
    image: &ImageFacts,
    line: &CommandLine,
    modules: &mut Modules,
    uevents: &mut Uevents,
) -> Result<()> {
    let (file, image) = (marker(&image.image_id), line.image_file.clone());
    let wanted = medium::Wanted { file, image, ..Default::default() };
    let found = medium::find(&wanted, modules, uevents)?.file;
    let top = top_of(&found, &wanted.file)?;
    let text = fs::read_to_string(top.join(MEDIUM_SUMS.trim_start_matches('/')))
        .context("reading the sums of the medium's files")?;
    let sums = parse(&text)?;
    let mut damaged = Vec::new();
    for (number, sum) in sums.iter().enumerate() {
        report::say(&format!("checking {} of {}: {}", number + 1, sums.len(), sum.path));
        match is_whole(&top, sum) {
            Ok(true) => {}
            Ok(false) => damaged.push(format!("{}: changed", sum.path)),
            Err(error) => damaged.push(format!("{}: {error}", sum.path)),
        }
    }
    Invitation::extend(&verdict(sums.len(), &damaged)).wait()?;
    Ending::Reboot.now()
}

/// Where the medium is mounted, by where a file of it is.
pub(super) fn top_of(file: &File, path: &str) -> Result<PathBuf> {
    let place = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).context("finding the medium")?;
    let place = place.to_string_lossy().into_owned();
    let top = place.strip_suffix(path).context("finding the medium")?;
    Ok(PathBuf::from(top))
}

fn parse(text: &str) -> Result<Vec<Sum>> {
    let mut sums = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let (sum, bytes, path) = (words.next(), words.next(), words.next());
        let sum = sum.and_then(|sum| u64::from_str_radix(sum, 16).ok());
        let bytes = bytes.and_then(|bytes| bytes.parse().ok());
        let (Some(sum), Some(bytes), Some(path)) = (sum, bytes, path) else {
            bail!("the list of sums on the medium is damaged");
        };
        sums.push(Sum { sum, bytes, path: path.to_owned() });
    }
    if sums.is_empty() { bail!("the list of sums on the medium is empty") } else { Ok(sums) }
}

fn is_whole(top: &Path, sum: &Sum) -> std::io::Result<bool> {
    let mut file = File::open(top.join(sum.path.trim_start_matches('/')))?.take(sum.bytes);
    Ok(checksum::of(&mut file)? == (sum.sum, sum.bytes))
}

fn verdict(count: usize, damaged: &[String]) -> String {
    if damaged.is_empty() {
        return format!(
            "\n*** This medium is whole: all {count} files are what they should be.\n*** Press Enter to restart this PC.\n"
        );
    }
    let list: String = damaged.iter().map(|file| format!("***   {file}\n")).collect();
    format!(
        "\n*** This medium is damaged ({} of {count} files):\n{list}\
         *** What to try:  write the image to this medium anew, or to another one.\n\
         *** Press Enter to restart this PC.\n",
        damaged.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use twox_hash::XxHash64;

    #[test]
    fn a_changed_or_shorter_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "12345").unwrap();
        let sum = |text: &str| XxHash64::oneshot(0, text.as_bytes());
        let of = |text: &str| Sum { sum: sum(text), bytes: text.len() as u64, path: "/a".to_owned() };
        assert!(is_whole(folder.path(), &of("12345")).unwrap());
        // What follows belongs to the site.
        assert!(is_whole(folder.path(), &of("123")).unwrap());
        assert!(!is_whole(folder.path(), &of("12346")).unwrap());
        assert!(!is_whole(folder.path(), &of("123456")).unwrap());
    }

    #[test]
    fn a_damaged_list_is_refused() {
        assert_eq!(parse("00ff 12 /a b\n").unwrap(), [Sum { sum: 255, bytes: 12, path: "/a b".to_owned() }]);
        assert!(parse("00ff twelve /a\n").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn the_verdict_names_what_is_damaged() {
        assert!(verdict(3, &[]).contains("all 3 files"));
        assert!(verdict(3, &["/boot/vmlinuz: changed".to_owned()]).contains("/boot/vmlinuz: changed"));
    }
}
