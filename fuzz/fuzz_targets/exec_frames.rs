//! The exec channel, both directions, cut into reads at places that the input chooses.
#![no_main]

use brant_types::exec::{GuestDecoder, HostDecoder, preamble};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [cut, rest @ ..] = bytes else { return };
    let stream = [&preamble([1; 8])[..], rest].concat();
    let (mut guest, mut host) = (GuestDecoder::default(), HostDecoder::new([1; 8]));
    let (mut arrivals, mut messages) = (Vec::new(), Vec::new());
    for part in stream.chunks(usize::from(*cut).max(1)) {
        let _refused = guest.push(part, &mut arrivals);
        if host.push(part, &mut messages).is_err() {
            host = HostDecoder::new([1; 8]);
        }
    }
    let _alone = GuestDecoder::default().push(rest, &mut arrivals);
});
