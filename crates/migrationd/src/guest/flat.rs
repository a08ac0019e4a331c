//! The files of a flat image: [`brant_migration::flat`] decides, this reads, writes and copies.

use super::contents::Contents;
use anyhow::{Context, Result, bail};
use brant_migration::flat::{Copy, Flat, Merge, Place, Plan};
use brant_migration::pagemap::{self, Owner, PAGE, PRESENT, Run};
use brant_migration::protocol::{MOST_CONTENTS, MOST_RUNS};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How much is copied at a time, bytes.
const PIECE: u64 = 1 << 20;

/// The memory of all processes of an image, as it comes.
pub(super) struct FlatImage {
    folder: PathBuf,
    most: u64,
    made: u32,
    owners: BTreeMap<Owner, Store>,
}

/// The pages of one owner.
struct Store {
    number: u32,
    main: File,
    spill: Option<File>,
    flat: Flat,
    merge: Option<Merge>,
}

impl FlatImage {
    /// An empty one in this folder, that each owner may have so many pages in.
    pub(super) fn new(folder: &Path, most: u64) -> Self {
        Self { folder: folder.to_owned(), most, made: 0, owners: BTreeMap::new() }
    }

    /// Takes runs of one owner, and their contents from the link.
    pub(super) fn take(&mut self, owner: Owner, runs: &[Run], contents: &mut impl Contents) -> Result<()> {
        let pages: u64 =
            runs.iter().filter(|run| run.flags & PRESENT != 0).map(|run| u64::from(run.pages)).sum();
        let length = pages.checked_mul(PAGE).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= MOST_CONTENTS && runs.len() <= MOST_RUNS);
        let Some(length) = length else { bail!("{pages} pages in one message are too many") };
        let store = match self.owners.get_mut(&owner) {
            Some(store) => store,
            None => {
                self.made += 1;
                let store = Store::create(&self.folder, self.made)?;
                self.owners.entry(owner).or_insert(store)
            }
        };
        store.take(runs, contents, length, self.most)
    }

    /// A round is over: makes the files flat again. Who was not in it has ended. Gives the number of pages that are
    /// missing.
    pub(super) fn end_round(&mut self) -> Result<u64> {
        let ended: Vec<Owner> =
            self.owners.iter().filter_map(|(owner, store)| store.merge.is_none().then_some(*owner)).collect();
        for owner in ended {
            if let Some(store) = self.owners.remove(&owner) {
                let name = pagemap::pages_file_name(store.number);
                std::fs::remove_file(self.folder.join(name))
                    .context("removing the memory of a process that has ended")?;
            }
        }
        self.owners.values_mut().try_fold(0, |missing, store| Ok(missing + store.end_round()?))
    }

    /// The last round is over: what CRIU reads is written. `eager` names pages by process and address.
    pub(super) fn complete(&mut self, eager: &[(u64, u64)]) -> Result<()> {
        let missing = self.end_round()?;
        if missing > 0 {
            bail!("{missing} pages should have come in an earlier round");
        }
        for (owner, store) in &mut self.owners {
            let eager: BTreeSet<u64> = eager
                .iter()
                .filter(|(pid, _)| Owner::Process(*pid) == *owner)
                .map(|(_, address)| *address)
                .collect();
            store.spill = None;
            let map = pagemap::encode(store.number, store.flat.runs(&eager));
            std::fs::write(self.folder.join(owner.file_name()), map).context("writing a page map")?;
        }
        Ok(())
    }
}

impl Store {
    fn create(folder: &Path, number: u32) -> Result<Self> {
        let main = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.join(pagemap::pages_file_name(number)))
            .context("making a file for memory")?;
        Ok(Self { number, main, spill: None, flat: Flat::default(), merge: None })
    }

    /// All their contents together are so long.
    fn take(&mut self, runs: &[Run], contents: &mut impl Contents, mut left: usize, most: u64) -> Result<()> {
        let flat = &mut self.flat;
        let merge = self.merge.get_or_insert_with(|| std::mem::take(flat).begin(most));
        for run in runs {
            for write in merge.add(*run).context("merging a round of memory")? {
                let length = usize::try_from(write.pages * PAGE).unwrap_or(usize::MAX);
                left = left.checked_sub(length).context("a run of pages has no contents")?;
                let (file, at) = match write.to {
                    Place::Main(at) => (&self.main, at),
                    Place::Spill(at) => (spill(&mut self.spill)?, at),
                };
                contents.put(file, at * PAGE, length).context("receiving memory")?;
            }
        }
        if left == 0 { Ok(()) } else { bail!("contents of pages have come that nobody wants") }
    }

    fn end_round(&mut self) -> Result<u64> {
        let Some(merge) = self.merge.take() else { return Ok(0) };
        let missing = merge.missing();
        let (flat, plan) = merge.finish();
        self.flat = flat;
        let Plan { shifts, fills, pages } = plan;
        for copy in shifts {
            copy_pages(&self.main, &self.main, copy)?;
        }
        for copy in fills {
            copy_pages(spill(&mut self.spill)?, &self.main, copy)?;
        }
        if let Some(spill) = &self.spill {
            spill.set_len(0).context("emptying the spill")?;
        }
        self.main.set_len(pages * PAGE).context("cutting a file to its length")?;
        Ok(missing)
    }
}

