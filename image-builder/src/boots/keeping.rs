//! A stick that keeps what is written: started, changed, switched off, and started once more.

use super::lan::{Lan, NAME};
use super::ways::Way;
use super::{joined, says};
use crate::cluster::create::Nascent;
use crate::cluster::node::{Node, ROOT, USER};
use crate::cluster::patience::Patience;
use crate::cluster::state::Plan;
use anyhow::{Context, Result, ensure};
use brant_qemu::console::Console;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Until a server has answered, on a PC of today.
const LEASING: Duration = Duration::from_secs(20);
/// Switching off, on a PC of today.
const ENDING: Duration = Duration::from_secs(20);
/// What the stick in the test has more than its image, and most of which has to be there then, MiB.
pub(super) const LARGER: u64 = 512;
const AT_LEAST: u64 = 400;
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const PASSPHRASE: &str = "correct horse battery staple";

/// Starts it twice.
pub(super) fn twice(
    nascent: Nascent,
    plan: &Plan,
    (way, encrypted): (&Way, bool),
    lan: Option<&Lan>,
) -> Result<String> {
    if encrypted {
        answer(&nascent, plan, &["A new passphrase for it", "The same once more"])?;
    }
    let (node, patience) = joined(&nascent, plan)?;
    let room = node.shell(ROOT, "df -t ext4 -m /run/brant/rw | awk 'END { print $2 }'")?;
    let room: u64 = room.trim().parse().with_context(|| format!("understanding `{}`", room.trim()))?;
    ensure!(room >= AT_LEAST, "the stick has room for {room} MiB only");
    let name = node.shell(USER, "echo kept > /home/brant/kept; cat /etc/hostname")?;
    // A server's name is good for this boot only.
    ensure!(name.trim() != NAME, "the stick keeps the name that a DHCP server has given");
    let id = node.nodes()?.me;
    let leased = lan.map(|lan| Leased::of(&node, patience, lan)).transpose()?;
    switch_off(&nascent, &node, patience)?;
    drop(nascent);

    let nascent = Nascent::start(plan)?;
    if encrypted {
        answer(&nascent, plan, &["Passphrase of this stick"])?;
    }
    let (node, patience) = joined(&nascent, plan)?;
    if let (Some(lan), Some(before)) = (lan, leased) {
        // As it asks for what it had, it discovers nothing.
        let now = Leased::of(&node, patience, lan)?;
        ensure!(now == before, "with DHCP it was {before:?}, and after the second start it is {now:?}");
    }
    let again = node.shell(USER, "cat /home/brant/kept /etc/hostname")?;
    ensure!(again == format!("kept\n{name}"), "{}: the second start has: {}", way.name, again.trim());
    let now = node.nodes()?.me;
    ensure!(now == id, "{}: it was the node {id}, and after the second start it is {now}", way.name);
    let how = if encrypted { ", encrypted" } else { "" };
    Ok(format!("joined twice, as `{}` with the same key, with its files{how}; {room} MiB", name.trim()))
}

/// Types the passphrase whenever it is asked for, and waits until the node goes on.
fn answer(nascent: &Nascent, plan: &Plan, questions: &[&str]) -> Result<()> {
    let name = plan.nodes.first().context("finding the machine")?.name;
    let folder = nascent.cluster().node_folder(name);
    says(nascent, plan, questions[0])?;
    let console = Console::open(&folder).context("opening the console")?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Where somebody sits and does not look, the machine stands still.
        scope.spawn(|| look(&console, &over));
        let answered = questions.iter().try_for_each(|question| {
            says(nascent, plan, question)?;
            let line = format!("{PASSPHRASE}\r");
            let written = rustix::io::write(&console, line.as_bytes()).context("typing the passphrase")?;
            ensure!(written == line.len(), "typing the passphrase");
            Ok(())
        });
        // What is typed goes into the machine bit by bit, for as long as somebody sits there.
        let goes_on = answered.and_then(|()| says(nascent, plan, "changes are kept on the stick").map(drop));
        over.store(true, Ordering::Relaxed);
        goes_on
    })
}

/// Reads what the console shows, until it is over.
fn look(console: &Console, over: &AtomicBool) {
    let mut shown = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        let mut polled = [PollFd::new(console, PollFlags::IN)];
        if !matches!(poll(&mut polled, Some(&TICK)), Ok(1..)) {
            continue;
        }
        if !matches!(rustix::io::read(console, &mut shown), Ok(1..)) {
            return;
        }
    }
}

/// What a DHCP server has granted, and how often it was asked for any address.
#[derive(Debug, PartialEq)]
struct Leased {
    address: String,
    discovered: usize,
}

impl Leased {
    fn of(node: &Node, patience: Patience, lan: &Lan) -> Result<Self> {
        let address = patience.wait(LEASING, || {
            let said = node.shell(ROOT, "ip -4 -o address show scope global | awk '{ print $4 }'")?;
            ensure!(
                said.trim().starts_with("10.88.0."),
                "it has no address from the server: {}",
                said.trim()
            );
            Ok(said.trim().to_owned())
        })?;
        Ok(Self { address, discovered: lan.count("DHCPDISCOVER")? })
    }
}

fn switch_off(nascent: &Nascent, node: &Node, patience: Patience) -> Result<()> {
    // It may be off before it has said that it is going to be.
    let _said = node.shell(ROOT, "(sleep 1; poweroff) > /dev/null 2>&1 &");
    patience.wait(ENDING, || {
        ensure!(nascent.cluster().ended(node.name).is_some(), "the machine is still on");
        Ok(())
    })
}
