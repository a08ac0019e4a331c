//! Which numbers processes get in here.
//!
//! A capsule's numbers begin at 1. What is born in one would get those that the programs of the next one have, and could
//! not be restored there. So our own have numbers at the upper end, where hardly any process of a user ever is, and what
//! the guest starts is numbered on from its own, as at home.

use crate::departure;

/// The last number that the kernel has given here (`Documentation/admin-guide/sysctl/kernel.rst`).
const LAST: &str = "/proc/sys/kernel/ns_last_pid";
/// Below the largest number that every node's kernel gives (4,194,304).
const OURS: i32 = 4_190_000;

/// What is started next is one of our own.
pub(crate) fn for_our_own() {
    go_on_from(OURS);
}

/// What is started next is the guest's.
pub(crate) fn for_the_guest() {
    let guest = departure::members().into_iter().filter(|pid| *pid < OURS).max();
    go_on_from(guest.unwrap_or(OURS));
}

/// Without it the next move may fail, and the process stays where it is.
fn go_on_from(number: i32) {
    if let Err(error) = std::fs::write(LAST, number.to_string()) {
        eprintln!("capsule-init: numbering processes: {error}");
    }
}
