//! Rounds of pages, merged as they come into one file that holds each page once, in the order of addresses.
//!
//! CRIU fills memory lazily, or reads it in large pieces, only from an image without parents. So where the next round
//! has a page again, its contents are overwritten in place; a page that is new goes to the end of the file when it
//! belongs there, else aside into the spill; and when the round is over, a [`Plan`] says what must be moved to make
//! the file flat again: nothing, when the process has the same pages as before.
//!
//! ```text
//! Flat ──begin──▶ Merge ──add(run)*──▶ Merge ──finish──▶ Flat + Plan
//! ```
//!
//! There is one of these for each process and each piece of shared memory. Which of them are in the last round decides
//! which are restored. All positions and lengths are in pages.

use crate::pagemap::{IN_PARENT, LAZY, PAGE, PRESENT, Run};
use std::collections::BTreeSet;

/// Pages that follow each other both in memory and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    first: u64,
    pages: u64,
    lazy: bool,
    at: u64,
}

impl Extent {
    fn end(&self) -> u64 {
        self.first + self.pages
    }
}

/// A flat file's contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flat {
    extents: Vec<Extent>,
}

/// Where contents are written, or lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the flat file.
    Main(u64),
    /// Aside, until the round is over.
    Spill(u64),
}

/// What to do with the next contents that arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Where they go.
    pub to: Place,
    /// How many pages.
    pub pages: u64,
}

/// Pages to be copied; the two ranges may overlap when both are in the flat file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// From where.
    pub from: u64,
    /// To where, in the flat file.
    pub to: u64,
    /// How many pages.
    pub pages: u64,
}

/// What makes the file flat again after a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// First these, in this order, within the flat file.
    pub shifts: Vec<Copy>,
    /// Then these, from the spill.
    pub fills: Vec<Copy>,
    /// Then the flat file is cut to this length.
    pub pages: u64,
}

/// Why a run was not taken. The merge is of no use any more: the move is to be called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unmergeable {
    /// Addresses do not ascend.
    #[error("the run of pages at {0:#x} is out of order")]
    Order(u64),
    /// A run of no pages, of part of a page, beyond the end of all addresses, or with other flags.
    #[error("the run of pages at {0:#x} makes no sense")]
    Nonsense(u64),
    /// More than was negotiated.
    #[error("there are more than {0} pages, the most that was negotiated")]
    TooMany(u64),
}

/// A round under way.
#[derive(Debug)]
pub struct Merge {
    old: Vec<Extent>,
    old_pages: u64,
    cursor: usize,
    most: u64,
    new: Vec<(Extent, bool)>,
    pages: u64,
    spilled: u64,
    next: u64,
    missing: u64,
}

impl Flat {
    /// A round begins; it may have at most so many pages.
    pub fn begin(self, most: u64) -> Merge {
        let old_pages = self.extents.last().map_or(0, |last| last.at + last.pages);
        Merge {
            old: self.extents,
            old_pages,
            cursor: 0,
            most,
            new: Vec::new(),
            pages: 0,
            spilled: 0,
            next: 0,
            missing: 0,
        }
    }

    /// How many pages there are.
    pub fn pages(&self) -> u64 {
        self.extents.iter().map(|extent| extent.pages).sum()
    }

    /// The page map; the pages at the addresses `eager` are not lazy, whatever was said of them.
    pub fn runs(&self, eager: &BTreeSet<u64>) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for extent in &self.extents {
            let range = extent.first..extent.end();
            let mut cuts: Vec<u64> = vec![extent.first];
            for page in eager.iter().map(|address| address / PAGE).filter(|page| range.contains(page)) {
                cuts.extend([page, page + 1]);
            }
            cuts.push(extent.end());
            for part in cuts.windows(2) {
                let mut first = part[0];
                let lazy = extent.lazy && !eager.contains(&(first * PAGE));
                while first < part[1] {
                    let pages = u32::try_from(part[1] - first).unwrap_or(u32::MAX);
                    let flags = if lazy { PRESENT | LAZY } else { PRESENT };
                    runs.push(Run { address: first * PAGE, pages, flags });
                    first += u64::from(pages);
                }
            }
        }
        runs
    }
}

