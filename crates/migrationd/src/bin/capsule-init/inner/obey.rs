//! What the daemon says, and the deputy through it.

use super::{Capsule, Stage};
use crate::departure::{self, Told};
use crate::members;
use crate::restore;
use crate::root;
use crate::streams::OnDemand;
use anyhow::{Result, bail};
use brant_migration::protocol::{FromCapsule, FromProcess, ToCapsule, ToProcess};
use brant_migration::session::lease::Lease;
use brant_migration::session::relay::Packet;
use brant_migration::stream::StreamWord;
use brant_migrationd::clock;
use brant_migrationd::dump::CUT_LOOSE;
use brant_sys::process::SIGSTOP;
use brant_sys::signal;

impl Capsule {
    pub(super) fn obey(&mut self, word: ToCapsule) -> Result<()> {
        match word {
            ToCapsule::Release => self.release(),
            ToCapsule::Depart => self.depart(),
            ToCapsule::Pack => self.pack(),
            ToCapsule::Stay => self.stay(),
            ToCapsule::Until(until) => {
                self.lease = Lease::found(until.max(self.lease.until()));
                Ok(())
            }
            ToCapsule::Packet(packet) => self.take(packet),
            ToCapsule::Reattached => {
                self.words.reattached();
                Ok(())
            }
            ToCapsule::Stop
                if matches!(self.stage, Stage::Running) && !self.is_stopped && self.end.is_none() =>
            {
                // Its deputy is stopped already.
                self.told.stopped = true;
                members::deliver(self.pid, SIGSTOP)
            }
            ToCapsule::Stop => Ok(()),
            ToCapsule::Restore => bail!("told twice to restore a process"),
        }
    }

    fn release(&mut self) -> Result<()> {
        match (&self.stage, &self.service) {
            (Stage::Held, Some(service)) => {
                restore::go_on(service)?;
                self.stage = Stage::Releasing;
                Ok(())
            }
            (Stage::Held, None) => bail!("CRIU has ended while it held the process"),
            // It was told so before, by a daemon that has ended.
            (Stage::Running, _) => self.control.say(&FromCapsule::Runs),
            _ => Ok(()),
        }
    }

    /// Takes the deputy's words. An end that has departed takes nothing any more: the one that has gone along does.
    fn take(&mut self, packet: Packet<ToProcess>) -> Result<()> {
        if !matches!(self.stage, Stage::Running | Stage::Emptying | Stage::Over) {
            return Ok(());
        }
        let mut words = Vec::new();
        self.words.take(clock::now(), packet, &mut words);
        words.into_iter().try_for_each(|word| self.hear(word))
    }

    fn hear(&mut self, word: ToProcess) -> Result<()> {
        match word {
            ToProcess::Signal(signal) => {
                self.note_signal(signal);
                members::deliver(self.pid, signal)
            }
            ToProcess::SignalGroup(signal) => {
                self.note_signal(signal);
                let group = members::of_group(&members::all(&self.helpers()), self.group);
                group.into_iter().try_for_each(|pid| members::deliver(pid, signal))
            }
            ToProcess::Input(bytes) => self.terminal.write(&bytes),
            ToProcess::Resize(size) => self.terminal.resize(size),
            ToProcess::Stream(word) => {
                self.stream(word);
                Ok(())
            }
        }
    }

    fn stream(&mut self, word: StreamWord) {
        self.on_demand.iter_mut().for_each(|stream| stream.came(&word));
        self.streams.take(word);
    }

    /// A deputy that goes on knows nothing of a stop that comes now.
    fn note_signal(&mut self, signal: i32) {
        if signal == signal::SIGCONT {
            self.told.stopped = false;
        }
    }

    /// Has the process stand still, for its image to be made.
    fn depart(&mut self) -> Result<()> {
        let why = match (&self.stage, self.end, &self.filler) {
            (Stage::Running, None, None) => None,
            (Stage::Running, None, Some(_)) => Some("its memory is not all there yet"),
            _ => Some("it is just ending"),
        };
        if let Some(why) = why {
            return self.control.say(&FromCapsule::CannotDepart(why.to_owned()));
        }
        if let Err(error) = departure::freeze() {
            departure::thaw()?;
            return self.control.say(&FromCapsule::CannotDepart(format!("{error:#}")));
        }
        // An image is of a process and its descendants; those that others of them have left behind would be lost.
        if members::has_orphans(&members::all(&self.helpers()), self.pid) {
            departure::thaw()?;
            return self.control.say(&FromCapsule::CannotDepart(CUT_LOOSE.to_owned()));
        }
        for word in self.streams.drain() {
            self.words.say(FromProcess::Stream(word));
        }
        self.tell_offsets();
        self.stage = Stage::Frozen;
        self.control.say(&FromCapsule::Departing)
    }

    /// Its image is made: what that does not hold is put beside it.
    fn pack(&mut self) -> Result<()> {
        if !matches!(self.stage, Stage::Frozen) {
            return self.control.say(&FromCapsule::CannotDepart("it does not stand still".to_owned()));
        }
        let asked = self.on_demand.iter().map(OnDemand::owed).collect();
        // What it is told next, it is told where it goes on.
        let told = Told { stopped: self.is_stopped, ..self.told };
        let words = self.words.for_the_image();
        let packed = root::pack_named_memory(&self.named_memory)
            .and_then(|()| departure::pack(&mut self.streams, &self.pipes, words, asked, told));
        match packed {
            Ok(departed) => {
                self.stage = Stage::Departed(departed);
                self.control.say(&FromCapsule::Packed)
            }
            Err(error) => self.control.say(&FromCapsule::CannotDepart(format!("{error:#}"))),
        }
    }

    /// It does not leave after all.
    fn stay(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.stage, Stage::Running) {
            Stage::Frozen => departure::thaw()?,
            Stage::Departed(departed) => {
                departed.undo(&mut self.streams, &self.pipes)?;
                departure::thaw()?;
            }
            other => self.stage = other,
        }
        self.control.say(&FromCapsule::Stays)
    }
}
