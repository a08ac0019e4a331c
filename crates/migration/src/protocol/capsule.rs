//! Between a host's daemon and the capsule, on a local socket that the capsule listens at: the daemon may end and come
//! back, the capsule goes on.

use super::{FromProcess, ToProcess};
use crate::session::Time;
use crate::session::host::Found;
use crate::session::relay::Packet;
use serde::{Deserialize, Serialize};

/// From the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToCapsule {
    /// The image is complete: restore it, and hold it stopped.
    Restore,
    /// Let it run.
    Release,
    /// Freeze it: its image is made next.
    Depart,
    /// The image is made: put what goes along beside it.
    Pack,
    /// It does not move on: let it go on.
    Stay,
    /// It may live until then, by this node's clock.
    Until(Time),
    /// From the deputy.
    Packet(Packet<ToProcess>),
    /// There is a new way to the deputy.
    Reattached,
    /// The deputy was stopped: the process is to stop, too.
    Stop,
}

/// From the capsule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromCapsule {
    /// It stands, and waits for the image.
    Prepared,
    /// To a daemon that comes later: how it stands.
    Here {
        /// What is in it; nothing while it has made no promise yet.
        found: Option<Found>,
        /// How long it may live.
        until: Time,
        /// Whether the image is not needed any more.
        filled: bool,
    },
    /// Restored, and held before its first instruction.
    Held,
    /// It runs.
    Runs,
    /// The process's memory is all there, and the image is not needed any more.
    Filled,
    /// It stands still, for it to move on.
    Departing,
    /// What goes along with the image is there.
    Packed,
    /// It could not be made to stand still, or what goes along could not be packed. It stands still, or not, until it is
    /// told to stay.
    CannotDepart(String),
    /// It goes on here.
    Stays,
    /// For the deputy.
    Packet(Packet<FromProcess>),
    /// The process has ended, the deputy knows how, and it ends.
    Over,
    /// Something went wrong, and it ends.
    Failed(String),
}
