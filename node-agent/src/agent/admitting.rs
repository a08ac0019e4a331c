//! Admitting nodes that have no secret: the attempts of this node, and who waits for their end.

use super::wish::refused;
use brant_membership::admission::{Admissions, Code, Ended, Follows};
use brant_membership::core::Instant;
use brant_types::agent::{AgentAnswer, ApplicantView};
use brant_types::boot::Admitted;
use brant_types::node::NodeId;
use std::collections::BTreeMap;
use std::net::SocketAddrV6;
use tokio::sync::oneshot;

/// A datagram, and where it goes.
type Outgoing = (SocketAddrV6, Vec<u8>);

/// Who asks, and whom somebody is admitting.
pub(super) struct Admitting {
    admissions: Admissions,
    waiting: BTreeMap<NodeId, oneshot::Sender<AgentAnswer>>,
}

impl Admitting {
    /// Nobody asks yet.
    pub(super) fn new(admitted: Admitted) -> Self {
        Self { admissions: Admissions::new(admitted), waiting: BTreeMap::new() }
    }

    /// Who is admitted from now on gets this.
    pub(super) fn admit_to(&mut self, admitted: Admitted) {
        self.admissions.admit_to(admitted);
    }

    /// When something is due.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        self.admissions.next_tick()
    }

    /// Begins an attempt; the answer comes at its end.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        (who, code): (&str, &str),
        answer: oneshot::Sender<AgentAnswer>,
    ) -> Vec<Outgoing> {
        let hint = "`brant nodes` lists who asks, and each shows its code on its own screen";
        let refuse = |reason, message: &str| AgentAnswer::Refused(refused(reason, message, Some(hint)));
        let Some(code) = Code::typed(code) else {
            let _gone_away = answer.send(refuse("not_a_code", "a code has eight digits"));
            return Vec::new();
        };
        match self.admissions.begin(now, who, &code, super::random()) {
            Ok((id, to, datagram)) => {
                self.waiting.insert(id, answer);
                vec![(to, datagram)]
            }
            Err(refusal) => {
                let _gone_away = answer.send(refuse("not_asking", &refusal.to_string()));
                Vec::new()
            }
        }
    }

    /// Takes a datagram of an admission.
    pub(super) fn datagram(&mut self, now: Instant, from: SocketAddrV6, datagram: &[u8]) -> Vec<Outgoing> {
        let follows = self.admissions.datagram(now, from, datagram);
        self.tell(follows)
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Outgoing> {
        let follows = self.admissions.tick(now);
        self.tell(follows)
    }

    /// Who asks.
    pub(super) fn applicants(&self) -> Vec<ApplicantView> {
        let view = |known: &brant_membership::admission::Known| ApplicantView {
            id: known.facts.id,
            name: known.facts.name.clone(),
            address: *known.heard_at.ip(),
        };
        self.admissions.applicants().map(view).collect()
    }

    fn tell(&mut self, follows: Follows) -> Vec<Outgoing> {
        for (id, ended) in follows.ended {
            tracing::info!(%id, ?ended, "admitting a node");
            let answer = match ended {
                Ended::Admitted => AgentAnswer::Done,
                Ended::WrongCode => AgentAnswer::Refused(refused(
                    "wrong_code",
                    "that is not the code which the node shows; it got nothing",
                    Some("it shows another code within seconds: try again with that"),
                )),
                Ended::NoAnswer => AgentAnswer::Refused(refused(
                    "no_answer",
                    "the node did not answer",
                    Some(
                        "after an attempt that failed it waits for some seconds: try again, with the code that it shows then",
                    ),
                )),
            };
            if let Some(waits) = self.waiting.remove(&id) {
                let _gone_away = waits.send(answer);
            }
        }
        follows.send
    }
}
