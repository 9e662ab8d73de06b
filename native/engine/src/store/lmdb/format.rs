//! The bytes in the LMDB file, beyond what LMDB itself writes.
//!
//! Every value is *sealed*: a checksum over its key and its bytes stands before it, so that what is read is what was written.
//! LMDB verifies nothing.

use super::super::StoreError;
use rapidhash::v3::rapidhash_v3;

/// The format this version writes, and the newest it reads.
pub const FORMAT: u32 = 1;
/// Trees that belong to one table each. Reads in a transaction cost a little per tree, see docs/decisions.md.
pub const OWN: u8 = 16;
/// Place of a table in the tree that all further tables share.
pub const SHARED: u8 = OWN;
/// The tree of small things: state, meta, dictionary, places.
pub const INFO: &str = "info";
const SHARED_NAME: &str = "shared";

/// Longest key that is stored as it is; a longer one goes to a chunk, see `chunk.rs`.
pub const PLAIN: usize = 480;
/// A chunk's number, after the first `PLAIN` bytes of its keys.
pub const NUMBER: usize = 8;
/// Longest key of the info tree.
pub const LONGEST_NAME: usize = PLAIN;
/// Bytes of a seal.
pub const SEAL: usize = 4;
/// Longest value; LMDB counts it in 32 bits, a seal and a chunk's head are part of it.
pub const LONGEST_VALUE: usize = u32::MAX as usize - (1 << 20);

/// First bytes of keys in the info tree. The state is the first key there is.
pub mod kind {
    pub const STATE: u8 = 0;
    pub const META: u8 = 1;
    pub const ATOM: u8 = 2;
    pub const PLACE: u8 = 3;
    pub const GARBAGE: u8 = 4;
}

pub fn tree_name(tree: u8) -> String {
    match tree {
        SHARED => SHARED_NAME.into(),
        own => format!("t{own:02}"),
    }
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let sum = rapidhash_v3(key).rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ rapidhash_v3(value);
    (sum ^ sum >> 32) as u32
}

/// Writes the sealed form of a value into `to`.
pub fn seal<'a>(key: &[u8], value: &[u8], to: &'a mut Vec<u8>) -> &'a [u8] {
    to.clear();
    to.extend_from_slice(&checksum(key, value).to_le_bytes());
    to.extend_from_slice(value);
    to
}

/// The value in a sealed one, if it is whole.
#[inline]
pub fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, value) = sealed.split_first_chunk::<SEAL>()?;
    (u32::from_le_bytes(*sum) == checksum(key, value)).then_some(value)
}

/// What the state record says; it is written by every transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub format: u32,
    /// LMDB's number of the transaction that wrote this, so that a damaged meta page does not lead to an old state unseen.
    pub txn: u64,
    pub position: u64,
    /// The next prefix of a table in the shared tree.
    pub next_prefix: u32,
}

impl State {
    pub const KEY: &'static [u8] = &[kind::STATE];
    const MARK: &'static [u8; 8] = b"remnesia";

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Self::MARK.to_vec();
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&self.txn.to_le_bytes());
        bytes.extend_from_slice(&self.position.to_le_bytes());
        bytes.extend_from_slice(&self.next_prefix.to_le_bytes());
        bytes
    }

    /// None if this is no state record of any format; of a newer one only the format is read.
    pub fn read(bytes: &[u8]) -> Option<State> {
        let rest = bytes.strip_prefix(Self::MARK)?;
        let (format, rest) = rest.split_first_chunk()?;
        let format = u32::from_le_bytes(*format);
        if format > FORMAT {
            return Some(State { format, txn: 0, position: 0, next_prefix: 0 });
        }
        let (txn, rest) = rest.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        let next_prefix: &[u8; 4] = rest.try_into().ok()?;
        let (txn, position) = (u64::from_le_bytes(*txn), u64::from_le_bytes(*position));
        Some(State { format, txn, position, next_prefix: u32::from_le_bytes(*next_prefix) })
    }
}

/// Where the rows of a table are and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// A tree of its own, or `SHARED`.
    pub tree: u8,
    /// In the shared tree: the first bytes of its keys there.
    pub prefix: u32,
    pub rows: u64,
}

impl Place {
    pub fn write(&self) -> [u8; 13] {
        let mut bytes = [0; 13];
        bytes[0] = self.tree;
        bytes[1..5].copy_from_slice(&self.prefix.to_le_bytes());
        bytes[5..].copy_from_slice(&self.rows.to_le_bytes());
        bytes
    }

    pub fn read(bytes: &[u8]) -> Option<Place> {
        let (tree, rest) = bytes.split_first()?;
        let (prefix, rest) = rest.split_first_chunk()?;
        let rows: &[u8; 8] = rest.try_into().ok()?;
        (*tree <= SHARED).then(|| Place { tree: *tree, prefix: u32::from_le_bytes(*prefix), rows: u64::from_le_bytes(*rows) })
    }

    /// What stands before every key of the table. One byte in its own tree, because LMDB has no empty keys.
    pub fn prefix(&self) -> Prefix {
        match self.tree {
            SHARED => Prefix { bytes: self.prefix.to_be_bytes(), len: 4 },
            _ => Prefix { bytes: [OWN_PREFIX; 4], len: 1 },
        }
    }
}

pub const OWN_PREFIX: u8 = b'k';

/// The first bytes of a table's keys in its tree.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    bytes: [u8; 4],
    len: usize,
}

impl std::ops::Deref for Prefix {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A key of the info tree.
pub fn info_key(kind: u8, name: &[u8]) -> Result<Vec<u8>, StoreError> {
    if name.len() > LONGEST_NAME {
        return Err(StoreError::TooLarge { bytes: name.len() as u64, most: LONGEST_NAME as u64 });
    }
    Ok([&[kind], name].concat())
}

/// A number after the kind in a key of the info tree: an atom, a table, a prefix.
pub fn info_number(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..)?.try_into().ok()?))
}
