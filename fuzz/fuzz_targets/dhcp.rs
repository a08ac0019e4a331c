//! What a DHCP server, or whoever plays one, sends to a PC that boots.
#![no_main]
// `init` is a program, not a library; of what is compiled in here, only the decoder is used.
#![expect(dead_code, unused_imports, reason = "the rest of the DHCP client is not fuzzed")]

#[path = "../../initramfs/src/net/jitter.rs"]
mod jitter;

#[path = "../../initramfs/src/net/dhcp/mod.rs"]
mod dhcp;

use libfuzzer_sys::fuzz_target;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fuzz_target!(|bytes: &[u8]| {
    dhcp::decode(bytes, MAC);
    // An answer to this very PC, so that what is behind the header is looked at.
    let mut answer = vec![2, 1, 6, 0];
    answer.extend_from_slice(&[0; 24]);
    answer.extend_from_slice(&MAC);
    answer.resize(236, 0);
    answer[16..20].copy_from_slice(&[10, 0, 0, 9]);
    answer.extend_from_slice(&[99, 130, 83, 99, 53, 1, 5, 54, 4, 10, 0, 0, 1]);
    answer.extend_from_slice(bytes);
    dhcp::decode(&answer, MAC);
});
