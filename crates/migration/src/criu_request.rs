//! What CRIU is asked when it works as a service of its parent (`criu swrk`), and what it answers: one protobuf message
//! a packet (CRIU 4.1.1, `images/rpc.proto`). Only a restore is asked for.
//!
//! ```text
//!  asker                                  CRIU
//!    │ ── restore(options) ────────────────▶ │
//!    │ ◀─ Step("pre-restore") ────────────── │      at each step CRIU waits for a word
//!    │ ── go_on ───────────────────────────▶ │
//!    │ ◀─ Step("post-restore") ───────────── │      every task is restored, and none has run
//!    │ ── go_on ───────────────────────────▶ │
//!    │ ◀─ Restored, or Failed(why) ───────── │
//! ```
//!
//! With a script for each step instead, every one of them costs the start of a program while the process stands still.

use crate::protobuf::{self, Value, bytes, number};

/// The step at which all is restored, and nothing runs yet.
pub const HELD: &str = "post-restore";

const RESTORE: u64 = 2;
const NOTIFY: u64 = 6;

/// How to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The asker's own descriptor of the folder with the image, where the log is written, too.
    pub images: u32,
    /// The log's name.
    pub log: &'static str,
    /// Whether memory is filled in later, by a `criu lazy-pages` in the same folder.
    pub lazy_pages: bool,
    /// CRIU's descriptors that stand for something in the image, and for what.
    pub inherit: Vec<(String, u32)>,
}

/// What CRIU says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has come to this step, and waits.
    Step(String),
    /// The process runs.
    Restored,
    /// It could not be restored; nothing of it is left.
    Failed(String),
}

/// It is not CRIU that speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("CRIU said what is not understood")]
pub struct NotUnderstood;

/// The request.
pub fn restore(restore: &Restore) -> Vec<u8> {
    let mut options = Vec::new();
    number(&mut options, 1, restore.images.into());
    // The terminal is CRIU's standard input; session and group are taken from there.
    number(&mut options, 7, 1);
    number(&mut options, 9, 2);
    bytes(&mut options, 10, restore.log.as_bytes());
    // A word at each step.
    number(&mut options, 12, 1);
    number(&mut options, 17, restore.images.into());
    // The process becomes the asker's child.
    number(&mut options, 26, 1);
    for (key, descriptor) in &restore.inherit {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, key.as_bytes());
        number(&mut entry, 2, (*descriptor).into());
        bytes(&mut options, 27, &entry);
    }
    // Control groups are left alone.
    number(&mut options, 34, 0);
    number(&mut options, 48, restore.lazy_pages.into());
    let mut request = Vec::new();
    number(&mut request, 1, RESTORE);
    bytes(&mut request, 2, &options);
    request
}

/// The word at a step: go on.
pub fn go_on() -> Vec<u8> {
    let mut request = Vec::new();
    number(&mut request, 1, NOTIFY);
    number(&mut request, 3, 1);
    request
}

/// Reads an answer.
///
/// # Errors
/// [`NotUnderstood`].
pub fn answer(packet: &[u8]) -> Result<Answer, NotUnderstood> {
    let fields = protobuf::fields(packet).map_err(|_| NotUnderstood)?;
    let value = |wanted: u64| fields.iter().find(|field| field.number == wanted).map(|field| field.value);
    match (value(1), value(2)) {
        (Some(Value::Number(NOTIFY)), _) => {
            let Some(Value::Bytes(notify)) = value(5) else { return Err(NotUnderstood) };
            let fields = protobuf::fields(notify).map_err(|_| NotUnderstood)?;
            let script = fields.iter().find(|field| field.number == 1).map(|field| field.value);
            let Some(Value::Bytes(script)) = script else { return Err(NotUnderstood) };
            Ok(Answer::Step(String::from_utf8(script.to_vec()).map_err(|_| NotUnderstood)?))
        }
        (Some(Value::Number(RESTORE)), Some(Value::Number(1))) => Ok(Answer::Restored),
        (Some(Value::Number(_)), Some(Value::Number(_))) => {
            let said = match value(9) {
                Some(Value::Bytes(said)) => String::from_utf8_lossy(said).into_owned(),
                _ => "without a reason".to_owned(),
            };
            Ok(Answer::Failed(said))
        }
        _ => Err(NotUnderstood),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage;

    #[test]
    fn a_request_has_the_fields_that_criu_reads() {
        let inherit = vec![("pipe:[7]".to_owned(), 200)];
        let request = restore(&Restore { images: 5, log: "restore.log", lazy_pages: true, inherit });
        let fields = protobuf::fields(&request).unwrap();
        assert_eq!((fields[0].number, fields[0].value), (1, Value::Number(RESTORE)));
        let Value::Bytes(options) = fields[1].value else { panic!("no options") };
        let numbers: Vec<u64> = protobuf::fields(options).unwrap().iter().map(|field| field.number).collect();
        assert_eq!(numbers, [1, 7, 9, 10, 12, 17, 26, 27, 34, 48]);
        assert_eq!(go_on(), [0x08, 6, 0x18, 1]);
    }

    #[test]
    fn steps_success_and_failure_are_told_apart() {
        let mut notify = Vec::new();
        bytes(&mut notify, 1, HELD.as_bytes());
        number(&mut notify, 2, 77);
        let mut step = Vec::new();
        number(&mut step, 1, NOTIFY);
        number(&mut step, 2, 1);
        bytes(&mut step, 5, &notify);
        assert_eq!(answer(&step), Ok(Answer::Step(HELD.to_owned())));
        assert_eq!(answer(&[0x08, 2, 0x10, 1, 0x22, 2, 0x08, 77]), Ok(Answer::Restored));
        let mut failed = vec![0x08, 2, 0x10, 0];
        bytes(&mut failed, 9, b"no such file");
        assert_eq!(answer(&failed), Ok(Answer::Failed("no such file".to_owned())));
        assert_eq!(answer(&[0x10, 1]), Err(NotUnderstood));
        damage::damaged(&step, 20_000, |bytes| {
            let _understood_or_not = answer(bytes);
        });
    }
}
