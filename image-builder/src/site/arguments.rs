//! The room behind each command line of a boot menu for kernel arguments that are added later. Pure.

use brant_types::site::ARGUMENTS_FOLLOW;

/// How many characters may be added.
pub(crate) const ARGUMENTS_ROOM: usize = 400;

/// Where the room of each entry is in a menu's text: byte offsets.
fn rooms(menu: &str) -> impl Iterator<Item = usize> {
    menu.match_indices(ARGUMENTS_FOLLOW)
        .map(|(at, word)| at + word.len())
        .filter(|at| menu[*at..].find('\n').is_some_and(|length| length == ARGUMENTS_ROOM))
}

/// The arguments that were added to a menu; none where it has no room for any.
pub(crate) fn read(menu: &str) -> Option<Vec<String>> {
    let at = rooms(menu).next()?;
    Some(menu[at..at + ARGUMENTS_ROOM].split_whitespace().map(str::to_owned).collect())
}

/// The menu with these arguments instead, as long as before; none where they do not fit.
pub(crate) fn write(menu: &str, arguments: &[String]) -> Option<String> {
    let added: String = arguments.iter().map(|argument| format!(" {argument}")).collect();
    if added.len() > ARGUMENTS_ROOM {
        return None;
    }
    let filled = format!("{added:ARGUMENTS_ROOM$}");
    let mut changed = menu.to_owned();
    for at in rooms(menu) {
        changed.replace_range(at..at + ARGUMENTS_ROOM, &filled);
    }
    Some(changed)
}

/// The menu as it was built.
pub(crate) fn blank(menu: &str) -> String {
    write(menu, &[]).unwrap_or_else(|| menu.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu() -> String {
        let room = " ".repeat(ARGUMENTS_ROOM);
        format!(
            "APPEND a {ARGUMENTS_FOLLOW}{room}\nAPPEND b {ARGUMENTS_FOLLOW}{room}\n# {ARGUMENTS_FOLLOW}\n"
        )
    }

    #[test]
    fn arguments_go_behind_each_entry_and_come_off_again() {
        let menu = menu();
        assert_eq!(read(&menu), Some(vec![]));
        let arguments = ["toram".to_owned(), "brant.seed=10.0.0.1".to_owned()];
        let changed = write(&menu, &arguments).unwrap();
        assert_eq!(changed.len(), menu.len());
        assert_eq!(changed.matches("brant.site toram brant.seed=10.0.0.1 ").count(), 2);
        assert_eq!(read(&changed), Some(arguments.to_vec()));
        assert_eq!(write(&changed, &[]), Some(menu));
    }

    #[test]
    fn too_many_do_not_fit_and_another_menu_has_no_room() {
        assert_eq!(write(&menu(), &["x".repeat(ARGUMENTS_ROOM)]), None);
        assert_eq!(read("APPEND quiet\n"), None);
    }
}
