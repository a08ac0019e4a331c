//! Taking hold of a frozen process, and making its next instruction another program (ptrace(2)).
//!
//! All calls for one process must come from one thread: the kernel knows tracers by thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// `PTRACE_SETSIGMASK`, which libc does not name for every target.
const SETSIGMASK: u32 = 0x420b;
const GETSIGMASK: u32 = 0x420a;
/// `syscall` is two bytes long; the jump to itself comes after it.
const SYSCALL_LENGTH: u64 = 2;

/// A thread of a process that this thread traces, stopped. Dropping it lets go of it.
#[derive(Debug)]
pub struct Held {
    /// The thread's number; the first thread has that of the process.
    pid: i32,
    memory: File,
    held: bool,
}

/// Everything that [`Held::redirect`] changes, for undoing it.
#[derive(Clone, Copy)]
pub struct Before {
    registers: libc::user_regs_struct,
    signal_mask: u64,
    code_at: u64,
    code: [u8; 4],
}

/// The length of a [`Before`] as bytes.
pub const BEFORE_LENGTH: usize = size_of::<libc::user_regs_struct>() + 8 + 8 + 4;

impl Before {
    /// As bytes, for a record that outlives this program; only this program's own build reads them.
    pub fn to_bytes(&self) -> Vec<u8> {
        // SAFETY: the structure is plain numbers without padding, and lives as long as this slice of it.
        let registers = unsafe {
            std::slice::from_raw_parts(
                std::ptr::from_ref(&self.registers).cast::<u8>(),
                size_of::<libc::user_regs_struct>(),
            )
        };
        [registers, &self.signal_mask.to_ne_bytes(), &self.code_at.to_ne_bytes(), &self.code].concat()
    }

    /// From bytes that [`Before::to_bytes`] made; none when there are not as many as there must be.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (registers, rest) = bytes.split_at_checked(size_of::<libc::user_regs_struct>())?;
        if rest.len() != 20 {
            return None;
        }
        Some(Self {
            // SAFETY: there are as many bytes as the structure has, and any bytes are a value of it.
            registers: unsafe { registers.as_ptr().cast::<libc::user_regs_struct>().read_unaligned() },
            signal_mask: u64::from_ne_bytes(rest[..8].try_into().ok()?),
            code_at: u64::from_ne_bytes(rest[8..16].try_into().ok()?),
            code: rest[16..].try_into().ok()?,
        })
    }
}

/// Memory of a process that the arguments of a new program cover, for undoing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    at: u64,
    bytes: Vec<u8>,
}

impl Covered {
    /// As bytes, for a record that outlives this program.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.at.to_ne_bytes()[..], &self.bytes].concat()
    }

    /// From bytes that [`Covered::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, bytes) = bytes.split_at_checked(8)?;
        Some(Self { at: u64::from_ne_bytes(at.try_into().ok()?), bytes: bytes.to_vec() })
    }
}

/// A program to run in the process's place.
#[derive(Debug, Clone)]
pub struct Program<'a> {
    /// Its path, as the process sees it.
    pub path: &'a str,
    /// Its arguments, the first of which is its name.
    pub arguments: &'a [Vec<u8>],
}

