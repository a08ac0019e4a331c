//! What arrives at migrationd, a deputy or a capsule: as it is, and inside a frame whose checksum is right.
#![no_main]

use brant_migration::frame;
use brant_migration::protocol::{
    FromCapsule, FromDeputy, ImagePart, Opening, ToCapsule, ToDeputy, ToHome, ToHost,
};
use brant_migrationd::wire::receive;
use libfuzzer_sys::fuzz_target;

fn understand(mut stream: &[u8]) {
    while let Ok(Some(_)) = receive::<ImagePart>(&mut stream) {}
}

fuzz_target!(|bytes: &[u8]| {
    understand(bytes);
    let Ok(framed) = frame::seal(bytes) else { return };
    understand(&framed);
    let _others = (
        receive::<Opening>(&mut &framed[..]),
        receive::<ToHost>(&mut &framed[..]),
        receive::<ToHome>(&mut &framed[..]),
        receive::<ToCapsule>(&mut &framed[..]),
        receive::<FromCapsule>(&mut &framed[..]),
        receive::<ToDeputy>(&mut &framed[..]),
        receive::<FromDeputy>(&mut &framed[..]),
    );
});
