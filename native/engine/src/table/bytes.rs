//! Short byte strings, as trees have them: in place when short, and compared quickly.

use smallvec::SmallVec;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Deref;

/// Ordered by its bytes. The first eight nearly always decide and are compared as one word: a way through a tree compares twenty of them or
/// more, and a call for each takes longer than all else that it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes<const N: usize>(SmallVec<[u8; N]>);

impl<const N: usize> Bytes<N> {
    pub fn new() -> Self {
        Bytes(SmallVec::new())
    }

    #[inline]
    pub fn from_slice(bytes: &[u8]) -> Self {
        Bytes(SmallVec::from_slice(bytes))
    }

    /// The first bytes of an array.
    #[inline]
    pub fn from_array(bytes: [u8; N], len: usize) -> Self {
        Bytes(SmallVec::from_buf_and_len(bytes, len))
    }

    /// One after the other.
    #[inline]
    pub fn joined(first: &[u8], second: &[u8]) -> Self {
        let mut bytes = SmallVec::with_capacity(first.len() + second.len());
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        Bytes(bytes)
    }

    /// They are too long to be in place.
    #[inline]
    pub fn is_elsewhere(&self) -> bool {
        self.0.spilled()
    }
}

/// The first bytes as a number, in their order; what is missing counts as zeros. Forms of small integers are shorter than the number.
#[inline(always)]
fn head(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    let half = |at: usize| u64::from(u32::from_be_bytes(std::array::from_fn(|i| bytes[at + i])));
    let one = |at: usize| u64::from(bytes[at]) << (56 - 8 * at);
    match n {
        8.. => half(0) << 32 | half(4),
        // The two ends; where they overlap they are the same.
        4.. => half(0) << 32 | half(n - 4) << (8 * (8 - n)),
        1.. => one(0) | one(n / 2) | one(n - 1),
        0 => 0,
    }
}

impl<const N: usize> Ord for Bytes<N> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        // Where the numbers differ so do the bytes, in the same way: a zero that stands for no byte is below every other.
        head(self).cmp(&head(other)).then_with(|| self[..].cmp(&other[..]))
    }
}

impl<const N: usize> PartialOrd for Bytes<N> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Deref for Bytes<N> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> Borrow<[u8]> for Bytes<N> {
    #[inline]
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> From<&[u8]> for Bytes<N> {
    fn from(bytes: &[u8]) -> Self {
        Bytes::from_slice(bytes)
    }
}

impl<const N: usize> From<Vec<u8>> for Bytes<N> {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(SmallVec::from_vec(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_the_bytes() {
        let mut all: Vec<Vec<u8>> = vec![Vec::new()];
        for len in 1..=18 {
            for last in [0, 1, 0x7f, 0x80, 0xff] {
                for fill in [0, 1, 0xff] {
                    let mut bytes = vec![fill; len];
                    bytes[len - 1] = last;
                    all.push(bytes);
                }
            }
        }
        for a in &all {
            for b in &all {
                let (short, cut) = (Bytes::<16>::from_slice(a), b.len() / 2);
                assert_eq!(short.cmp(&Bytes::joined(&b[..cut], &b[cut..])), a.cmp(b), "{a:?} {b:?}");
            }
        }
    }
}
