//! Words between deputy and capsule, numbered end to end, so that a link that breaks, a daemon that restarts or a move
//! to another node neither loses nor doubles any.
//!
//! ```text
//!  say ──▶ [ said, not yet known to be taken ] ── packet{first, words} ──▶ take ──▶ the other side's words, in order
//!                        ▲──────────────────────── packet{taken} ◀──────────┘
//! ```
//!
//! The daemons in between only carry packets, and may lose, double and reorder them. What is said is kept until the
//! other end has taken it; after a while without progress all of that is sent again, and less and less often, for the
//! other end may be a deputy that somebody has stopped. At a move the capsule's end goes
//! along with the image ([`End::for_the_image`]): the end that is restored goes on where the frozen one stood.

use super::Time;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// Words in one packet, and how far its sender has taken the other side's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet<Word> {
    /// How many of the other side's words were taken, from the first ever.
    pub taken: u64,
    /// How many words were said before the first one here.
    pub first: u64,
    /// The words.
    pub words: Vec<Word>,
}

/// Most words that are said and not known to be taken; an end that has no room lets its source wait.
pub const WINDOW: usize = 64;

/// Most words in one packet, so that it fits into a frame.
pub const MOST_WORDS: usize = 8;
/// How often the patience is doubled at most.
const MOST_DOUBTS: u32 = 5;

/// One end: says `Out`, and takes the other end's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End<Out> {
    /// Words said that are known to be taken.
    known: u64,
    kept: VecDeque<Out>,
    /// How many of the kept words were sent since the last doubt.
    sent: usize,
    /// The other end's words that were taken.
    taken: u64,
    owes_word: bool,
    /// How often all was sent again since the other end has last taken something.
    #[serde(skip)]
    doubts: u32,
    #[serde(skip)]
    moved_on: Time,
}

impl<Out> Default for End<Out> {
    fn default() -> Self {
        Self {
            known: 0,
            kept: VecDeque::new(),
            sent: 0,
            taken: 0,
            owes_word: false,
            doubts: 0,
            moved_on: Duration::ZERO,
        }
    }
}

impl<Out: Clone> End<Out> {
    /// Whether there is room for another word. The last one of all is always said.
    pub fn has_room(&self) -> bool {
        self.kept.len() < WINDOW
    }

    /// Says a word.
    pub fn say(&mut self, word: Out) {
        self.kept.push_back(word);
    }

    /// Whether everything that was said is known to be taken.
    pub fn all_taken(&self) -> bool {
        self.kept.is_empty()
    }

    /// Takes a packet in; appends the words in it that are next in order.
    pub fn take<In>(&mut self, now: Time, packet: Packet<In>, words: &mut Vec<In>) {
        // More than was ever said can only come from somebody who is confused.
        if packet.taken > self.known + self.kept.len() as u64 {
            return;
        }
        if let Ok(news) = usize::try_from(packet.taken.saturating_sub(self.known))
            && news > 0
        {
            self.kept.drain(..news);
            self.known += news as u64;
            self.sent = self.sent.saturating_sub(news);
            self.moved_on = now;
            self.doubts = 0;
        }
        if packet.words.is_empty() {
            return;
        }
        // Also when all of it is known: the other end may have lost what it was told.
        self.owes_word = true;
        let Some(known) = self.taken.checked_sub(packet.first) else { return };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let fresh = packet.words.into_iter().skip(known);
        let before = words.len();
        words.extend(fresh);
        self.taken += (words.len() - before) as u64;
    }

    /// The next packet that is due, if any: words not sent yet, or word of what was taken.
    pub fn packet(&mut self, now: Time) -> Option<Packet<Out>> {
        if self.sent == self.kept.len() && !self.owes_word {
            return None;
        }
        if self.sent == 0 {
            self.moved_on = now;
        }
        let first = self.known + self.sent as u64;
        let words: Vec<Out> = self.kept.iter().skip(self.sent).take(MOST_WORDS).cloned().collect();
        self.sent += words.len();
        self.owes_word = false;
        Some(Packet { taken: self.taken, first, words })
    }

