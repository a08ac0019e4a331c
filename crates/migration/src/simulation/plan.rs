//! What goes wrong in one schedule, drawn from its seed; and the faults that can be built into the protocol itself, to
//! show that the checks see them.

use super::random::Random;

/// Microseconds of the simulated world.
pub(super) type Micros = u64;
/// One second.
pub(super) const SECOND: Micros = 1_000_000;

/// When the last move is asked for and the last fault begins.
pub(super) const FAULTS_END: Micros = 20 * SECOND;
/// How long everything may take to settle once all links and daemons are whole again.
pub(super) const SETTLING: Micros = 45 * SECOND;
/// And how long until nothing is left, once the process has ended.
pub(super) const ENDING: Micros = 40 * SECOND;

/// More than this does not happen in a schedule; who exceeds it talks without end.
pub(super) const MOST_EVENTS: u64 = 50_000;

/// How many nodes there are; the first is the home node.
pub(super) const NODES: usize = 3;

/// A fault built into the machines' surroundings. Each has to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faulty {
    /// The record is said to be written, and is not.
    ForgetsTheRecord,
    /// A restored process runs before home has committed.
    RunsWhenRestored,
    /// Home does not wait until a lease is surely over.
    NegativeMargin,
    /// A host counts its lease from when home's letter came.
    LeaseFromArrival,
    /// Only the daemon, not the capsule, keeps the lease.
    NoLeaseInCapsule,
    /// Letters that come late, twice, or for an earlier run of the daemon are read.
    ReadsOldLetters,
    /// A source lets the process go on by itself when it could not send the image.
    ThawsWhenSendingFails,
    /// A restarted host ends what it had promised to hold.
    DropsHeldOnRestart,
    /// A restarted host lets a process run that it finds frozen.
    ThawsOnRestart,
    /// A restarted home lets a redirected task run without putting it back.
    ThawsWithoutPuttingBack,
    /// The deputy is said to stand before it does.
    BelievesInExecve,
    /// A task is put back only after the record that says how is gone.
    PutsBackTooLate,
    /// The relay's end does not go along with the image.
    RelayStaysBehind,
    /// Images are not removed.
    LeavesImages,
}

/// Every one of them.
pub const EVERY_FAULTY: [Faulty; 14] = [
    Faulty::ForgetsTheRecord,
    Faulty::RunsWhenRestored,
    Faulty::NegativeMargin,
    Faulty::LeaseFromArrival,
    Faulty::NoLeaseInCapsule,
    Faulty::ReadsOldLetters,
    Faulty::ThawsWhenSendingFails,
    Faulty::DropsHeldOnRestart,
    Faulty::ThawsOnRestart,
    Faulty::ThawsWithoutPuttingBack,
    Faulty::BelievesInExecve,
    Faulty::PutsBackTooLate,
    Faulty::RelayStaysBehind,
    Faulty::LeavesImages,
];

/// What happens to the world at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// Somebody asks for a move to this node.
    Move(usize),
    /// The link between two nodes is cut for so long.
    Cut(usize, usize, Micros),
    /// A node's daemon is killed, and started again after so long.
    Crash(usize, Micros),
    /// A node's power fails for good.
    PowerLoss(usize),
    /// The owner kills the process on its home node.
    UserKills,
}

/// One schedule.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) happenings: Vec<(Micros, Happening)>,
    /// In thousandths.
    pub(super) loss: u64,
    pub(super) doubled: u64,
    pub(super) late: u64,
    pub(super) work_fails: u64,
    pub(super) record_fails: u64,
    /// Clocks' rates, in millionths of too much or too little.
    pub(super) rates: [i64; NODES],
    pub(super) offsets: [Micros; NODES],
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let mut happenings = Vec::new();
        let mut moves = Vec::new();
        for _ in 0..random.between(1, 5) {
            let at = random.between(SECOND / 2, FAULTS_END);
            moves.push(at);
            happenings.push((at, Happening::Move(random.pick(&[1, 1, 2, 2, 0]))));
        }
        for _ in 0..random.between(0, 5) {
            // Most of what goes wrong goes wrong while a process moves.
            let at = if random.chance(800) {
                random.pick(&moves) + random.between(0, 2 * SECOND)
            } else {
                random.between(0, FAULTS_END)
            };
            happenings.push((at.min(FAULTS_END), fault(random)));
        }
        happenings.sort_by_key(|(at, _)| *at);
        let quiet = random.chance(400);
        let mut rate = |of: &[u64]| if quiet { 0 } else { random.pick(of) };
        let (loss, doubled, late) = (rate(&[0, 20, 100]), rate(&[0, 20, 100]), rate(&[0, 20, 60]));
        Self {
            happenings,
            loss,
            doubled,
            late,
            work_fails: random.pick(&[0, 0, 30, 150]),
            record_fails: random.pick(&[0, 0, 50, 300]),
            rates: std::array::from_fn(|_| random.between(0, 20_000) as i64 - 10_000),
            offsets: std::array::from_fn(|_| random.between(0, 1_000_000) * SECOND),
        }
    }

    /// When all links and daemons are whole again.
    pub(super) fn whole_at(&self) -> Micros {
        let ends = self.happenings.iter().map(|(at, happening)| match happening {
            Happening::Cut(_, _, length) | Happening::Crash(_, length) => at + length,
            _ => *at,
        });
        ends.max().unwrap_or(0) + SECOND / 10
    }

    /// Whether only links, daemons and nodes fail, and no letter is lost or late besides.
    pub(super) fn has_fair_links(&self) -> bool {
        self.loss == 0 && self.late == 0
    }
}

fn fault(random: &mut Random) -> Happening {
    let long = random.chance(300);
    let for_long =
        if long { random.between(8 * SECOND, 17 * SECOND) } else { random.between(SECOND / 100, 6 * SECOND) };
    let node = random.between(0, NODES as u64) as usize;
    match random.between(0, 100) {
        0..45 => Happening::Crash(node, for_long),
        45..85 => Happening::Cut(node, (node + 1) % NODES, for_long),
        85..96 => Happening::PowerLoss(random.pick(&[0, 1, 1, 2, 2])),
        _ => Happening::UserKills,
    }
}
