//! Namespaces and the mounts of a capsule.

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Gives the caller new mount, UTS, IPC and network namespaces, and its next child a new PID namespace.
///
/// # Errors
/// What the kernel said; some of them may be new already, so the caller should end.
pub fn unshare_for_capsule() -> io::Result<()> {
    let flags =
        libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET | libc::CLONE_NEWPID;
    // SAFETY: no memory is passed; the caller is single-threaded, as unshare(2) asks for CLONE_NEWPID's children.
    if unsafe { libc::unshare(flags) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Cuts the caller's mounts off from the rest of the machine, both ways.
///
/// # Errors
/// What the kernel said.
pub fn make_mounts_private() -> io::Result<()> {
    Ok(rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// Mounts a file system.
///
/// # Errors
/// What the kernel said; nothing is mounted.
pub fn mount(source: &str, at: &Path, kind: &str, options: &str, read_only: bool) -> io::Result<()> {
    let mut flags = MountFlags::NOSUID;
    if read_only {
        flags |= MountFlags::RDONLY;
    }
    let options = CString::new(options)?;
    Ok(rustix::mount::mount(source, at, kind, flags, options.as_c_str())?)
}

/// Mounts a folder (or file) of this mount namespace at another place, alone, without what is mounted below it.
///
/// # Errors
/// What the kernel said; nothing is mounted, or it is mounted writable.
pub fn bind(from: &Path, at: &Path, read_only: bool) -> io::Result<()> {
    rustix::mount::mount_bind(from, at)?;
    if read_only {
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_remount(at, flags, c"")?;
    }
    Ok(())
}

/// Makes a mounted folder the root of the caller's mount namespace, and lets go of everything else.
///
/// # Errors
/// What the kernel said.
pub fn enter_root(root: &Path) -> io::Result<()> {
    rustix::process::chdir(root)?;
    // Old and new root at the same place, the old one on top: pivot_root(2), "pivot_root(".", ".")".
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}

/// Whether two processes' descriptors are the same open file (kcmp(2), `KCMP_FILE`).
///
/// # Errors
/// What the kernel said, also when one of them is gone.
pub fn same_open_file(one: (i32, i32), other: (i32, i32)) -> io::Result<bool> {
    const KCMP_FILE: i32 = 0;
    // SAFETY: no memory is passed.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one.0, other.0, KCMP_FILE, one.1, other.1) };
    if order < 0 { Err(io::Error::last_os_error()) } else { Ok(order == 0) }
}

/// Makes a character device node, readable and writable for all.
///
/// # Errors
/// What the kernel said.
pub fn make_device(path: &Path, major: u32, minor: u32) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(major, minor))?;
    Ok(rustix::fs::chmod(path, Mode::from_raw_mode(0o666))?)
}

/// Makes the caller a session leader with this terminal as its controlling one.
///
/// # Errors
/// What the kernel said.
pub fn take_terminal(terminal: impl AsFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call; no memory is passed.
    unsafe {
        if libc::setsid() < 0 {
            return Err(io::Error::last_os_error());
        }
        if libc::ioctl(fd, libc::TIOCSCTTY, 0) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Brings the loopback of the caller's (new) network namespace up.
///
/// # Errors
/// What the kernel said.
pub fn loopback_up() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all-zero bytes are a valid ifreq; the structure lives through both calls.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
