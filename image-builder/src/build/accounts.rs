//! The ordinary user of an image, as lines of the account files.

/// The user's name, and the group's.
pub(crate) const USER: &str = "brant";
/// The user's number, and the group's.
pub(crate) const UID: u32 = 1000;
/// The home folder, without a leading slash.
pub(crate) const HOME: &str = "home/brant";

/// File, line and mode. Nobody can log in by password: consoles log this user in, and sudo asks for none.
pub(crate) fn lines() -> [(&'static str, String, u32); 4] {
    [
        ("etc/passwd", format!("{USER}:x:{UID}:{UID}:Brant user:/{HOME}:/bin/bash"), 0o644),
        ("etc/group", format!("{USER}:x:{UID}:"), 0o644),
        ("etc/shadow", format!("{USER}:!:20000:0:99999:7:::"), 0o640),
        ("etc/gshadow", format!("{USER}:!::"), 0o640),
    ]
}

/// The account file with this line at its end, once.
pub(crate) fn with_line(text: &str, line: &str) -> String {
    let name = line.split(':').next().unwrap_or_default();
    let others = text.lines().filter(|known| known.split(':').next() != Some(name));
    others.chain([line]).fold(String::new(), |all, line| all + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_added_once() {
        let root = "root:x:0:0:root:/root:/bin/bash\n";
        let line = &lines()[0].1;
        let once = with_line(root, line);
        assert_eq!(once, format!("{root}{line}\n"));
        assert_eq!(with_line(&once, line), once);
    }
}
