//! The walk over all pages: each tree once, then the list of free pages.

use super::content::Content;
use super::page::Value;
use super::{Looked, Report, Tree};
use crate::store::lmdb::format::{tree_name, INFO, SHARED};
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Which pages have been reached.
struct Reached {
    /// Pages of the file.
    pages: u64,
    bits: Vec<u64>,
    /// Free pages after the end of the file.
    beyond: BTreeSet<u64>,
    count: u64,
}

impl Reached {
    /// False if it was reached before.
    fn reach(&mut self, page: u64) -> bool {
        self.count += 1;
        match self.bits.get_mut((page / 64) as usize) {
            Some(word) if page < self.pages => {
                let bit = 1 << (page % 64);
                let new = *word & bit == 0;
                *word |= bit;
                new
            }
            _ => self.beyond.insert(page),
        }
    }
}

/// Bytes of keys, or numbers for the free list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Bytes,
    Numbers,
}

impl Order {
    fn less(self, a: &[u8], b: &[u8]) -> bool {
        match self {
            Order::Bytes => a < b,
            Order::Numbers => number(a) < number(b),
        }
    }
}

fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_ne_bytes)
}

/// A page still to be looked at: what the branches above say about its keys.
struct Open {
    page: u64,
    depth: u16,
    low: Option<Rc<[u8]>>,
    high: Option<Rc<[u8]>>,
}

/// A key of a leaf; `subtree` says that the value is the record of a tree.
struct Node<'n> {
    page: u64,
    key: &'n [u8],
    value: &'n [u8],
    subtree: bool,
}

struct Walk<'l> {
    looked: &'l Looked,
    reached: Reached,
}

impl Walk<'_> {
    fn reach(&mut self, page: u64, from: u64) -> Result<(), StoreError> {
        self.reached.reach(page).then_some(()).ok_or_else(|| self.looked.damaged(from, format!("page {page} is used twice")))
    }

    /// Gives every key and value of a tree, in order, to `leaf`.
    fn tree(
        &mut self,
        tree: &Tree,
        order: Order,
        mut leaf: impl FnMut(&mut Self, Node<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let looked = self.looked;
        let (mut branches, mut leaves, mut overflow, mut entries) = (0, 0, 0, 0);
        let mut open = Vec::new();
        if !tree.is_empty() {
            open.push(Open { page: tree.root, depth: 1, low: None, high: None });
        }
        while let Some(Open { page: at, depth, low, high }) = open.pop() {
            let damaged = |what: &'static str| looked.damaged(at, what);
            let page = looked.page(at)?;
            self.reach(at, at)?;
            let outside = |key: &[u8]| {
                low.as_deref().is_some_and(|low| order.less(key, low))
                    || high.as_deref().is_some_and(|high| !order.less(key, high))
            };
            if page.is_leaf() != (depth == tree.depth) {
                return Err(damaged("a page at a depth where its kind cannot be"));
            }
            if !page.is_leaf() {
                branches += 1;
                let children = page.children().map_err(damaged)?;
                // LMDB asserts that a branch has two; that of the free list may have one.
                if children.len() < 2 && order == Order::Bytes {
                    return Err(damaged("a branch with one child"));
                }
                let keys: Vec<Rc<[u8]>> = children[1..].iter().map(|(key, _)| Rc::from(*key)).collect();
                if keys.windows(2).any(|two| !order.less(&two[0], &two[1])) || keys.iter().any(|key| outside(key)) {
                    return Err(damaged("keys of a branch that are not in order"));
                }
                if order == Order::Numbers && keys.iter().any(|key| number(key).is_none()) {
                    return Err(damaged("a key of the free list that is no number"));
                }
                // The last is looked at last.
                for (i, (_, child)) in children.iter().enumerate().rev() {
                    let low = i.checked_sub(1).map_or_else(|| low.clone(), |i| keys.get(i).cloned());
                    let high = keys.get(i).cloned().or_else(|| high.clone());
                    open.push(Open { page: *child, depth: depth + 1, low, high });
                }
                continue;
            }
            leaves += 1;
            let mut last: Option<&[u8]> = None;
            let nodes = page.leaves().map_err(damaged)?;
            for node in &nodes {
                entries += 1;
                if node.key.is_empty() || outside(node.key) || last.is_some_and(|last| !order.less(last, node.key)) {
                    return Err(damaged("keys that are not in order"));
                }
                last = Some(node.key);
                if let Value::Overflow { page, len } = node.value {
                    let pages = looked.overflow(page, len)?;
                    overflow += pages;
                    (page..page + pages).try_for_each(|page| self.reach(page, at))?;
                }
                leaf(self, Node { page: at, key: node.key, value: &looked.value(&node.value)?, subtree: node.subtree })?;
            }
        }
        let counted = (branches, leaves, overflow, entries);
        if counted != (tree.branches, tree.leaves, tree.overflow, tree.entries) {
            return Err(looked.damaged(tree.root, "a tree with other counts than its record says"));
        }
        Ok(())
    }

    /// The free list: for each transaction the pages that it freed, greatest first, after their number.
    fn free(&mut self) -> Result<u64, StoreError> {
        let looked = self.looked;
        let mut pages = 0;
        self.tree(&looked.meta.free, Order::Numbers, |walk, Node { page: at, key, value, subtree }| {
            let damaged = |what: &'static str| looked.damaged(at, what);
            let txn = number(key).ok_or_else(|| damaged("a key of the free list that is no number"))?;
            if subtree || txn == 0 || txn > looked.meta.txn || value.len() % 8 != 0 {
                return Err(damaged("an impossible record of the free list"));
            }
            let mut words = value.chunks_exact(8).filter_map(number);
            let count = words.next().filter(|count| *count < value.len() as u64 / 8);
            let count = count.ok_or_else(|| damaged("a record of the free list that is too short"))?;
            let mut before = u64::MAX;
            for page in words.take(count as usize) {
                if page <= 1 || page > looked.meta.last_page || page >= before {
                    return Err(damaged("a free page that cannot be"));
                }
                before = page;
                walk.reach(page, at)?;
            }
            pages += count;
            Ok(())
        })?;
        Ok(pages)
    }
}