impl Held {
    /// Takes hold of one thread of a process and waits until it stands still for us; the first thread has the
    /// process's own number.
    ///
    /// # Errors
    /// What the kernel said; the thread is not held.
    pub fn seize(pid: i32, thread: i32) -> io::Result<Self> {
        let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        // SAFETY: no memory is passed.
        unsafe {
            check(libc::ptrace(libc::PTRACE_SEIZE, thread, 0, 0))?;
        }
        let held = Self { pid: thread, memory, held: true };
        // SAFETY: no memory is passed.
        unsafe {
            check(libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0))?;
        }
        let mut status = 0;
        // SAFETY: `status` lives through the call.
        let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
        if waited != thread || !libc::WIFSTOPPED(status) {
            return Err(io::Error::other("the process ended while it was being held"));
        }
        Ok(held)
    }

    /// Makes `execve(program)` the process's next act, with every signal blocked. Nothing runs yet.
    ///
    /// The environment is empty. Should the kernel refuse the execve, the process spins on one instruction and runs
    /// none of its own code; [`Held::restore`] undoes it then.
    ///
    /// # Errors
    /// What the kernel said; everything is as it was.
    pub fn redirect(&self, before: &Before, program: &Program<'_>, covered: &Covered) -> io::Result<()> {
        let code_at = before.code_at;
        let block = ArgumentBlock::at(covered.at, program);
        if block.bytes.len() != covered.bytes.len() {
            return Err(io::Error::other("another program than the one that room was made for"));
        }
        let mut changed = before.registers;
        changed.rip = code_at;
        changed.rax = libc::SYS_execve as u64;
        // No system call is under way, so there is none for the kernel to restart.
        changed.orig_rax = u64::MAX;
        changed.rdi = block.path;
        changed.rsi = block.arguments;
        changed.rdx = block.environment;
        let attempt = (|| {
            self.memory.write_all_at(&block.bytes, block.base)?;
            // syscall; jmp .
            self.memory.write_all_at(&[0x0f, 0x05, 0xeb, 0xfe], code_at)?;
            self.set_registers(&changed)?;
            self.set_signal_mask(u64::MAX)
        })();
        if let Err(error) = attempt {
            self.restore(before, covered)?;
            return Err(error);
        }
        Ok(())
    }

    /// Notes what the program's arguments will cover from this address on, which must be in memory that the process
    /// may write to; what is there now does not matter, for it goes with the execve or is put back.
    ///
    /// # Errors
    /// What the kernel said, also where the memory ends too early; nothing was changed.
    pub fn cover(&self, program: &Program<'_>, from: u64) -> io::Result<Covered> {
        let block = ArgumentBlock::at(from.next_multiple_of(64), program);
        let mut bytes = vec![0; block.bytes.len()];
        self.memory.read_exact_at(&mut bytes, block.base)?;
        Ok(Covered { at: block.base, bytes })
    }

    /// Notes all that [`Held::redirect`] and [`Held::park`] change; they put their code at `code_at`.
    ///
    /// # Errors
    /// What the kernel said; nothing was changed.
    pub fn look(&self, code_at: u64) -> io::Result<Before> {
        let mut code = [0; 4];
        self.memory.read_exact_at(&mut code, code_at)?;
        Ok(Before { registers: self.registers()?, signal_mask: self.signal_mask()?, code_at, code })
    }

    /// Makes the thread spin, with every signal blocked, where [`Held::redirect`] has put its jump; the execve of the
    /// first thread ends it there.
    ///
    /// # Errors
    /// What the kernel said; the thread is as it was.
    pub fn park(&self, before: &Before) -> io::Result<()> {
        let mut changed = before.registers;
        changed.rip = before.code_at + SYSCALL_LENGTH;
        changed.orig_rax = u64::MAX;
        if let Err(error) = self.set_registers(&changed).and_then(|()| self.set_signal_mask(u64::MAX)) {
            self.unpark(before)?;
            return Err(error);
        }
        Ok(())
    }

    /// Undoes [`Held::park`].
    ///
    /// # Errors
    /// What the kernel said; the thread must not run then.
    pub fn unpark(&self, before: &Before) -> io::Result<()> {
        self.set_registers(&before.registers)?;
        self.set_signal_mask(before.signal_mask)
    }

    /// Undoes [`Held::redirect`].
    ///
    /// # Errors
    /// What the kernel said; the process must not run then.
    pub fn restore(&self, before: &Before, covered: &Covered) -> io::Result<()> {
        self.memory.write_all_at(&covered.bytes, covered.at)?;
        self.memory.write_all_at(&before.code, before.code_at)?;
        self.unpark(before)
    }

    /// Lets go; a frozen process stays frozen.
    ///
    /// # Errors
    /// What the kernel said; the process is still held.
    pub fn release(mut self) -> io::Result<()> {
        self.detach()?;
        self.held = false;
        Ok(())
    }

    fn detach(&self) -> io::Result<()> {
        // SAFETY: no memory is passed.
        unsafe { check(libc::ptrace(libc::PTRACE_DETACH, self.pid, 0, 0)) }
    }

    fn registers(&self) -> io::Result<libc::user_regs_struct> {
        // SAFETY: the kernel fills the whole structure; all-zero bytes are a valid value of it.
        unsafe {
            let mut registers: libc::user_regs_struct = std::mem::zeroed();
            check(libc::ptrace(libc::PTRACE_GETREGS, self.pid, 0, &raw mut registers))?;
            Ok(registers)
        }
    }

    fn set_registers(&self, registers: &libc::user_regs_struct) -> io::Result<()> {
        // SAFETY: the structure lives through the call.
        unsafe { check(libc::ptrace(libc::PTRACE_SETREGS, self.pid, 0, std::ptr::from_ref(registers))) }
    }

    fn signal_mask(&self) -> io::Result<u64> {
        let mut mask = 0_u64;
        // SAFETY: the kernel writes 8 bytes, the size that is passed.
        unsafe { check(libc::ptrace(GETSIGMASK, self.pid, 8, &raw mut mask))? };
        Ok(mask)
    }

    fn set_signal_mask(&self, mask: u64) -> io::Result<()> {
        // SAFETY: the kernel reads 8 bytes, the size that is passed.
        unsafe { check(libc::ptrace(SETSIGMASK, self.pid, 8, &raw const mask)) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.held {
            let _ended_meanwhile = self.detach();
        }
    }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Pointer tables, argument strings and path of an execve, laid out from an address on.
struct ArgumentBlock {
    base: u64,
    bytes: Vec<u8>,
    path: u64,
    arguments: u64,
    environment: u64,
}

impl ArgumentBlock {
    fn at(base: u64, program: &Program<'_>) -> Self {
        let pointers = 8 * (program.arguments.len() + 2);
        let mut table: Vec<u8> = Vec::new();
        let mut text: Vec<u8> = Vec::new();
        let text_at = base + pointers as u64;
        for argument in program.arguments {
            table.extend((text_at + text.len() as u64).to_ne_bytes());
            text.extend(argument);
            text.push(0);
        }
        table.extend(0_u64.to_ne_bytes());
        let environment = base + table.len() as u64;
        table.extend(0_u64.to_ne_bytes());
        let path = text_at + text.len() as u64;
        text.extend(program.path.as_bytes());
        text.push(0);
        Self { base, bytes: [table, text].concat(), path, arguments: base, environment }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Tool;
    use std::process::Stdio;

    /// Not a test of its own: what the next one runs, in a process apart, to have one with several threads.
    #[test]
    fn spins_in_four_threads_when_it_is_told_to() {
        if std::env::var_os("BRANT_SPIN").is_some() {
            for _ in 0..3 {
                std::thread::spawn(|| {
                    loop {
                        std::hint::spin_loop();
                    }
                });
            }
            loop {
                std::hint::spin_loop();
            }
        }
    }

    #[test]
    fn a_process_with_threads_becomes_another_program_and_its_threads_end() {
        let itself = ["--exact", "ptrace::tests::spins_in_four_threads_when_it_is_told_to"];
        let tool = Tool::new("/proc/self/exe").args(itself).env("BRANT_SPIN", "1");
        let running = tool.stdout(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(running.id()).unwrap();
        let threads = || -> Vec<i32> {
            let entries = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
        };
        while threads().len() < 4 {
            std::thread::yield_now();
        }
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let start = |line: &str| u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
        let code = maps.lines().find(|line| line.contains("r-xp")).map(start).unwrap();
        let stack = maps.lines().find(|line| line.ends_with("[stack]")).map(start).unwrap();
        let others: Vec<i32> = threads().into_iter().filter(|thread| *thread != pid).collect();
        let arguments = [b"sh".to_vec(), b"-c".to_vec(), b"exit 43".to_vec()];
        let program = Program { path: "/bin/sh", arguments: &arguments };
        let held: Vec<Held> = others.iter().map(|thread| Held::seize(pid, *thread).unwrap()).collect();
        let first = Held::seize(pid, pid).unwrap();
        let covered = first.cover(&program, stack).unwrap();
        first.redirect(&first.look(code).unwrap(), &program, &covered).unwrap();
        for thread in held {
            thread.park(&thread.look(code).unwrap()).unwrap();
            thread.release().unwrap();
        }
        first.release().unwrap();
        let error = running.wait().unwrap_err();
        assert!(error.to_string().contains("exit status 43"), "{error}");
    }

    #[test]
    fn a_process_becomes_another_program_and_keeps_its_number() {
        let running = Tool::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(running.id()).unwrap();
        while std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim() != "sleep" {
            std::thread::yield_now();
        }
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let start = |line: &str| u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
        let code = maps.lines().find(|line| line.contains("r-xp")).map(start).unwrap();
        let stack = maps.lines().find(|line| line.ends_with("[stack]")).map(start).unwrap();
        let arguments = [b"sh".to_vec(), b"-c".to_vec(), b"exit 42".to_vec()];
        let held = Held::seize(pid, pid).unwrap();
        let program = Program { path: "/bin/sh", arguments: &arguments };
        let before = held.look(code).unwrap();
        let covered = held.cover(&program, stack).unwrap();
        held.redirect(&before, &program, &covered).unwrap();
        assert_ne!(held.cover(&program, stack).unwrap(), covered);
        // As one that comes after this program would undo it, from the record.
        let bytes = before.to_bytes();
        assert_eq!(bytes.len(), BEFORE_LENGTH);
        let again = Covered::from_bytes(&covered.to_bytes()).unwrap();
        held.restore(&Before::from_bytes(&bytes).unwrap(), &again).unwrap();
        assert_eq!(held.cover(&program, stack).unwrap(), covered);
        assert!(Before::from_bytes(&bytes[1..]).is_none());
        held.redirect(&held.look(code).unwrap(), &program, &covered).unwrap();
        held.release().unwrap();
        let error = running.wait().unwrap_err();
        assert!(error.to_string().contains("exit status 42"), "{error}");
    }
}
