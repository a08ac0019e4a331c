//! What `init` says goes to the kernel's log: it reaches every console, and `dmesg` keeps it.

use std::fs::File;
use std::io::Write;

/// A step that worked.
pub(crate) fn say(text: &str) {
    write(6, text);
}

/// Something that is wrong but does not stop us.
pub(crate) fn complain(text: &str) {
    write(4, text);
}

/// Something that whoever sits at this PC has to know now.
pub(crate) fn alarm(text: &str) {
    write(2, text);
}

fn write(level: u8, text: &str) {
    // Opened each time: the first reports come before /dev is there, and each write must be one record.
    let record = format!("<{level}>init: {}\n", text.replace('\n', "; "));
    let logged =
        File::options().write(true).open("/dev/kmsg").and_then(|mut log| log.write_all(record.as_bytes()));
    if logged.is_err() {
        eprint!("init: {text}\r\n");
    }
}