impl Merge {
    /// How many pages of this round are said to have come earlier, and have not. That happens where the kernel itself
    /// maps pages between CRIU's look at them and its asking what is written to from then on (khugepaged), or where the
    /// process moves its memory about; what is missing, and nothing else, is in no later round unless all is sent again.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Takes the next run; says where its contents go, piece by piece. Nothing, when they are there already.
    ///
    /// # Errors
    /// [`Unmergeable`]
    pub fn add(&mut self, run: Run) -> Result<Vec<Write>, Unmergeable> {
        let present = run.flags & PRESENT != 0;
        let first = run.address / PAGE;
        let end = first + u64::from(run.pages);
        let sensible = run.address.is_multiple_of(PAGE) && run.pages > 0 && end <= u64::MAX / PAGE;
        if !sensible || present == (run.flags & IN_PARENT != 0) {
            return Err(Unmergeable::Nonsense(run.address));
        }
        if first < self.next {
            return Err(Unmergeable::Order(run.address));
        }
        if self.pages + u64::from(run.pages) > self.most {
            return Err(Unmergeable::TooMany(self.most));
        }
        self.next = end;
        let mut writes = Vec::new();
        let mut at = first;
        while at < end {
            while self.old.get(self.cursor).is_some_and(|old| old.end() <= at) {
                self.cursor += 1;
            }
            let (pages, place, was_lazy) = match self.old.get(self.cursor) {
                Some(old) if old.first <= at => {
                    (old.end().min(end) - at, Place::Main(old.at + (at - old.first)), old.lazy)
                }
                later if !present => {
                    let pages = later.map_or(end, |old| old.first.min(end)) - at;
                    self.missing += pages;
                    at += pages;
                    continue;
                }
                later => {
                    let pages = later.map_or(end, |old| old.first.min(end)) - at;
                    // Beyond what was there, nothing has to make room.
                    let place = if self.pages >= self.old_pages {
                        Place::Main(self.pages)
                    } else {
                        Place::Spill(self.spilled)
                    };
                    (pages, place, false)
                }
            };
            let (from, spilled) = match place {
                Place::Main(from) => (from, false),
                Place::Spill(from) => (from, true),
            };
            if spilled {
                self.spilled += pages;
            }
            let lazy = if present { run.flags & LAZY != 0 } else { was_lazy };
            self.new.push((Extent { first: at, pages, lazy, at: from }, spilled));
            self.pages += pages;
            if present {
                writes.push(Write { to: place, pages });
            }
            at += pages;
        }
        Ok(writes)
    }

    /// The round is over: pages that it did not have are gone.
    pub fn finish(self) -> (Flat, Plan) {
        let (mut left, mut right, mut fills) = (Vec::new(), Vec::new(), Vec::new());
        let mut flat = Flat::default();
        let mut to = 0;
        for (extent, spilled) in self.new {
            let copy = Copy { from: extent.at, to, pages: extent.pages };
            if spilled {
                push(&mut fills, copy);
            } else if copy.from > to {
                push(&mut left, copy);
            } else if copy.from < to {
                push(&mut right, copy);
            }
            let flattened = Extent { at: to, ..extent };
            to += extent.pages;
            match flat.extents.last_mut() {
                Some(last) if last.end() == extent.first && last.lazy == extent.lazy => {
                    last.pages += extent.pages;
                }
                _ => flat.extents.push(flattened),
            }
        }
        // What is kept is kept in order, so a page can only overwrite one that moves the same way: towards the
        // beginning, the foremost go first; towards the end, the hindmost.
        right.reverse();
        left.append(&mut right);
        (flat, Plan { shifts: left, fills, pages: to })
    }
}

