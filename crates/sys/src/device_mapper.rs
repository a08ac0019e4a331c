//! The device mapper: a block device made of others by a rule (linux/dm-ioctl.h).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

const CONTROL: &str = "/dev/mapper/control";

/// `_IOWR(0xfd, N, struct dm_ioctl)`.
const DEV_CREATE: libc::Ioctl = request(3);
const DEV_REMOVE: libc::Ioctl = request(4);
const DEV_SUSPEND: libc::Ioctl = request(6);
const TABLE_LOAD: libc::Ioctl = request(9);

const READ_ONLY: u32 = 1;
/// Room for one rule.
const PARAMETERS: usize = 1024;

const fn request(number: libc::Ioctl) -> libc::Ioctl {
    0xC000_FD00 | (size_of::<Head>() as libc::Ioctl) << 16 | number
}

#[repr(C)]
struct Head {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

#[repr(C)]
struct Target {
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; 16],
}

#[repr(C)]
struct Call {
    head: Head,
    target: Target,
    parameters: [u8; PARAMETERS],
}

/// One rule for a whole device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The kind of target: `verity`, `linear`, ….
    pub kind: &'static str,
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// What this kind wants to know.
    pub parameters: String,
}

/// Makes a read-only device with this name that follows the rule, and starts it; it stays until the machine ends.
///
/// # Errors
/// What the kernel said, or a name or rule that is too long; no device is left.
pub fn create_read_only(name: &str, rule: &Rule) -> io::Result<PathBuf> {
    let control = File::options().read(true).write(true).open(CONTROL)?;
    let mut call = call(name)?;
    ask(&control, DEV_CREATE, &mut call)?;
    let device = call.head.dev;
    let made = (|| {
        load(&control, name, rule)?;
        let mut resume = self::call(name)?;
        ask(&control, DEV_SUSPEND, &mut resume)?;
        Ok(PathBuf::from(format!("/dev/dm-{}", minor(device))))
    })();
    if made.is_err() {
        let _nothing_was_made = self::call(name).and_then(|mut call| ask(&control, DEV_REMOVE, &mut call));
    }
    made
}

/// Takes the device with this name away.
///
/// # Errors
/// What the kernel said: there is none, or somebody uses it.
pub fn remove(name: &str) -> io::Result<()> {
    let control = File::options().read(true).write(true).open(CONTROL)?;
    let mut call = call(name)?;
    ask(&control, DEV_REMOVE, &mut call)
}

fn load(control: &File, name: &str, rule: &Rule) -> io::Result<()> {
    let mut call = call(name)?;
    call.head.flags = READ_ONLY;
    call.head.target_count = 1;
    call.target.length = rule.sectors;
    put(&mut call.target.target_type, rule.kind)?;
    put(&mut call.parameters, &rule.parameters)?;
    ask(control, TABLE_LOAD, &mut call)
}

fn call(name: &str) -> io::Result<Box<Call>> {
    // SAFETY: all fields of this plain C structure may be zero.
    let mut call: Box<Call> = Box::new(unsafe { std::mem::zeroed() });
    call.head.version = [4, 0, 0];
    call.head.data_size = u32::try_from(size_of::<Call>()).unwrap_or(u32::MAX);
    call.head.data_start = u32::try_from(size_of::<Head>()).unwrap_or(u32::MAX);
    put(&mut call.head.name, name)?;
    Ok(call)
}

/// Leaves the zero that ends the text.
fn put(field: &mut [u8], text: &str) -> io::Result<()> {
    if text.len() >= field.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too long for the device mapper"));
    }
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

fn ask(control: &File, request: libc::Ioctl, call: &mut Call) -> io::Result<()> {
    // SAFETY: `call` begins with `struct dm_ioctl`, says its own size, and lives through the call; `control` is open.
    if unsafe { libc::ioctl(control.as_raw_fd(), request, std::ptr::from_mut(call)) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// The kernel's `huge_encode_dev`, taken apart.
fn minor(device: u64) -> u64 {
    device & 0xff | device >> 12 & 0xf_ff00
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_size() {
        assert_eq!(size_of::<Head>(), 312);
        assert_eq!(size_of::<Target>(), 40);
        assert_eq!(DEV_CREATE, 0xC138_FD03);
    }

    #[test]
    fn a_minor_number_may_be_large() {
        assert_eq!(minor(0xfe03), 3);
        assert_eq!(minor(0x10_fe03), 0x103);
    }

    #[test]
    fn a_text_that_does_not_fit_is_refused() {
        assert!(put(&mut [0; 4], "four").is_err());
        put(&mut [0; 4], "the").unwrap();
    }
}
