//! Who uses the root, and in which language; and what a profile wants done there besides.

use super::accounts;
use super::root::OpenRoot;
use crate::failure::{Advice, Kind};
use crate::job::Job;
use crate::profile::{Keyboard, Profile, User};
use anyhow::Context as _;
use brant_types::account::AGENT_USER;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Where a hook's programs are looked for.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl OpenRoot {
    /// Makes the users, with their groups, homes, keys and rights, and the one that node-agent becomes.
    ///
    /// # Errors
    /// A file cannot be read or written, or a group does not exist.
    pub(crate) fn add_users(&self, users: &[User]) -> anyhow::Result<()> {
        self.add_account(AGENT_USER, accounts::agent_lines())?;
        users.iter().try_for_each(|user| self.add_user(user))
    }

    fn add_user(&self, user: &User) -> anyhow::Result<()> {
        let adding = || format!("making the user `{}`", user.name);
        self.add_account(&user.name, accounts::lines(user))?;
        for group in &user.groups {
            for file in ["etc/group", "etc/gshadow"] {
                let path = self.path.join(file);
                let text = fs::read_to_string(&path).with_context(adding)?;
                let text = accounts::with_member(&text, group, &user.name).ok_or_else(|| {
                    let what = format!("making the user `{}`: there is no group `{group}`", user.name);
                    let hint = "look at `groups` in the profile, and at the packages that make such a group";
                    Advice::new(Kind::Input, what).hint(hint).error()
                })?;
                fs::write(&path, text).with_context(adding)?;
            }
        }
        if user.sudo {
            let path = self.path.join(format!("etc/sudoers.d/{}", user.name));
            fs::write(&path, accounts::sudo_rule(user)).with_context(adding)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).with_context(adding)?;
        }
        self.make_home(user).with_context(adding)
    }

    fn add_account(&self, name: &str, lines: [(&str, String, u32); 4]) -> anyhow::Result<()> {
        let adding = || format!("making the user `{name}`");
        for (file, line, mode) in lines {
            let path = self.path.join(file);
            let text = fs::read_to_string(&path).with_context(adding)?;
            if let Some(number) = accounts::other_number(&text, &line) {
                let what = format!("making the user `{name}`: Debian has one of that name, number {number}");
                return Err(Advice::new(Kind::Input, what)
                    .hint("choose another name in the profile")
                    .error());
            }
            fs::write(&path, accounts::with_line(&text, &line)).with_context(adding)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).with_context(adding)?;
        }
        Ok(())
    }

    fn make_home(&self, user: &User) -> std::io::Result<()> {
        let own = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            chown(path, Some(user.uid), Some(user.uid))
        };
        let home = self.path.join(accounts::home(user));
        fs::create_dir_all(&home)?;
        for entry in fs::read_dir(self.path.join("etc/skel"))? {
            let from = entry?.path();
            let to = home.join(from.file_name().unwrap_or_default());
            if from.is_file() {
                fs::copy(&from, &to)?;
                chown(&to, Some(user.uid), Some(user.uid))?;
            }
        }
        if !user.ssh_keys.is_empty() {
            let folder = home.join(".ssh");
            fs::create_dir_all(&folder)?;
            let keys = folder.join("authorized_keys");
            fs::write(&keys, user.ssh_keys.join("\n") + "\n")?;
            own(&keys, 0o600)?;
            own(&folder, 0o700)?;
        }
        own(&home, 0o755)
    }

    /// Sets the language, and makes its tables where Debian does not bring them.
    ///
    /// # Errors
    /// A file cannot be written, or the root has no such language.
    pub(crate) fn set_locale(&self, locale: &str) -> anyhow::Result<()> {
        if !["C", "C.UTF-8", "POSIX"].contains(&locale) {
            let (name, encoding) = locale.split_once('.').unwrap_or((locale, "UTF-8"));
            if !self.path.join("usr/bin/localedef").is_file() || !self.path.join("usr/share/i18n").is_dir() {
                let what = format!("making the locale `{locale}`: the root cannot");
                let hint = "add the package `locales` to the profile";
                return Err(Advice::new(Kind::Input, what).hint(hint).error());
            }
            self.inside("localedef", &[])
                .args(["-i", name, "-f", encoding, locale])
                .run()
                .with_context(|| format!("making the locale `{locale}`"))?;
        }
        let path = self.path.join("etc/default/locale");
        fs::write(&path, format!("LANG={locale}\n")).with_context(|| format!("writing `{}`", path.display()))
    }

    /// Sets the layout of the keyboard, for consoles and for X.
    ///
    /// # Errors
    /// A file cannot be written, or the root cannot make the layout's table.
    pub(crate) fn set_keyboard(&self, keyboard: &Keyboard) -> anyhow::Result<()> {
        if keyboard.is_the_kernels() {
            return Ok(());
        }
        let Keyboard { layout, variant } = keyboard;
        let setting = || format!("setting the keyboard `{layout}`");
        if !self.path.join("usr/bin/setupcon").is_file() {
            let what = format!("setting the keyboard `{layout}`: the root cannot");
            return Err(Advice::new(Kind::Input, what)
                .hint("add the package `console-setup` to the profile")
                .error());
        }
        let variant = variant.as_deref().unwrap_or_default();
        let text = format!(
            "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"{layout}\"\nXKBVARIANT=\"{variant}\"\nXKBOPTIONS=\"\"\nBACKSPACE=\"guess\"\n"
        );
        fs::write(self.path.join("etc/default/keyboard"), text).with_context(setting)?;
        self.inside("setupcon", &[])
            .args(["--keyboard-only", "--force", "--save-only"])
            .run()
            .with_context(setting)
    }

    /// Runs a script of the profile inside the root (chroot), as root, with this host's network.
    ///
    /// # Errors
    /// It cannot be read, or fails; what it said last.
    pub(crate) fn run_hook(&self, hook: &Path, profile: &Profile) -> anyhow::Result<()> {
        let running = || format!("running the hook `{}` inside the root", hook.display());
        let inside = self.path.join(".hook");
        fs::copy(hook, &inside).with_context(running)?;
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).with_context(running)?;
        let outcome =
            self.inside("/.hook", &[format!("BRANT_PROFILE={}", profile.name)]).called("hook").run();
        fs::remove_file(&inside).with_context(running)?;
        outcome.with_context(running)
    }

    /// A program of the root, run in it, with this host's devices; they are gone with the job's namespace.
    fn inside(&self, program: &str, environment: &[String]) -> Job {
        Job::new("sh")
            .args(["-c", "mount --rbind /dev \"$0/dev\" 2>/dev/null; exec env -i \"$@\""])
            .arg(&self.path)
            .args([&format!("PATH={SEARCH_PATH}"), "HOME=/root", "LC_ALL=C.UTF-8"])
            .args(environment)
            .arg("chroot")
            .arg(&self.path)
            .arg(program)
    }
}
