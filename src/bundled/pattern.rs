//! The bytes of the generated files: endless, the same every time, and known at any offset without those before it.
//!
//! Every eight bytes differ from every other eight, so a byte lost, doubled or misplaced on the way always shows.

/// Writes the pattern's bytes from `offset` on into `into`.
pub(super) fn fill(offset: u64, into: &mut [u8]) {
    // Up to the first whole block, then block by block.
    let within = (offset % BLOCK) as usize;
    let mut block = offset / BLOCK;
    let mut rest = into;
    if within != 0 {
        let ahead = rest.len().min(BLOCK as usize - within);
        let (head, tail) = rest.split_at_mut(ahead);
        head.copy_from_slice(&block_bytes(block)[within..within + ahead]);
        rest = tail;
        block += 1;
    }
    for (index, chunk) in (block..).zip(rest.chunks_mut(BLOCK as usize)) {
        chunk.copy_from_slice(&block_bytes(index)[..chunk.len()]);
    }
}

/// Bytes made by one mix.
const BLOCK: u64 = 8;

/// The finaliser of SplitMix64: a bijection, so no two blocks are alike.
fn block_bytes(index: u64) -> [u8; BLOCK as usize] {
    let mut mixed = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fill(offset, &mut bytes);
        bytes
    }

    #[test]
    fn any_slice_equals_the_same_slice_of_the_whole() {
        let whole = bytes(0, 64);
        for offset in 0..40 {
            for len in 0..24 {
                assert_eq!(
                    bytes(offset as u64, len),
                    whole[offset..offset + len],
                    "{offset}+{len}"
                );
            }
        }
    }

    #[test]
    fn no_two_blocks_of_a_file_are_alike() {
        let whole = bytes(0, 1 << 20);
        let mut blocks: Vec<_> = whole.chunks(8).collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), whole.len() / 8);
    }

    #[test]
    fn the_bytes_never_change_between_versions() {
        // The strong tags of the generated files say so.
        assert_eq!(
            bytes(0, 8),
            [0xaf, 0xcd, 0x1d, 0x7b, 0x39, 0xa8, 0x20, 0xe2]
        );
    }
}
