//! What our own records say, compared with each other.

use crate::store::lmdb::chunk;
use crate::store::lmdb::format::{info_number, kind, unseal, Place, State, NUMBER, OWN_PREFIX, PLAIN, SHARED};
use std::collections::{BTreeMap, BTreeSet};

type What = &'static str;

#[derive(Default)]
pub struct Content {
    /// Rows by tree and prefix: as the tables' records say, and as counted.
    said: BTreeMap<(u8, u32), u64>,
    counted: BTreeMap<(u8, u32), u64>,
    garbage: BTreeSet<u32>,
}

/// Rows of a part of a tree that is looked at by itself.
#[derive(Default)]
pub struct Part {
    /// By prefix.
    counted: BTreeMap<u32, u64>,
    /// The first and the last long key: keys go up across chunks.
    long: Option<(Vec<u8>, Vec<u8>)>,
}

impl Content {
    /// A record of the info tree.
    pub fn info(&mut self, key: &[u8], sealed: &[u8], subtree: bool) -> Result<(), What> {
        let value = whole(key, sealed, subtree)?;
        match key[0] {
            kind::STATE if key == State::KEY => (),
            kind::META => (),
            kind::ATOM => drop(info_number(key).ok_or("an atom without number")?),
            kind::PLACE => {
                info_number(key).ok_or("a table without number")?;
                let place = Place::read(value).filter(|place| place.rows > 0).ok_or("a table without place")?;
                let prefix = if place.tree == SHARED { place.prefix } else { 0 };
                if self.said.insert((place.tree, prefix), place.rows).is_some() {
                    return Err("two tables in one place");
                }
            }
            kind::GARBAGE => drop(self.garbage.insert(info_number(key).ok_or("garbage without number")?)),
            _ => return Err("an unknown record"),
        }
        Ok(())
    }

    /// The rows of a tree, in its parts from the first to the last.
    pub fn rows(&mut self, tree: u8, parts: &[Part]) -> Result<(), What> {
        let mut last: &[u8] = &[];
        for part in parts {
            for (prefix, rows) in &part.counted {
                *self.counted.entry((tree, *prefix)).or_default() += rows;
            }
            if let Some((first, greatest)) = &part.long {
                if !last.is_empty() && !in_order(tree, last, first) {
                    return Err(DISORDER);
                }
                last = greatest;
            }
        }
        Ok(())
    }

    /// Tables and rows, if what was said and what was counted is the same.
    pub fn finish(mut self, state: &State) -> Result<(u64, u64), What> {
        self.counted.retain(|(tree, prefix), _| *tree != SHARED || !self.garbage.contains(prefix));
        if self.counted != self.said {
            return Err("a table with another number of rows than its record says");
        }
        let mut prefixes = self.said.keys().filter(|(tree, _)| *tree == SHARED).map(|(_, prefix)| prefix).chain(&self.garbage);
        if prefixes.any(|prefix| *prefix >= state.next_prefix) {
            return Err("a table in a place that was not given");
        }
        Ok((self.said.len() as u64, self.said.values().sum()))
    }
}

const DISORDER: What = "chunks that are not in order";

/// Two long keys of one family go up; of others the tree says it.
fn in_order(tree: u8, before: &[u8], after: &[u8]) -> bool {
    let family = PLAIN + if tree == SHARED { 4 } else { 1 };
    before < after || before.get(..family) != after.get(..family)
}

impl Part {
    /// The next row or chunk of a table.
    pub fn row(&mut self, tree: u8, key: &[u8], sealed: &[u8], subtree: bool) -> Result<(), What> {
        let value = whole(key, sealed, subtree)?;
        let (prefix, rest) = match tree {
            SHARED => key
                .split_first_chunk::<4>()
                .map(|(prefix, rest)| (u32::from_be_bytes(*prefix), rest))
                .ok_or("a key without table")?,
            _ => (0, key.strip_prefix(&[OWN_PREFIX]).ok_or("a key without table")?),
        };
        let rows = match rest.len() {
            0..=PLAIN => 1,
            len if len == PLAIN + NUMBER => self.chunk(tree, &key[..key.len() - NUMBER], value)?,
            _ => return Err("a key of an impossible length"),
        };
        *self.counted.entry(prefix).or_default() += rows;
        Ok(())
    }

    fn chunk(&mut self, tree: u8, family: &[u8], value: &[u8]) -> Result<u64, What> {
        let entries = chunk::read(value).ok_or("a chunk without entries")?;
        for (rest, _) in &entries {
            let key = [family, rest].concat();
            match &mut self.long {
                Some((_, last)) if !in_order(tree, last, &key) => return Err(DISORDER),
                Some((_, last)) => *last = key,
                None => self.long = Some((key.clone(), key)),
            }
        }
        Ok(entries.len() as u64)
    }
}

fn whole<'v>(key: &[u8], sealed: &'v [u8], subtree: bool) -> Result<&'v [u8], What> {
    match subtree {
        false => unseal(key, sealed).ok_or("a value with another checksum"),
        true => Err("a tree where a value must be"),
    }
}
