//! Who started us: under `sudo`, the person before it. Files are given to them, and cargo runs as them, so that
//! nothing in their source tree ends up belonging to root.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// The person behind `sudo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invoker {
    uid: u32,
    gid: u32,
    name: String,
    home: PathBuf,
}

impl Invoker {
    /// The person behind `sudo`; nobody when this process was started otherwise.
    pub(crate) fn find() -> Option<Self> {
        let number = |key| std::env::var(key).ok()?.parse::<u32>().ok();
        let uid = number("SUDO_UID").filter(|uid| *uid != 0)?;
        Self::listed(&std::fs::read_to_string("/etc/passwd").ok()?, uid)
    }

    fn listed(passwd: &str, uid: u32) -> Option<Self> {
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| {
            let [name, _, number, group, _, home, ..] = fields[..] else { return None };
            let invoker =
                Self { uid, gid: group.parse().ok()?, name: name.to_owned(), home: PathBuf::from(home) };
            (number.parse() == Ok(uid)).then_some(invoker)
        })
    }

    /// The home folder.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The user's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Arguments of `setpriv` that become this person, and still die with the parent: a change of user clears that.
    pub(crate) fn setpriv(&self) -> [String; 4] {
        let (user, group) = (format!("--reuid={}", self.uid), format!("--regid={}", self.gid));
        [user, group, "--init-groups".to_owned(), "--pdeathsig=KILL".to_owned()]
    }
}

/// The name of the user that this process is, or its number where there is no name.
pub(crate) fn own_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    Invoker::listed(&passwd, uid).map_or_else(|| uid.to_string(), |own| own.name)
}

/// Gives a file or folder to the person behind `sudo`, if there is one.
pub(crate) fn give(path: &Path) {
    if let Some(invoker) = Invoker::find()
        && let Err(error) = chown(path, Some(invoker.uid), Some(invoker.gid))
    {
        tracing::warn!(path = %path.display(), %error, "the file stays root's");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_person_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nann:x:1001:100:Ann:/home/ann:/bin/sh\n";
        let ann = Invoker::listed(passwd, 1001).unwrap();
        assert_eq!((ann.name(), ann.home(), ann.gid), ("ann", Path::new("/home/ann"), 100));
        assert_eq!(Invoker::listed(passwd, 7), None);
    }
}
