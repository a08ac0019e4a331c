//! Another process's memory.

use std::io;

/// Has the kernel back this range of a process's memory with huge pages; it must be aligned to those. The contents
/// stay what they are.
///
/// # Errors
/// What the kernel said: no such process, no such mapping, no huge page to be had. The memory is as it was.
pub fn collapse(pid: i32, start: u64, length: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    const MADV_COLLAPSE: i32 = 25;
    let process = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let process = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())?;
    let range =
        libc::iovec { iov_base: std::ptr::without_provenance_mut(start as usize), iov_len: length as usize };
    // SAFETY: `range` is live and describes memory of the other process, of which no content is changed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            process.as_raw_fd(),
            &raw const range,
            1_usize,
            MADV_COLLAPSE,
            0_u32,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mapped_or_not_there_is_an_error() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(collapse(own, 0, 2 << 20).is_err());
        assert!(collapse(0, 0, 2 << 20).is_err());
    }
}