    /// Time has passed: words that nobody has taken for that long are sent again, next time after twice as long.
    pub fn tick(&mut self, now: Time, patience: Duration) {
        if !self.kept.is_empty() && now >= self.moved_on + patience * 2_u32.pow(self.doubts) {
            self.doubts = (self.doubts + 1).min(MOST_DOUBTS);
            self.send_again();
        }
    }

    /// There is a new way to the other end: what was under way on the old one may be lost.
    pub fn reattached(&mut self) {
        self.doubts = 0;
        self.send_again();
    }

    fn send_again(&mut self) {
        self.sent = 0;
        self.owes_word = true;
    }

    /// This end as it goes along with the image of a frozen process. The end that stays behind takes and says nothing
    /// any more, unless the move is called off.
    pub fn for_the_image(&self) -> Self {
        let mut copy = self.clone();
        copy.reattached();
        copy.moved_on = Duration::ZERO;
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand(from: &mut End<u32>, to: &mut End<u32>, heard: &mut Vec<u32>) {
        if let Some(packet) = from.packet(Duration::ZERO) {
            to.take(Duration::ZERO, packet, heard);
        }
    }

    #[test]
    fn lost_and_doubled_packets_lose_and_double_no_word() {
        let (mut a, mut b) = (End::default(), End::<u32>::default());
        let mut heard = Vec::new();
        a.say(1);
        let first = a.packet(Duration::ZERO).unwrap();
        a.say(2);
        let _lost = a.packet(Duration::ZERO);
        a.say(3);
        let gap = a.packet(Duration::ZERO).unwrap();
        b.take(Duration::ZERO, first.clone(), &mut heard);
        b.take(Duration::ZERO, gap, &mut heard);
        b.take(Duration::ZERO, first, &mut heard);
        assert_eq!(heard, [1]);
        a.tick(Duration::from_secs(2), Duration::from_secs(2));
        hand(&mut a, &mut b, &mut heard);
        assert_eq!(heard, [1, 2, 3]);
        assert!(!a.all_taken());
        hand(&mut b, &mut a, &mut Vec::new());
        assert!(a.all_taken());
    }

    #[test]
    fn a_long_speech_comes_in_several_packets() {
        let (mut a, mut b) = (End::default(), End::<u32>::default());
        let mut heard = Vec::new();
        (0..20).for_each(|word| a.say(word));
        let mut packets = 0;
        while let Some(packet) = a.packet(Duration::ZERO) {
            assert!(packet.words.len() <= MOST_WORDS);
            b.take(Duration::ZERO, packet, &mut heard);
            packets += 1;
        }
        assert_eq!((packets, heard), (3, (0..20).collect()));
    }

    #[test]
    fn who_takes_nothing_hears_less_and_less_often() {
        let at = Duration::from_secs;
        let mut end = End::default();
        end.say(1);
        let mut sent = Vec::new();
        for second in 0..60 {
            end.tick(at(second), at(2));
            sent.extend(end.packet(at(second)).map(|_| second));
        }
        assert_eq!(sent, [0, 2, 6, 14, 30]);
        end.take(at(60), Packet::<u32> { taken: 1, first: 0, words: Vec::new() }, &mut Vec::new());
        end.say(2);
        assert!(end.packet(at(61)).is_some());
        end.tick(at(63), at(2));
        assert!(end.packet(at(63)).is_some(), "after progress, the patience is short again");
    }

    #[test]
    fn an_end_that_went_with_the_image_goes_on_where_the_frozen_one_stood() {
        let (mut deputy, mut capsule) = (End::default(), End::default());
        let mut heard = Vec::new();
        capsule.say(1);
        hand(&mut capsule, &mut deputy, &mut heard);
        capsule.say(2);
        let mut next = capsule.for_the_image();
        next.say(3);
        hand(&mut next, &mut deputy, &mut heard);
        assert_eq!(heard, [1, 2, 3]);
    }

    #[test]
    fn an_answer_to_more_than_was_said_is_not_believed() {
        let mut end = End::<u32>::default();
        end.say(1);
        end.take(Duration::ZERO, Packet::<u32> { taken: 5, first: 0, words: Vec::new() }, &mut Vec::new());
        assert!(!end.all_taken());
    }
}
