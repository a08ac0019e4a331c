//! Power buttons: without a desktop or systemd nobody else hears them.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The size of `struct input_event` on 64-bit machines: a time of 16 bytes, type, code, value.
const EVENT: usize = 24;
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// All power buttons that have been found.
#[derive(Debug, Default)]
pub(crate) struct Buttons {
    open: Vec<(PathBuf, File)>,
}

impl Buttons {
    /// Opens buttons that have turned up since the last look.
    pub(crate) fn look_for_more(&mut self) {
        for entry in fs::read_dir("/sys/class/input").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_event = name.to_string_lossy().starts_with("event");
            let device = PathBuf::from("/dev/input").join(name);
            if !is_event || self.open.iter().any(|(path, _)| *path == device) {
                continue;
            }
            let called = fs::read_to_string(entry.path().join("device/name")).unwrap_or_default();
            let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            if called.trim() == "Power Button"
                && let Ok(file) = File::options().read(true).custom_flags(flags).open(&device)
            {
                self.open.push((device, file));
            }
        }
    }

    /// What to wait for.
    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.open.iter().map(|(_, file)| file)
    }

    /// Takes what has come; whether a button went down. A button that is gone is forgotten.
    pub(crate) fn pressed(&mut self) -> bool {
        let mut down = false;
        self.open.retain_mut(|(_, file)| {
            let mut events = [0_u8; 16 * EVENT];
            loop {
                match file.read(&mut events) {
                    Ok(got @ 1..) => down |= events[..got].chunks_exact(EVENT).any(is_press),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Ok(_) | Err(_) => return false,
                }
            }
        });
        down
    }
}

fn is_press(event: &[u8]) -> bool {
    let half = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    half(16) == EV_KEY && half(18) == KEY_POWER && event[20..24] == 1_i32.to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut event = vec![0; 16];
        event.extend(kind.to_ne_bytes());
        event.extend(code.to_ne_bytes());
        event.extend(value.to_ne_bytes());
        event
    }

    #[test]
    fn only_pressing_the_power_key_counts() {
        assert!(is_press(&event(EV_KEY, KEY_POWER, 1)));
        assert!(!is_press(&event(EV_KEY, KEY_POWER, 0)));
        assert!(!is_press(&event(EV_KEY, 30, 1)));
        assert!(!is_press(&event(0, 0, 0)));
    }
}
