//! A page of a tree as LMDB lays it out: a head, offsets of nodes in key order, room, nodes.
//!
//! Whatever this hands out lies inside the page.

/// "No page": the root of an empty tree.
pub const NONE: u64 = u64::MAX;
/// Bytes of a page's head and of a node's.
pub const HEAD: usize = 16;
const NODE: usize = 8;
const LONGEST_KEY: usize = 511;

const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
/// Flags of a node in a leaf: the value is on overflow pages; it is the record of a tree.
const BIG: u16 = 1;
const SUBTREE: u16 = 2;

type What = &'static str;

/// What follows from the page size.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub size: usize,
    /// The largest node; a larger value goes to overflow pages.
    node: usize,
}

impl Layout {
    pub fn new(size: usize) -> Layout {
        Layout { size, node: (((size - HEAD) / 2) & !1) - 2 }
    }
}

/// A page whose nodes lie side by side in it.
pub struct Page {
    bytes: Vec<u8>,
    is_leaf: bool,
    nodes: Vec<usize>,
}

pub struct Leaf<'p> {
    pub key: &'p [u8],
    pub value: Value<'p>,
    /// The value is the record of a tree.
    pub subtree: bool,
}

pub enum Value<'p> {
    Here(&'p [u8]),
    Overflow { page: u64, len: usize },
}

fn short(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 2).and_then(|two| two.first_chunk()).map_or(0, |two| usize::from(u16::from_ne_bytes(*two)))
}

fn half(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_ne_bytes(*four))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_ne_bytes(*eight))
}

/// Looks at the head of a value's first overflow page; answers how many pages it has.
pub fn overflow(layout: &Layout, head: &[u8; HEAD], number: u64, len: usize) -> Result<u64, What> {
    let pages = u64::from(half(head, 12));
    let least = ((HEAD - 1 + len) / layout.size + 1) as u64;
    if word(head, 0) != number || short(head, 10) != usize::from(OVERFLOW) || pages < least {
        return Err("no overflow page of its value");
    }
    Ok(pages)
}

impl Page {
    pub fn read(layout: &Layout, bytes: Vec<u8>, number: u64) -> Result<Page, What> {
        let is_leaf = match short(&bytes, 10) as u16 {
            BRANCH => false,
            LEAF => true,
            _ => return Err("a page of another kind"),
        };
        let (lower, upper) = (short(&bytes, 12), short(&bytes, 14));
        if word(&bytes, 0) != number {
            return Err("a page with another number");
        }
        if lower < HEAD || lower % 2 != 0 || upper % 2 != 0 || lower > upper || upper > layout.size {
            return Err("a page with impossible bounds");
        }
        let nodes: Vec<usize> = (HEAD..lower).step_by(2).map(|at| short(&bytes, at)).collect();
        let page = Page { bytes, is_leaf, nodes };
        page.side_by_side(layout, upper)?;
        Ok(page)
    }

    /// Nodes fill the page from `upper` to its end without a gap, in whatever order.
    fn side_by_side(&self, layout: &Layout, upper: usize) -> Result<(), What> {
        let mut spans = Vec::with_capacity(self.nodes.len());
        for &at in &self.nodes {
            if at < upper || at % 2 != 0 || at + NODE > layout.size {
                return Err("a node outside of its page");
            }
            let key = short(&self.bytes, at + 6);
            let len = match self.is_leaf {
                true if short(&self.bytes, at + 4) as u16 & BIG != 0 => NODE + key + 8,
                true => NODE + key + half(&self.bytes, at) as usize,
                false => NODE + key,
            };
            if key > LONGEST_KEY || len > layout.node || at + len > layout.size {
                return Err("a node that is too large");
            }
            spans.push((at, at + len.next_multiple_of(2)));
        }
        spans.sort_unstable();
        let end = spans.iter().try_fold(upper, |end, (from, to)| (*from == end).then_some(*to));
        (end == Some(layout.size)).then_some(()).ok_or("nodes that do not lie side by side")
    }

    fn key(&self, at: usize) -> &[u8] {
        &self.bytes[at + NODE..][..short(&self.bytes, at + 6)]
    }

    /// The keys and page numbers of a branch. The first key means nothing: the first child has all that is below the second.
    pub fn children(&self) -> Result<Vec<(&[u8], u64)>, What> {
        if self.is_leaf {
            return Err("a leaf where a branch must be");
        }
        if self.nodes.is_empty() {
            return Err("a branch without children");
        }
        let number = |at: usize| u64::from(half(&self.bytes, at)) | (short(&self.bytes, at + 4) as u64) << 32;
        Ok(self.nodes.iter().map(|&at| (self.key(at), number(at))).collect())
    }

    pub fn leaves(&self) -> Result<Vec<Leaf<'_>>, What> {
        if !self.is_leaf {
            return Err("a branch where a leaf must be");
        }
        if self.nodes.is_empty() {
            return Err("a leaf without keys");
        }
        let leaf = |&at: &usize| {
            let (flags, len) = (short(&self.bytes, at + 4) as u16, half(&self.bytes, at) as usize);
            let key = self.key(at);
            let data = at + NODE + key.len();
            let value = match flags {
                0 | SUBTREE => Value::Here(&self.bytes[data..data + len]),
                BIG => Value::Overflow { page: word(&self.bytes, data), len },
                _ => return Err("a node of another kind"),
            };
            Ok(Leaf { key, value, subtree: flags == SUBTREE })
        };
        self.nodes.iter().map(leaf).collect()
    }
}
