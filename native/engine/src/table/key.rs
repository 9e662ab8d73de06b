//! What makes two keys one key, and its hash.
//!
//! In a set or bag that is the canonical form of the key (`1` and `1.0` are two keys); in an ordered_set the ordered form (one key).

use crate::term::atom::host;
use crate::term::order::Beside;
use crate::term::{canonical_zero, key, Record};
use smallvec::SmallVec;

/// Bytes of a key, inline when short.
pub type KeyBytes = SmallVec<[u8; 16]>;

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
            return Key::of(SmallVec::from_vec(canonical_zero(flat)));
        }
        Key::of(SmallVec::from_slice(flat))
    }

    /// Key of a row of a hash table.
    #[inline]
    pub fn exact_of(record: &Record) -> Key {
        Key::exact(record.key(), record.negative_zero())
    }

    /// Key of an ordered_set.
    #[inline]
    pub fn ordered(flat: &[u8], beside: Beside) -> Key {
        let mut bytes = Vec::with_capacity(24);
        key::write(flat, beside, &mut bytes);
        Key::of(SmallVec::from_slice(&bytes))
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

/// Hash of identity bytes: picks shard, bucket and lock.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    rapidhash::v3::rapidhash_v3(bytes)
}
