//! QEMU's control protocol: one JSON object a line, answers between events.

use crate::exec::connect_in;
use crate::machine::{NETWORK, QMP_SOCKET, SPARE_NETWORK, STICK};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long QEMU may take to answer; it does so while the guest stands still, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why QEMU was not told, or did not obey.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// Nothing listens: the machine does not run.
    #[error("connecting to QEMU")]
    Connect(#[source] io::Error),
    /// The connection broke; a command may have been obeyed.
    #[error("talking to QEMU")]
    Talk(#[source] io::Error),
    /// QEMU said what is not QMP.
    #[error("understanding QEMU")]
    Json(#[source] serde_json::Error),
    /// QEMU refused the command; the machine is as it was.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The command's name.
        command: String,
        /// QEMU's words.
        reason: String,
    },
}

/// A connection to the QEMU of one machine; there can be one at a time.
#[derive(Debug)]
pub struct Qmp {
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the machine with this folder.
    ///
    /// # Errors
    /// [`QmpError`]; nothing was commanded.
    pub fn connect(machine: &Path) -> Result<Self, QmpError> {
        let stream = connect_in(machine, QMP_SOCKET).map_err(QmpError::Connect)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(QmpError::Talk)?;
        Self::over(stream)
    }

    fn over(stream: UnixStream) -> Result<Self, QmpError> {
        let mut qmp = Self { lines: BufReader::new(stream) };
        qmp.line()?;
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Executes a command without arguments and returns its answer.
    ///
    /// # Errors
    /// [`QmpError`].
    pub fn execute(&mut self, command: &str) -> Result<Value, QmpError> {
        self.execute_with(command, &json!({}))
    }

    fn execute_with(&mut self, command: &str, arguments: &Value) -> Result<Value, QmpError> {
        let request = format!("{}\n", json!({ "execute": command, "arguments": arguments, "id": command }));
        self.lines.get_mut().write_all(request.as_bytes()).map_err(QmpError::Talk)?;
        loop {
            let mut said = self.line()?;
            if let Some(error) = said.get("error") {
                let reason =
                    error.get("desc").and_then(Value::as_str).unwrap_or("without a reason").to_owned();
                return Err(QmpError::Refused { command: command.to_owned(), reason });
            }
            if let Some(answer) = said.get_mut("return") {
                return Ok(answer.take());
            }
        }
    }

    /// Pulls the machine's network cable, or plugs it in again; the guest sees its link go down and come up.
    ///
    /// # Errors
    /// [`QmpError`].
    pub fn plug_network(&mut self, plugged: bool) -> Result<(), QmpError> {
        self.execute_with("set_link", &json!({ "name": NETWORK, "up": plugged })).map(drop)
    }

    /// Plugs the cable of its second network card in, or pulls it.
    ///
    /// # Errors
    /// [`QmpError`]; the cable is as it was.
    pub fn plug_spare_network(&mut self, plugged: bool) -> Result<(), QmpError> {
        self.execute_with("set_link", &json!({ "name": SPARE_NETWORK, "up": plugged })).map(drop)
    }

    /// Pulls the stick that its medium is.
    ///
    /// # Errors
    /// [`QmpError`]; the stick is where it was.
    pub fn pull_stick(&mut self) -> Result<(), QmpError> {
        self.execute_with("device_del", &json!({ "id": STICK })).map(drop)
    }

    /// Presses a key and lets it go; QEMU's names: `down`, `ret`, `a`.
    ///
    /// # Errors
    /// [`QmpError`]; no key was pressed.
    pub fn press(&mut self, key: &str) -> Result<(), QmpError> {
        let keys = json!([{ "type": "qcode", "data": key }]);
        self.execute_with("send-key", &json!({ "keys": keys })).map(drop)
    }

    /// Writes what is on the machine's screen to a file, a picture in the format PPM.
    ///
    /// # Errors
    /// [`QmpError`]; the file may be there and incomplete.
    pub fn picture(&mut self, file: &Path) -> Result<(), QmpError> {
        self.execute_with("screendump", &json!({ "filename": file })).map(drop)
    }

    /// Cuts the machine's power: QEMU ends at once, whatever the guest does.
    ///
    /// # Errors
    /// [`QmpError`]; a connection that breaks after the command is what was wanted.
    pub fn cut_power(mut self) -> Result<(), QmpError> {
        match self.execute("quit") {
            Ok(_) | Err(QmpError::Talk(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn line(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).map_err(QmpError::Talk)? == 0 {
            return Err(QmpError::Talk(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&line).map_err(QmpError::Json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Plays QEMU's part from a script, and returns what it was told.
    fn talk(script: &'static str, command: &str) -> (Result<Value, QmpError>, String) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(script.as_bytes()).unwrap();
        let answer = Qmp::over(ours).and_then(|mut qmp| qmp.execute(command));
        let mut told = String::new();
        theirs.read_to_string(&mut told).unwrap();
        (answer, told)
    }

    const HELLO: &str =
        "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n{\"return\": {}, \"id\": \"x\"}\n";

    #[test]
    fn answers_are_found_between_events() {
        let script: &'static str =
            format!("{HELLO}{{\"event\": \"STOP\"}}\n{{\"return\": {{\"running\": true}}}}\n").leak();
        let (answer, told) = talk(script, "query-status");
        assert_eq!(answer.unwrap(), json!({ "running": true }));
        assert_eq!(told.lines().count(), 2);
        assert!(told.contains("\"execute\":\"query-status\""), "{told}");
    }

    #[test]
    fn a_refusal_carries_the_reason() {
        let script: &'static str =
            format!("{HELLO}{{\"error\": {{\"class\": \"X\", \"desc\": \"no such command\"}}}}\n").leak();
        let refused = talk(script, "fly").0.unwrap_err();
        assert_eq!(refused.to_string(), "QEMU refused `fly`: no such command");
    }
}
