//! Counting how often processes come by a place in the kernel (perf_event_open(2), tracepoints).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::FromRawFd;

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;
/// The size of the first version of `struct perf_event_attr`; later kernels take it.
const SIZE: u32 = 64;
/// Bit 1 of its flags: children and threads that come later are counted, too.
const INHERIT: u64 = 1 << 1;
const CLOSE_ON_EXEC: libc::c_ulong = 8;

/// `struct perf_event_attr`, as far as its first version goes.
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    config1: u64,
}

/// How often one thread, and those that it has started since, have come by.
#[derive(Debug)]
pub struct Counter(File);

impl Counter {
    /// Counts from now on; `event` is the tracepoint's number, as tracefs has it.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn begin(event: u64, thread: i32) -> io::Result<Self> {
        let attributes = Attributes {
            kind: TRACEPOINT,
            size: SIZE,
            config: event,
            sample_period: 0,
            sample_type: 0,
            read_format: 0,
            flags: INHERIT,
            wakeup_events: 0,
            breakpoint_type: 0,
            config1: 0,
        };
        // SAFETY: the structure has the size that it says and lives through the call; any processor (-1), no group (-1).
        let fd = unsafe {
            libc::syscall(libc::SYS_perf_event_open, &raw const attributes, thread, -1, -1, CLOSE_ON_EXEC)
        };
        match i32::try_from(fd) {
            // SAFETY: the kernel has just made this descriptor; nobody else owns it.
            Ok(fd) if fd >= 0 => Ok(Self(unsafe { File::from_raw_fd(fd) })),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// How often, so far.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn count(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        (&self.0).read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count))
    }
}
