//! The people of an image, as lines of the account files.

use crate::profile::User;
use brant_types::account::AGENT_USER;

/// The agent's number: in Debian's range for services, in the middle, where neither adduser nor systemd begins.
const AGENT: u32 = 400;

/// A user's home folder, without a leading slash.
pub(crate) fn home(user: &User) -> String {
    format!("home/{}", user.name)
}

/// File, line and mode. Nobody can log in by password: consoles log a user in, and ssh wants a key.
pub(crate) fn lines(user: &User) -> [(&'static str, String, u32); 4] {
    let User { name, uid, comment, shell, .. } = user;
    [
        ("etc/passwd", format!("{name}:x:{uid}:{uid}:{comment}:/{}:{shell}", home(user)), 0o644),
        ("etc/group", format!("{name}:x:{uid}:"), 0o644),
        ("etc/shadow", format!("{name}:*:20000:0:99999:7:::"), 0o640),
        ("etc/gshadow", format!("{name}:!::"), 0o640),
    ]
}

/// The same for the user that node-agent becomes: with no home, no shell, and nothing of its own.
pub(crate) fn agent_lines() -> [(&'static str, String, u32); 4] {
    [
        ("etc/passwd", format!("{AGENT_USER}:x:{AGENT}:{AGENT}::/nonexistent:/usr/sbin/nologin"), 0o644),
        ("etc/group", format!("{AGENT_USER}:x:{AGENT}:"), 0o644),
        ("etc/shadow", format!("{AGENT_USER}:!*:20000::::::"), 0o640),
        ("etc/gshadow", format!("{AGENT_USER}:!*::"), 0o640),
    ]
}

/// The account file with this line at its end, once.
pub(crate) fn with_line(text: &str, line: &str) -> String {
    let name = line.split(':').next().unwrap_or_default();
    let others = text.lines().filter(|known| known.split(':').next() != Some(name));
    others.chain([line]).fold(String::new(), |all, line| all + line + "\n")
}

/// The number that the account file has for the line's name already, where it is another one. Only `passwd` and `group`
/// have numbers.
pub(crate) fn other_number(text: &str, line: &str) -> Option<u32> {
    let number = |line: &str| line.split(':').nth(2)?.parse::<u32>().ok();
    let name = line.split(':').next()?;
    let wanted = number(line)?;
    let known = text.lines().find(|known| known.split(':').next() == Some(name))?;
    number(known).filter(|known| *known != wanted)
}

/// `/etc/group`, or `/etc/gshadow`, with this user among the members of a group; none if there is no such group.
pub(crate) fn with_member(text: &str, group: &str, user: &str) -> Option<String> {
    let mut found = false;
    let mut all = String::new();
    for line in text.lines() {
        let is_it = line.split(':').next() == Some(group);
        let listed = line.rsplit(':').next().unwrap_or_default().split(',').any(|member| member == user);
        found |= is_it;
        all += line;
        if is_it && !listed {
            all += if line.ends_with(':') { "" } else { "," };
            all += user;
        }
        all += "\n";
    }
    found.then_some(all)
}

/// The sudo rule of a user who is asked for nothing.
pub(crate) fn sudo_rule(user: &User) -> String {
    format!("{} ALL=(ALL:ALL) NOPASSWD: ALL\n", user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            name: "brant".to_owned(),
            uid: 1000,
            comment: "Brant user".to_owned(),
            shell: "/bin/bash".to_owned(),
            groups: Vec::new(),
            sudo: true,
            ssh_keys: Vec::new(),
        }
    }

    #[test]
    fn an_account_is_added_once() {
        let root = "root:x:0:0:root:/root:/bin/bash\n";
        let line = &lines(&user())[0].1;
        assert_eq!(line, "brant:x:1000:1000:Brant user:/home/brant:/bin/bash");
        let once = with_line(root, line);
        assert_eq!(once, format!("{root}{line}\n"));
        assert_eq!(with_line(&once, line), once);
    }

    #[test]
    fn the_agent_is_a_user_who_cannot_log_in() {
        let [passwd, group, ..] = agent_lines().map(|(_, line, _)| line + "\n");
        let agent = brant_types::account::Account::find(&passwd, &group, AGENT_USER).unwrap();
        assert_eq!((agent.uid, agent.gid, agent.groups), (AGENT, AGENT, vec![AGENT]));
        assert_eq!(agent.shell, std::path::Path::new("/usr/sbin/nologin"));
    }

    #[test]
    fn a_name_that_debian_uses_is_noticed() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbrant:x:1000:1000::/:/bin/sh\n";
        assert_eq!(other_number(passwd, "root:x:1000:1000::/:/bin/sh"), Some(0));
        assert_eq!(other_number(passwd, "brant:x:1000:1000::/:/bin/bash"), None);
        assert_eq!(other_number("root:*:20000::::::", "root:*:20000:0::::"), None);
        assert_eq!(other_number(passwd, "ann:x:1001:1001::/:/bin/bash"), None);
    }

    #[test]
    fn a_member_is_added_once_to_the_group_of_that_name() {
        let text = "audio:x:29:\nvideo:x:44:ann\n";
        let once = with_member(text, "video", "brant").unwrap();
        assert_eq!(once, "audio:x:29:\nvideo:x:44:ann,brant\n");
        assert_eq!(with_member(&once, "video", "brant").unwrap(), once);
        assert_eq!(with_member(text, "audio", "brant").unwrap(), "audio:x:29:brant\nvideo:x:44:ann\n");
        assert_eq!(with_member(text, "vid", "brant"), None);
    }
}
