//! Lays the files of `overlay/` over a root. Owners and modes come from here, not from whoever checked them out.

use anyhow::Context as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// Copies every folder, file and link below `from` to the same place below `root`.
///
/// # Errors
/// Something cannot be read or written.
pub(crate) fn lay(from: &Path, root: &Path) -> anyhow::Result<()> {
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let source = from.join(&relative);
        let laying = || format!("laying `{}` over the root", source.display());
        for entry in fs::read_dir(&source).with_context(laying)? {
            let entry = entry.with_context(laying)?;
            let name = relative.join(entry.file_name());
            let target = root.join(&name);
            let kind = entry.file_type().with_context(laying)?;
            if kind.is_dir() {
                if !target.is_dir() {
                    fs::create_dir(&target).with_context(laying)?;
                    fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).with_context(laying)?;
                }
                pending.push(name);
            } else if kind.is_symlink() {
                let _replaced = fs::remove_file(&target);
                symlink(fs::read_link(entry.path()).with_context(laying)?, &target).with_context(laying)?;
            } else {
                let _replaced = fs::remove_file(&target);
                fs::copy(entry.path(), &target).with_context(laying)?;
                let executable = entry.metadata().with_context(laying)?.permissions().mode() & 0o111 != 0;
                let mode = fs::Permissions::from_mode(mode(&name, executable));
                fs::set_permissions(&target, mode).with_context(laying)?;
                let root_user = Some(0).filter(|_| rustix::process::geteuid().is_root());
                chown(&target, root_user, root_user).with_context(laying)?;
            }
        }
    }
    Ok(())
}

/// git keeps no more than one bit of a mode; sudo wants its own files unwritable.
fn mode(name: &Path, executable: bool) -> u32 {
    match executable {
        _ if name.starts_with("etc/sudoers.d") => 0o440,
        true => 0o755,
        false => 0o644,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_replace_what_was_there_and_modes_are_ours() {
        let from = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [("etc/sudoers.d/a", "new"), ("etc/hosts", "new")] {
            let path = from.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        fs::create_dir(root.path().join("etc")).unwrap();
        // a link out of the root must be replaced, not followed
        symlink("/nowhere/at/all", root.path().join("etc/hosts")).unwrap();
        lay(from.path(), root.path()).unwrap();
        let mode =
            |name: &str| fs::symlink_metadata(root.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode("etc/hosts"), mode("etc/sudoers.d/a"), mode("etc/sudoers.d")),
            (0o644, 0o440, 0o755)
        );
        assert_eq!(fs::read_to_string(root.path().join("etc/hosts")).unwrap(), "new");
    }
}