/// A file without a name, in memory; it is gone when it is closed.
fn spill(file: &mut Option<File>) -> Result<&File> {
    match file {
        Some(file) => Ok(file),
        none => {
            let made = rustix::fs::memfd_create("brant spill", rustix::fs::MemfdFlags::CLOEXEC)
                .context("making a spill")?;
            Ok(none.insert(File::from(made)))
        }
    }
}

/// Copies pages; the ranges may overlap.
fn copy_pages(from: &File, to: &File, copy: Copy) -> Result<()> {
    let length = copy.pages * PAGE;
    let mut buffer = vec![0; usize::try_from(length.min(PIECE)).unwrap_or(0)];
    let mut done = 0;
    while done < length {
        let piece = (length - done).min(PIECE);
        // Towards the end, the hindmost piece goes first, so that nothing is overwritten before it is read.
        let at = if copy.to > copy.from { length - done - piece } else { done };
        let buffer = &mut buffer[..usize::try_from(piece).unwrap_or(0)];
        from.read_exact_at(buffer, copy.from * PAGE + at).context("reading memory")?;
        to.write_all_at(buffer, copy.to * PAGE + at).context("moving memory")?;
        done += piece;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_migration::pagemap::{IN_PARENT, LAZY};

    fn pages(numbers: &[u8]) -> Vec<u8> {
        numbers.iter().flat_map(|n| vec![*n; PAGE as usize]).collect()
    }

    fn run(page: u64, pages: u32, flags: u32) -> Run {
        Run { address: page * PAGE, pages, flags }
    }

    #[test]
    fn rounds_of_several_owners_become_one_flat_file_each() {
        let folder = tempfile::tempdir().unwrap();
        let mut image = FlatImage::new(folder.path(), 10_000);
        let (one, two) = (Owner::Process(41), Owner::Process(42));
        image.take(one, &[run(10, 2, PRESENT | LAZY)], &mut &pages(&[1, 2])[..]).unwrap();
        image.take(two, &[run(10, 1, PRESENT)], &mut &pages(&[9])[..]).unwrap();
        image.end_round().unwrap();
        // 42 has ended, 41 has a page less and two more, and shared memory comes along.
        let runs = [run(5, 1, PRESENT), run(11, 1, IN_PARENT), run(12, 1, PRESENT)];
        image.take(one, &runs, &mut &pages(&[5, 3])[..]).unwrap();
        image.take(Owner::Shared(7), &[run(0, 1, PRESENT)], &mut &pages(&[8])[..]).unwrap();
        image.complete(&[(41, 11 * PAGE)]).unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("pages-1.img"), pages(&[5, 2, 3]));
        let map = [run(5, 1, PRESENT), run(11, 1, PRESENT), run(12, 1, PRESENT)];
        assert_eq!(read("pagemap-41.img"), pagemap::encode(1, map));
        assert_eq!(read("pages-3.img"), pages(&[8]));
        assert_eq!(read("pagemap-shmem-7.img"), pagemap::encode(3, [run(0, 1, PRESENT)]));
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["pagemap-41.img", "pagemap-shmem-7.img", "pages-1.img", "pages-3.img"]);
    }

    #[test]
    fn large_shifts_either_way_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut image = FlatImage::new(folder.path(), 10_000);
        let owner = Owner::Process(1);
        let numbers: Vec<u8> = (0..=255).cycle().take(700).collect();
        for (n, part) in numbers.chunks(100).enumerate() {
            let first = 1000 + 100 * n as u64;
            image.take(owner, &[run(first, part.len() as u32, PRESENT)], &mut &pages(part)[..]).unwrap();
        }
        image.end_round().unwrap();
        image.take(owner, &[run(1, 3, PRESENT)], &mut &pages(&[7, 7, 7])[..]).unwrap();
        image.take(owner, &[run(1000, 700, IN_PARENT)], &mut &[][..]).unwrap();
        image.end_round().unwrap();
        image.take(owner, &[run(1001, 699, IN_PARENT)], &mut &[][..]).unwrap();
        image.complete(&[]).unwrap();
        assert_eq!(std::fs::read(folder.path().join("pages-1.img")).unwrap(), pages(&numbers[1..]));
    }

    #[test]
    fn a_message_with_more_than_was_agreed_is_refused_before_memory_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let mut image = FlatImage::new(folder.path(), 10_000);
        assert!(image.take(Owner::Process(1), &[run(0, u32::MAX, PRESENT)], &mut &[][..]).is_err());
    }
}
