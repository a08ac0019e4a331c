//! The consoles that the kernel talks on, as devices that people sit at.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

/// Further screens of a PC with a keyboard (Alt-F2 …), beside the one that the kernel writes on.
const MORE_SCREENS: [&str; 3] = ["tty2", "tty3", "tty4"];

/// Names of the devices in `/dev` that the kernel writes on: its `tty0` is the screen `tty1`.
pub(crate) fn active() -> Vec<String> {
    let text = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    from_active(&text)
}

fn from_active(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split_whitespace() {
        let name = if name == "tty0" { "tty1" } else { name };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() { vec!["console".to_owned()] } else { names }
}

/// The other screens, where there is a screen at all.
pub(crate) fn more_screens(active: &[String]) -> &'static [&'static str] {
    if active.iter().any(|name| name == "tty1") { &MORE_SCREENS } else { &[] }
}

/// What programs are told about the terminal (`TERM`).
pub(crate) fn terminal_type(console: &str) -> &'static str {
    let screen = console.strip_prefix("tty").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    if screen { "linux" } else { "vt220" }
}

/// Opens a console without becoming its session's leader, and without ever blocking on it.
pub(crate) fn open(name: &str) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK;
    File::options()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(format!("/dev/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_is_tty1_and_each_console_comes_once() {
        assert_eq!(from_active("tty0 ttyS0\n"), ["tty1", "ttyS0"]);
        assert_eq!(from_active("tty0 tty1"), ["tty1"]);
        assert_eq!(from_active(""), ["console"]);
    }

    #[test]
    fn only_a_pc_with_a_screen_has_more_of_them() {
        assert_eq!(more_screens(&["ttyS0".to_owned()]), [""; 0]);
        assert_eq!(more_screens(&["tty1".to_owned()]).len(), 3);
    }
}
