//! The list of terminals in an image: what CRIU has written, or whoever has got at it.
#![no_main]

use brant_migration::tty_info::cut_off;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(changed) = cut_off(bytes) {
        assert_eq!(cut_off(&changed).as_ref(), Ok(&changed), "a second time changes nothing");
    }
});
