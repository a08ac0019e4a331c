//! One host, as home knows it: what it was told, what it last said, and when.

use super::Stay;
use crate::session::letter::{FromHome, FromHost, Incarnation, Letter, Mail, Order, Standing};
use crate::session::{Settings, Time, Why, lease};

/// A host of one stay.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) stay: Stay,
    mail: Mail,
    standing: Option<Standing>,
    heard: Time,
    echo: Option<Time>,
    told: Option<Order>,
    told_at: Time,
}

/// What a letter from a host means to a move.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing that was not known.
    None,
    /// It stands differently.
    Standing,
    /// Its daemon was restarted, and does not hold the process as promised.
    Restarted,
}

impl Peer {
    /// One that has not been heard; its silence counts from now.
    pub(super) fn new(stay: Stay, me: Incarnation, now: Time) -> Self {
        Self {
            stay,
            mail: Mail::new(stay.session, me),
            standing: None,
            heard: now,
            echo: None,
            told: None,
            told_at: Time::ZERO,
        }
    }

    /// Takes a letter of this host in.
    pub(super) fn read(&mut self, now: Time, letter: Letter<FromHost>) -> News {
        let run = self.mail.them();
        let Some((_, FromHost { standing, sent_at })) = self.mail.read(letter) else { return News::None };
        self.heard = now;
        self.echo = Some(sent_at);
        // Its answer is due at once: it carries the echo.
        self.told = None;
        let restarted = run.is_some() && run != self.mail.them();
        let kept = matches!(standing, Standing::Held | Standing::Runs | Standing::Gone(_));
        let news = self.standing.as_ref() != Some(&standing);
        self.standing = Some(standing);
        match (restarted && !kept, news) {
            (true, _) => News::Restarted,
            (false, true) => News::Standing,
            (false, false) => News::None,
        }
    }

    /// The letter that is due, when this is what it is to do.
    pub(super) fn letter(
        &mut self,
        now: Time,
        order: Order,
        settings: &Settings,
    ) -> Option<Letter<FromHome>> {
        if self.told == Some(order) && !settings.is_word_due(self.told_at, now) {
            return None;
        }
        self.told = Some(order);
        self.told_at = now;
        Some(self.mail.write(FromHome { order, echo: self.echo }))
    }

    pub(super) fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }

    /// Whether it holds the process stopped, and its lease is far from its end.
    pub(super) fn surely_holds(&self, now: Time, settings: &Settings) -> bool {
        self.standing == Some(Standing::Held) && now < self.heard + settings.lease / 2
    }

    /// Why a host that once held the process has no copy that could run now, if that is certain. One that is only
    /// preparing has taken a late copy of the first request for a new one, and has nothing to run.
    pub(super) fn surely_lost(&self, now: Time, settings: &Settings) -> Option<Why> {
        match self.standing {
            Some(Standing::Preparing | Standing::Accepted) => Some(Why::Unknown),
            _ => self.surely_gone(now, settings),
        }
    }

    /// Why it has no copy that could run now, if that is certain.
    pub(super) fn surely_gone(&self, now: Time, settings: &Settings) -> Option<Why> {
        match &self.standing {
            Some(Standing::Gone(why)) => Some(why.clone()),
            _ if lease::surely_over(self.heard, now, settings) => Some(Why::Silent),
            _ => None,
        }
    }
}
