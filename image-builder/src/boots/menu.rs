//! The boot menu, as a person meets it: entries that can be read, and chosen by keys.

use super::says;
use super::ways::Way;
use crate::build::MENUS;
use crate::cluster::create::Nascent;
use crate::cluster::state::Plan;
use crate::iso9660::Image;
use anyhow::{Context, Result, ensure};
use brant_qemu::qmp::Qmp;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The entry that is chosen: it starts by itself never, and says soon what it is.
const CHOSEN: &str = "verify";
/// What it says.
const SAID: &str = "This medium is whole";
/// How wide a screen is, in characters.
const WIDTH: usize = 80;

/// Waits for the menu, takes its picture, goes down to the entry that checks the medium, and looks that this starts.
///
/// The picture stays in the cache, for people.
pub(super) fn choose(nascent: &Nascent, plan: &Plan, way: &Way, cache: &Path) -> Result<String> {
    let titles = titles(&plan.iso)?;
    let downs = titles.iter().position(|(id, _)| id == CHOSEN).context("finding the entry in the menu")?;
    let name = plan.nodes.first().context("finding the machine")?.name;
    let folder = nascent.cluster().node_folder(name);
    // The menu is on the serial line as well, in the same moment; what comes last is there when all is.
    let (_, last) = titles.last().context("finding the entries of the menu")?;
    says(nascent, plan, last)?;
    let mut qmp = Qmp::connect(&folder).context("coming to the keyboard")?;
    let picture = cache.join(format!("{}.ppm", way.name));
    for _ in 0..downs {
        qmp.press("down").context("pressing a key")?;
    }
    qmp.picture(&picture).context("taking a picture of the screen")?;
    for (_, title) in &titles {
        ensure!(title.chars().count() < WIDTH, "`{title}` does not fit the screen");
        says(nascent, plan, title)?;
    }
    ensure!(colours(&picture)? > 1, "the screen is empty: `{}`", picture.display());
    qmp.press("ret").context("pressing a key")?;
    drop(qmp);
    says(nascent, plan, SAID)?;
    let count = titles.len();
    Ok(format!("shows {count} entries, and the one chosen by keys starts; picture: `{}`", picture.display()))
}

/// The entries of the image's menu: what each is called for machines, and for people.
fn titles(iso: &Path) -> Result<Vec<(String, String)>> {
    let file = File::open(iso).with_context(|| format!("opening `{}`", iso.display()))?;
    let image = Image::open(&file)?;
    let bytes = image.read(image.find(MENUS[1])?, 1 << 20)?;
    let text = String::from_utf8(bytes).context("reading the menu")?;
    Ok(entries(&text))
}

fn entries(menu: &str) -> Vec<(String, String)> {
    let one = |line: &str| {
        let rest = line.strip_prefix("menuentry ")?;
        let quote = rest.chars().next()?;
        let (title, rest) = rest[1..].split_once(quote)?;
        let id = rest.split("--id ").nth(1)?.split(' ').next()?;
        Some((id.to_owned(), title.to_owned()))
    };
    menu.lines().filter_map(one).collect()
}

/// How many colours there are on a picture.
fn colours(picture: &PathBuf) -> Result<usize> {
    let looking = || format!("looking at the picture `{}`", picture.display());
    let bytes = fs::read(picture).with_context(looking)?;
    // Three lines of text come first; what of them counts as a colour here is one or none.
    let dots = bytes.splitn(4, |byte| *byte == b'\n').nth(3).with_context(looking)?;
    let all: BTreeSet<&[u8]> = dots.chunks_exact(3).collect();
    Ok(all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_in_their_order() {
        let all = entries(include_str!("../build/golden/grub.cfg"));
        assert_eq!(all.first().unwrap().0, "brant");
        assert!(all.iter().any(|(id, title)| id == CHOSEN && title == "Check this medium"), "{all:?}");
    }

    #[test]
    fn an_empty_screen_has_one_colour() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ppm");
        let picture = |dots: &[u8]| fs::write(&path, [b"P6\n2 1\n255\n", dots].concat()).unwrap();
        picture(&[0, 0, 0, 0, 0, 0]);
        assert_eq!(colours(&path).unwrap(), 1);
        picture(&[0, 0, 0, 9, 9, 9]);
        assert_eq!(colours(&path).unwrap(), 2);
    }
}