/// Looks at all of a file whose meta pages are in order.
pub fn all(looked: &Looked) -> Result<Report, StoreError> {
    let state = looked.state()?;
    let bits = vec![0; looked.pages.div_ceil(64) as usize];
    let reached = Reached { pages: looked.pages, bits, beyond: BTreeSet::new(), count: 0 };
    let mut walk = Walk { looked, reached };
    let mut trees = BTreeMap::new();
    walk.tree(&looked.meta.main, Order::Bytes, |_, Node { page, key, value, subtree }| {
        let tree = Tree::read(value).filter(|tree| subtree && tree.pad == 0 && tree.flags == 0 && tree.fits_itself());
        trees.insert(key.to_vec(), tree.ok_or_else(|| looked.damaged(page, "no record of a tree"))?);
        Ok(())
    })?;
    let mut take = |name: &str| {
        let missing = || looked.damaged(looked.meta.main.root, format!("the tree {name} is missing"));
        trees.remove(name.as_bytes()).ok_or_else(missing)
    };
    let info = take(INFO)?;
    let tables: Vec<Tree> = (0..=SHARED).map(|tree| take(&tree_name(tree))).collect::<Result<_, _>>()?;
    if !trees.is_empty() {
        return Err(looked.damaged(looked.meta.main.root, "a tree that is not ours"));
    }
    let mut content = Content::default();
    walk.tree(&info, Order::Bytes, |_, Node { page, key, value, subtree }| {
        content.info(key, value, subtree).map_err(|what| looked.damaged(page, what))
    })?;
    for (number, tree) in tables.iter().enumerate() {
        walk.tree(tree, Order::Bytes, |_, Node { page, key, value, subtree }| {
            content.row(number as u8, key, value, subtree).map_err(|what| looked.damaged(page, what))
        })?;
    }
    let (tables, rows) = content.finish(&state).map_err(|what| looked.damaged(info.root, what))?;
    let free = walk.free()?;
    // What is missing at the end of the file may only be free, else the file was cut off or its length misread.
    let pages = looked.meta.last_page.saturating_add(1);
    if walk.reached.beyond.len() as u64 != pages.saturating_sub(looked.pages) {
        return Err(looked.damaged(looked.pages, "the file is cut off"));
    }
    let lost = pages.saturating_sub(2 + walk.reached.count);
    Ok(Report { position: state.position, pages, free, lost, tables, rows })
}
