//! `init`: the first process of a node, and the little programs that live in the same file.
//!
//! As PID 1 in the initramfs it boots; as `init supervise` it is PID 1 of the running node. The other words are
//! services and tools that the supervisor starts from the same file, each a process of its own.

mod boot;
mod buttons;
mod command_line;
mod consoles;
mod devices;
mod facts;
mod medium_watch;
mod modules;
mod naming;
mod net;
mod passphrase;
mod power;
mod report;
mod rescue;
mod supervise;

use std::process::ExitCode;

/// Where this program lies on the root.
pub(crate) const OWN_PROGRAM: &str = "/usr/lib/brant/init";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let called = words.first().and_then(|path| path.rsplit('/').next()).unwrap_or("init");
    let done = match (called, words.get(1).map(String::as_str)) {
        ("poweroff", _) => power::ask(power::Ending::PowerOff),
        ("reboot", _) => power::ask(power::Ending::Reboot),
        ("halt", _) => power::ask(power::Ending::Halt),
        (_, Some("supervise")) if std::process::id() == 1 => rescue::unless_fine(supervise::run),
        (_, Some("devices")) => devices::run(),
        (_, Some("console")) => supervise::console::run(words.get(2).map_or("console", String::as_str)),
        (_, Some("medium")) => medium_watch::run(),
        (_, Some("network")) => net::run(),
        (_, Some("flush")) => supervise::flush(),
        _ if std::process::id() == 1 => rescue::unless_fine(boot::run),
        _ => Err(anyhow::anyhow!(
            "this is the first process of a node; `poweroff`, `reboot` and `halt` end it"
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
