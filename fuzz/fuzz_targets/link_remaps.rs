//! CRIU's `files.img` and `remap-fpath.img`, which come with a process from another node.
#![no_main]

use brant_migration::link_remaps;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (files, remaps) = bytes.split_at(bytes.len() / 2);
    for link in link_remaps::links(files, remaps).unwrap_or_default() {
        assert!(link.of.starts_with('/') && link.path.starts_with('/'));
        assert!(!link.of.split('/').chain(link.path.split('/')).any(|part| part == ".."));
    }
});