fn push(copies: &mut Vec<Copy>, next: Copy) {
    match copies.last_mut() {
        Some(last) if last.from + last.pages == next.from && last.to + last.pages == next.to => {
            last.pages += next.pages;
        }
        _ => copies.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const MOST: u64 = 1000;

    /// The file, page by page; each page's contents are a number.
    #[derive(Default)]
    struct Files {
        flat: Flat,
        main: Vec<u32>,
    }

    impl Files {
        fn round(&mut self, runs: &[(Run, Vec<u32>)]) -> Result<Plan, Unmergeable> {
            let mut merge = std::mem::take(&mut self.flat).begin(MOST);
            let mut spill = Vec::new();
            for (run, contents) in runs {
                let mut contents = &contents[..];
                for write in merge.add(*run)? {
                    let (piece, rest) = contents.split_at(write.pages as usize);
                    contents = rest;
                    let (file, at) = match write.to {
                        Place::Main(at) => (&mut self.main, at as usize),
                        Place::Spill(at) => (&mut spill, at as usize),
                    };
                    file.resize(file.len().max(at + piece.len()), 0);
                    file[at..at + piece.len()].copy_from_slice(piece);
                }
                assert!(contents.is_empty(), "every page has a place");
            }
            let (flat, plan) = merge.finish();
            self.main.resize(self.main.len().max(plan.pages as usize), 0);
            for copy in &plan.shifts {
                let from = copy.from as usize;
                self.main.copy_within(from..from + copy.pages as usize, copy.to as usize);
            }
            for copy in &plan.fills {
                let (from, to, pages) = (copy.from as usize, copy.to as usize, copy.pages as usize);
                self.main[to..to + pages].copy_from_slice(&spill[from..from + pages]);
            }
            self.main.truncate(plan.pages as usize);
            self.flat = flat;
            Ok(plan)
        }

        /// What CRIU would restore: page number to contents and laziness.
        fn read(&self) -> BTreeMap<u64, (u32, bool)> {
            let mut contents = self.main.iter();
            let mut pages = BTreeMap::new();
            for run in self.flat.runs(&BTreeSet::new()) {
                for n in 0..u64::from(run.pages) {
                    let page = run.address / PAGE + n;
                    pages.insert(page, (*contents.next().unwrap(), run.flags & LAZY != 0));
                }
            }
            assert!(contents.next().is_none(), "the file is longer than its map");
            pages
        }
    }

    fn present(first: u64, contents: &[u32]) -> (Run, Vec<u32>) {
        let flags = PRESENT | LAZY;
        (Run { address: first * PAGE, pages: contents.len() as u32, flags }, contents.to_vec())
    }

    fn parent(first: u64, pages: u32) -> (Run, Vec<u32>) {
        (Run { address: first * PAGE, pages, flags: IN_PARENT }, Vec::new())
    }

    #[test]
    fn pages_written_again_are_overwritten_in_place_and_nothing_moves() {
        let mut files = Files::default();
        files.round(&[present(10, &[1, 2, 3, 4]), present(20, &[5])]).unwrap();
        let plan =
            files.round(&[parent(10, 1), present(11, &[22, 33]), parent(13, 1), parent(20, 1)]).unwrap();
        assert_eq!(plan, Plan { shifts: vec![], fills: vec![], pages: 5 });
        assert_eq!(files.main, [1, 22, 33, 4, 5]);
    }

    #[test]
    fn new_pages_behind_all_others_need_no_second_copy() {
        let mut files = Files::default();
        files.round(&[present(10, &[1, 2])]).unwrap();
        let plan = files.round(&[parent(10, 2), present(12, &[3, 4])]).unwrap();
        assert_eq!(plan, Plan { shifts: vec![], fills: vec![], pages: 4 });
        assert_eq!(files.main, [1, 2, 3, 4]);
    }

    #[test]
    fn a_page_that_was_never_sent_is_missed() {
        let mut files = Files::default();
        files.round(&[present(10, &[1, 2])]).unwrap();
        let mut merge = files.flat.begin(MOST);
        merge.add(parent(9, 4).0).unwrap();
        assert_eq!(merge.missing(), 2);
        let (flat, plan) = merge.finish();
        assert_eq!((flat.pages(), plan.pages), (2, 2));
    }

    #[test]
    fn nonsense_is_refused() {
        let add = |runs: &[Run]| {
            let mut merge = Flat::default().begin(4);
            runs.iter().map(|run| merge.add(*run).map(|_| ())).find(Result::is_err).unwrap()
        };
        let run = |address, pages, flags| Run { address, pages, flags };
        assert_eq!(add(&[run(1, 1, PRESENT)]), Err(Unmergeable::Nonsense(1)));
        assert_eq!(add(&[run(0, 0, PRESENT)]), Err(Unmergeable::Nonsense(0)));
        assert_eq!(add(&[run(0, 1, LAZY)]), Err(Unmergeable::Nonsense(0)));
        let last = u64::MAX / PAGE * PAGE;
        assert_eq!(add(&[run(last, 2, PRESENT)]), Err(Unmergeable::Nonsense(last)));
        assert_eq!(
            add(&[run(PAGE, 2, PRESENT), run(2 * PAGE, 1, PRESENT)]),
            Err(Unmergeable::Order(2 * PAGE))
        );
        assert_eq!(add(&[run(0, 5, PRESENT)]), Err(Unmergeable::TooMany(4)));
    }

    #[test]
    fn pages_named_eager_are_not_lazy() {
        let mut files = Files::default();
        files.round(&[present(10, &[1, 2, 3])]).unwrap();
        let run = |page, pages, flags| Run { address: page * PAGE, pages, flags };
        assert_eq!(
            files.flat.runs(&BTreeSet::from([11 * PAGE, 99 * PAGE])),
            [run(10, 1, PRESENT | LAZY), run(11, 1, PRESENT), run(12, 1, PRESENT | LAZY)]
        );
        assert_eq!(files.flat.pages(), 3);
    }

    /// What each of 40 pages does in one round: nothing, gone, written, written by something that must not be lazy.
    fn rounds() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(0_u8..6, 40), 1..6)
    }

    proptest! {
        #[test]
        fn any_rounds_give_what_a_page_by_page_model_gives(rounds in rounds()) {
            let mut model: BTreeMap<u64, (u32, bool)> = BTreeMap::new();
            let mut files = Files::default();
            let mut stamp = 0;
            for round in rounds {
                let mut runs: Vec<(Run, Vec<u32>)> = Vec::new();
                for (page, act) in (0_u64..).zip(round) {
                    let flags = match act {
                        0 => {
                            model.remove(&page);
                            continue;
                        }
                        1 | 2 => {
                            stamp += 1;
                            model.insert(page, (stamp, act == 1));
                            if act == 1 { PRESENT | LAZY } else { PRESENT }
                        }
                        _ if model.contains_key(&page) => IN_PARENT,
                        _ => continue,
                    };
                    let contents = (flags != IN_PARENT).then_some(stamp);
                    match runs.last_mut() {
                        Some((run, all))
                            if run.address / PAGE + u64::from(run.pages) == page && run.flags == flags =>
                        {
                            run.pages += 1;
                            all.extend(contents);
                        }
                        _ => runs.push((
                            Run { address: page * PAGE, pages: 1, flags },
                            contents.into_iter().collect(),
                        )),
                    }
                }
                files.round(&runs).unwrap();
                prop_assert_eq!(&files.read(), &model);
            }
        }
    }
}
