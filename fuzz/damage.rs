//! Damaged copies of a good input, the same ones each time: what `cargo test` tries on the decoders that are fuzzed here.

/// Hands out so many damaged copies: bytes changed, put in, cut off.
pub(crate) fn damaged(whole: &[u8], copies: usize, mut take: impl FnMut(&[u8])) {
    let mut state = 1_u64;
    // SplitMix64.
    let mut number = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)) >> 33) as usize
    };
    for _ in 0..copies {
        let mut bytes = whole.to_vec();
        for _ in 0..=number() % 4 {
            let at = number() % bytes.len();
            match number() % 8 {
                0 => bytes.truncate(at.max(1)),
                1 | 2 => bytes.insert(at, number() as u8),
                3 => bytes[at] = [0, 0x7f, 0x80, 0xff][number() % 4],
                _ => bytes[at] ^= 1 << (number() % 8),
            }
        }
        take(&bytes);
    }
}
