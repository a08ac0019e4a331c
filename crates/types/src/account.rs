//! Accounts as `/etc/passwd` and `/etc/group` tell of them.
//!
//! Programs on nodes are linked statically and must not ask the C library for names: it would load the running
//! system's name service modules into them.

use std::path::PathBuf;

/// The user that node-agent becomes, whom nothing belongs to.
pub const AGENT_USER: &str = "_brant";

/// One user, with the groups it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of its first group.
    pub gid: u32,
    /// All its groups, the first one included.
    pub groups: Vec<u32>,
    /// Its home folder.
    pub home: PathBuf,
    /// Its login shell.
    pub shell: PathBuf,
}

impl Account {
    /// Looks a user up by name or number in the text of the two files; `None` when there is no such user.
    pub fn find(passwd: &str, group: &str, user: &str) -> Option<Self> {
        passwd
            .lines()
            .filter_map(Self::parse)
            .find(|account| account.name == user)
            .or_else(|| {
                let uid: u32 = user.parse().ok()?;
                passwd.lines().filter_map(Self::parse).find(|account| account.uid == uid)
            })
            .map(|account| account.with_groups(group))
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _password, uid, gid, _comment, home, shell] = fields[..] else { return None };
        let gid = gid.parse().ok()?;
        Some(Self {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid,
            groups: vec![gid],
            home: PathBuf::from(if home.is_empty() { "/" } else { home }),
            shell: PathBuf::from(if shell.is_empty() { "/bin/sh" } else { shell }),
        })
    }

    fn with_groups(mut self, group: &str) -> Self {
        for line in group.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [_name, _password, gid, members] = fields[..] else { continue };
            let Ok(gid) = gid.parse() else { continue };
            if members.split(',').any(|member| member == self.name) && !self.groups.contains(&gid) {
                self.groups.push(gid);
            }
        }
        self
    }
}

/// The number of a group by its name in the text of `/etc/group`.
pub fn group_number(group: &str, name: &str) -> Option<u32> {
    group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1))??.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        # a remark\n\
        short:x:1\n\
        brant:x:1000:1001:,,,:/home/brant:/bin/bash\n\
        bare:x:1002:1002:::\n";
    const GROUP: &str = "root:x:0:\ntty:x:5:\nsudo:x:27:someone,brant\nbrant:x:1001:brant\nbroken\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number_with_all_its_groups() {
        let brant = Account::find(PASSWD, GROUP, "brant").unwrap();
        assert_eq!((brant.uid, brant.gid), (1000, 1001));
        assert_eq!(brant.groups, [1001, 27]);
        assert_eq!(brant.home, PathBuf::from("/home/brant"));
        assert_eq!(Account::find(PASSWD, GROUP, "1000"), Some(brant));
    }

    #[test]
    fn empty_fields_have_their_traditional_meaning() {
        let bare = Account::find(PASSWD, GROUP, "bare").unwrap();
        assert_eq!((bare.home, bare.shell), (PathBuf::from("/"), PathBuf::from("/bin/sh")));
    }

    #[test]
    fn unknown_users_and_broken_lines_are_nobody() {
        assert_eq!(Account::find(PASSWD, GROUP, "short"), None);
        assert_eq!(Account::find(PASSWD, GROUP, "1"), None);
        assert_eq!(Account::find(PASSWD, GROUP, ""), None);
    }

    #[test]
    fn groups_have_numbers() {
        assert_eq!(group_number(GROUP, "tty"), Some(5));
        assert_eq!(group_number(GROUP, "broken"), None);
        assert_eq!(group_number(GROUP, "none"), None);
    }
}
