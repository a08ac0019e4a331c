//! Who hears nobody is probably cut off itself: a cable that is moved, a switch that starts anew. Its verdicts must not outlive
//! that: to SWIM the word of one member that another is dead is final.
//!
//! ```text
//! hears ──2 s of silence──▶ deaf: nobody it suspects is dead before 4.5 s of silence, when the others have lost this node
//!   ▲                         │ a word of a member
//!   └─ begins anew, if it has ┘ suspected anybody: knows whom it still takes for alive, and says nothing of the others
//! ```
//! (Lifeguard, Dadgar et al. 2017, has slow members wait longer as well; here silence says enough, for in a cluster of two the
//! other one is noticed after 4.5 s.)

use super::{Instant, Membership, Standing};
use crate::swim::{self, SwimIdentity, Timers};
use foca::{AccumulatingRuntime, Foca, Member, PostcardCodec, State, Timer};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::time::Duration;

/// Everybody else says several things a second.
const SILENCE: Duration = Duration::from_secs(2);
/// By then most others have lost a node that is cut off. To those that have not it says nothing of what it takes for lost
/// until it hears somebody; it begins anew then.
const LOST: Duration = Duration::from_millis(4500);

impl Membership {
    /// When a verdict may be given that is due now; none for now.
    pub(super) fn verdict_waits(&self, now: Instant, timer: &Timer<SwimIdentity>) -> Option<Instant> {
        let is_verdict = matches!(timer, Timer::ChangeSuspectToDown { .. });
        let silent = now.saturating_sub(self.heard_at);
        (is_verdict && (SILENCE..LOST).contains(&silent)).then_some(self.heard_at + LOST)
    }

    /// Whether it has lost others while it heard nobody: nobody needs to hear of that.
    pub(super) fn is_cut_off(&self, now: Instant) -> bool {
        self.lost_at > self.heard_at && now >= self.heard_at + SILENCE
    }

    /// A node that is taken for this has said something. One that is no member yet counts only when some were lost: of those all
    /// may be forgotten. Else who has recorded such nodes could have this one doubt its verdicts for ever.
    pub(super) fn hear_anybody(&mut self, now: Instant, standing: Standing) {
        if standing == Standing::Pending && self.lost_at <= self.heard_at {
            return;
        }
        let was_deaf = now >= self.heard_at + SILENCE;
        let suspects = || self.swim.iter_members().any(|member| member.state() == State::Suspect);
        if self.is_cut_off(now) || (was_deaf && suspects()) {
            self.begin_anew(now);
        }
        self.heard_at = now;
    }

    /// SWIM's state without all that it has still to say; the identity is the next one, for the others may have this one down.
    fn begin_anew(&mut self, now: Instant) {
        let alive: Vec<Member<SwimIdentity>> = self
            .swim
            .iter_members()
            .map(|member| Member::new(*member.id(), member.incarnation(), State::Alive))
            .collect();
        let renewal = self.swim.identity().renewal.wrapping_add(1);
        let identity = SwimIdentity { node: self.me.id, renewal };
        self.swim = Foca::new(identity, swim::config(), StdRng::from_rng(&mut self.rng), PostcardCodec);
        self.runtime = AccumulatingRuntime::new();
        self.timers = Timers::default();
        self.doubted.clear();
        (self.backlog, self.parts) = (0, None);
        let _refused = self.swim.apply_many(alive.into_iter(), false, &mut self.runtime);
        // Said at once, the new identity refutes what others suspect of the old one.
        let _refused = self.swim.gossip(&mut self.runtime);
        self.next_loads = self.next_loads.min(now);
    }
}
