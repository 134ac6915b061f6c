//! Ids in hexadecimal, lower case. Pure.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two digits a byte.
pub(super) fn write(bytes: &[u8], into: &mut [u8]) {
    for (pair, byte) in into.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}
