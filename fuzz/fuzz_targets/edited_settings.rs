//! `cluster.toml` as somebody has left it.
#![no_main]

use brant_types::node::NodeId;
use brant_types::settings::{Key, Settings, edited};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut settings = Settings::default();
    let author = NodeId::from([1; 8]);
    settings.set(Key::Balance, Some("off".to_owned()), author).expect("a value that it can have");
    // What is taken can be set, and is then no change any more.
    if let Ok(changes) = edited::changes(text, &settings) {
        for (key, value) in changes {
            settings.set(key, value, author).expect("it was checked");
        }
        assert_eq!(edited::changes(text, &settings), Ok(Vec::new()));
    }
});
