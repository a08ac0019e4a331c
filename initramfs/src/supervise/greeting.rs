//! What a person sees first on a console.

use brant_types::boot::{BootFacts, Changes};

/// The greeting of now: a node may have got its name since the last one.
pub(super) fn now() -> String {
    crate::facts::read().map(|facts| text(&facts)).unwrap_or_default()
}

/// Which node this is, what to type, and what becomes of what is written, in three or four lines.
fn text(facts: &BootFacts) -> String {
    let (name, cluster) = (&facts.host_name, &facts.cluster);
    let joins = if facts.secret.is_some() {
        "`brant nodes` lists the nodes; long jobs move to idle nodes by themselves."
    } else {
        "It came without the cluster's secret: `brant nodes` shows how to let it in."
    };
    let changes = match facts.changes {
        Changes::InMemory => "",
        Changes::OnTheStick => "What is written here is kept on the stick, which has to stay in.\n",
        Changes::NotOnTheStick => {
            "\x1b[1mWhat is written here is gone with the power\x1b[0m: the stick could not be used.\n"
        }
    };
    format!(
        "\n\x1b[1mBrant\x1b[0m: this PC is node \x1b[1m{name}\x1b[0m of cluster \x1b[1m{cluster}\x1b[0m; its disks are untouched.\n\
         {joins}\n\
         You may use `sudo` without a password; `sudo poweroff` ends this node.\n{changes}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(secret: bool) -> BootFacts {
        let secret = if secret { format!("secret = \"{}\"", "0".repeat(64)) } else { String::new() };
        let text = format!(
            "host_name = \"quiet-heron\"\nmachine_id = \"1\"\nimage_id = \"2\"\ncluster = \"flock\"\nroot_mounted_at = 4.0\n{secret}"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn it_names_the_node_and_the_first_command() {
        let said = text(&facts(true));
        assert!(said.contains("quiet-heron") && said.contains("flock") && said.contains("`brant nodes`"));
    }

    #[test]
    fn a_node_without_secret_is_told_what_to_do() {
        assert!(text(&facts(false)).contains("how to let it in"));
    }

    #[test]
    fn no_line_is_wider_than_a_plain_screen() {
        let kept = |changes| text(&BootFacts { changes, ..facts(true) });
        let lost = kept(Changes::NotOnTheStick);
        assert!(lost.contains("gone with the power"));
        for said in [text(&facts(true)), text(&facts(false)), lost, kept(Changes::OnTheStick)] {
            let plain = said.replace("\x1b[1m", "").replace("\x1b[0m", "");
            assert!(plain.lines().all(|line| line.len() <= 79), "{plain}");
        }
    }
}
