//! What became of a case, and the table of all.

use std::fmt;

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It moved, and everything came out the same.
    Equal {
        /// How long it stood still, each time, milliseconds.
        frozen: Vec<u64>,
        /// How often it was to move, where it had ended before that.
        wanted: Option<u32>,
    },
    /// It stayed at home, as it should.
    Obstacle(String),
    /// It was not as it should be; what was seen.
    Wrong(String),
}

impl Outcome {
    /// Whether it is as it should be.
    pub(super) fn is_right(&self) -> bool {
        !matches!(self, Self::Wrong(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal { frozen, wanted } => {
                let short =
                    wanted.map_or_else(String::new, |wanted| format!(" (it was to move {wanted} times)"));
                let times: Vec<String> = frozen.iter().map(|millis| format!("{millis} ms")).collect();
                write!(f, "equal; stood still {}{short}", times.join(", "))
            }
            Self::Obstacle(name) => write!(f, "stays at home: {name}"),
            Self::Wrong(what) => write!(f, "WRONG: {what}"),
        }
    }
}

/// The table of all cases.
pub(super) fn table(outcomes: &[(String, Outcome)]) -> String {
    let width = outcomes.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, outcome): &(String, Outcome)| {
        let (moved, equal) = match outcome {
            Outcome::Equal { frozen, wanted: None } => (format!("moved {}", frozen.len()), "equal"),
            Outcome::Equal { frozen, wanted: Some(wanted) } => {
                (format!("moved {} of {wanted}", frozen.len()), "equal")
            }
            Outcome::Obstacle(obstacle) => (obstacle.clone(), "equal"),
            Outcome::Wrong(_) => ("-".to_owned(), "WRONG"),
        };
        format!("{name:<width$}  {moved:<16}  {equal}")
    };
    let right = outcomes.iter().filter(|(_, outcome)| outcome.is_right()).count();
    let lines: Vec<String> = outcomes.iter().map(line).collect();
    format!("{}\n{right} of {} cases came out right", lines.join("\n"), outcomes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_what_moved_what_stayed_and_what_went_wrong() {
        let outcomes = [
            ("pipe".to_owned(), Outcome::Equal { frozen: vec![3, 4], wanted: None }),
            ("short".to_owned(), Outcome::Equal { frozen: vec![3], wanted: Some(3) }),
            ("socket".to_owned(), Outcome::Obstacle("socket".to_owned())),
            ("tree".to_owned(), Outcome::Wrong("status 1".to_owned())),
        ];
        let expected = "pipe    moved 2           equal\nshort   moved 1 of 3      equal\nsocket  socket            equal\n\
                        tree    -                 WRONG\n3 of 4 cases came out right";
        assert_eq!(table(&outcomes), expected);
    }
}
