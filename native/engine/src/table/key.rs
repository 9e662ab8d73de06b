//! What makes two keys one key, and its hash.
//!
//! In a set or bag that is the canonical form of the key (`1` and `1.0` are two keys); in an ordered_set the ordered form (one key).

use super::bytes::Bytes;
use crate::term::atom::host;
use crate::term::order::Beside;
use crate::term::{canonical_zero, key, Record};

/// Bytes of a key, inline when short.
pub type KeyBytes = Bytes<16>;

/// Identity of a key in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub bytes: KeyBytes,
    pub hash: u64,
}

impl Key {
    /// Key of a hash table.
    #[inline]
    pub fn exact(flat: &[u8], negative_zero: bool) -> Key {
        if negative_zero && !host().signed_zero() {
            return Key::of(KeyBytes::from(canonical_zero(flat)));
        }
        Key::of(inline(flat))
    }

    /// Key of a row of a hash table.
    #[inline]
    pub fn exact_of(record: &Record) -> Key {
        Key::exact(record.key(), record.negative_zero())
    }

    /// The hash of [`Key::exact_of`].
    #[inline]
    pub fn exact_hash(record: &Record) -> u64 {
        match record.negative_zero() {
            true => Key::exact_of(record).hash,
            false => hash(record.key()),
        }
    }

    /// Key of an ordered_set.
    #[inline]
    pub fn ordered(flat: &[u8], beside: Beside) -> Key {
        let mut bytes = Vec::with_capacity(24);
        key::write(flat, beside, &mut bytes);
        Key::of(KeyBytes::from_slice(&bytes))
    }

    /// Key from its identity bytes.
    #[inline]
    pub fn of(bytes: KeyBytes) -> Key {
        let hash = hash(&bytes);
        Key { bytes, hash }
    }

    /// Does this record of a hash table have this key?
    #[inline]
    pub fn is_of(&self, record: &Record) -> bool {
        let key = record.key();
        key == &self.bytes[..] || (record.negative_zero() && !host().signed_zero() && canonical_zero(key)[..] == self.bytes[..])
    }
}

/// A copy of short bytes without a loop or a call. Put together in registers: a vector that is filled byte by byte and moved at once
/// makes the processor wait until the bytes have arrived in the cache.
#[inline]
fn inline(flat: &[u8]) -> KeyBytes {
    let n = flat.len();
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| flat[at + i]));
    let half = |at: usize| u64::from(u32::from_le_bytes(std::array::from_fn(|i| flat[at + i])));
    let bytes: u128 = match n {
        0 => 0,
        1..=3 => (0..n).fold(0, |all, i| all | u128::from(flat[i]) << (8 * i)),
        // The two ends; where they overlap they are the same.
        4..=7 => u128::from(half(0) | half(n - 4) << (8 * (n - 4))),
        8..=16 => u128::from(word(0)) | u128::from(word(n - 8)) << (8 * (n - 8)),
        _ => return KeyBytes::from_slice(flat),
    };
    KeyBytes::from_array(bytes.to_le_bytes(), n)
}

/// Hash of identity bytes: picks shard, bucket and lock.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    rapidhash::v3::rapidhash_v3(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_bytes() {
        let all: Vec<u8> = (1..=40).collect();
        for n in 0..40 {
            assert_eq!(&inline(&all[..n])[..], &all[..n]);
        }
    }
}
