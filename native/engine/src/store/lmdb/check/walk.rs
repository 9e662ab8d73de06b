//! The walk over all pages: each tree once, then the list of free pages. Of the tables' trees one thread walks the branches, others look at the
//! leaves, which are nearly all there is.

use super::content::{Content, Part};
use super::page::Value;
use super::{Looked, Report, Tree};
use crate::store::fan::fan;
use crate::store::lmdb::format::{tree_name, INFO, SHARED};
use crate::store::StoreError;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// Leaves that a thread looks at together, and the most threads.
const STRETCH: usize = 64;
const THREADS: usize = 4;

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
    low: Option<Arc<[u8]>>,
    high: Option<Arc<[u8]>>,
}

impl Open {
    fn excludes(&self, order: Order, key: &[u8]) -> bool {
        self.low.as_deref().is_some_and(|low| order.less(key, low))
            || self.high.as_deref().is_some_and(|high| !order.less(key, high))
    }
}

/// A key of a leaf; `subtree` says that the value is the record of a tree.
struct Node<'n> {
    page: u64,
    key: &'n [u8],
    value: &'n [u8],
    subtree: bool,
}

/// Gets each key of a leaf with its value.
type Each<'e> = &'e mut dyn FnMut(Node<'_>) -> Result<(), StoreError>;

/// What was counted of a tree.
#[derive(Default)]
struct Counted {
    branches: u64,
    leaves: AtomicU64,
    overflow: AtomicU64,
    entries: AtomicU64,
}

struct Walk<'l> {
    looked: &'l Looked,
    reached: Mutex<Reached>,
}

impl Walk<'_> {
    fn reach(&self, page: u64, from: u64) -> Result<(), StoreError> {
        let new = self.reached.lock().reach(page);
        new.then_some(()).ok_or_else(|| self.looked.damaged(from, format!("page {page} is used twice")))
    }

    /// Walks the branches of a tree and gives its leaves to `leaf`, in order. Answers the number of branches.
    fn branches(
        &self,
        tree: &Tree,
        order: Order,
        leaf: &mut dyn FnMut(Open) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let mut branches = 0;
        let mut open = Vec::new();
        if !tree.is_empty() {
            open.push(Open { page: tree.root, depth: 1, low: None, high: None });
        }
        while let Some(next) = open.pop() {
            if next.depth == tree.depth {
                leaf(next)?;
                continue;
            }
            let damaged = |what: &'static str| self.looked.damaged(next.page, what);
            let page = self.looked.page(next.page)?;
            self.reach(next.page, next.page)?;
            branches += 1;
            let children = page.children().map_err(damaged)?;
            // LMDB asserts that a branch has two; that of the free list may have one.
            if children.len() < 2 && order == Order::Bytes {
                return Err(damaged("a branch with one child"));
            }
            let keys: Vec<Arc<[u8]>> = children[1..].iter().map(|(key, _)| Arc::from(*key)).collect();
            if keys.windows(2).any(|two| !order.less(&two[0], &two[1])) || keys.iter().any(|key| next.excludes(order, key)) {
                return Err(damaged("keys of a branch that are not in order"));
            }
            if order == Order::Numbers && keys.iter().any(|key| number(key).is_none()) {
                return Err(damaged("a key of the free list that is no number"));
            }
            // The last is looked at last.
            for (i, (_, child)) in children.iter().enumerate().rev() {
                let low = i.checked_sub(1).map_or_else(|| next.low.clone(), |i| keys.get(i).cloned());
                let high = keys.get(i).cloned().or_else(|| next.high.clone());
                open.push(Open { page: *child, depth: next.depth + 1, low, high });
            }
        }
        Ok(branches)
    }

    /// Looks at a leaf.
    fn leaf(&self, open: &Open, order: Order, counted: &Counted, each: Each<'_>) -> Result<(), StoreError> {
        let (looked, at) = (self.looked, open.page);
        let damaged = |what: &'static str| looked.damaged(at, what);
        let page = looked.page(at)?;
        self.reach(at, at)?;
        let nodes = page.leaves().map_err(damaged)?;
        counted.leaves.fetch_add(1, Ordering::Relaxed);
        counted.entries.fetch_add(nodes.len() as u64, Ordering::Relaxed);
        let mut last: Option<&[u8]> = None;
        for node in &nodes {
            let unordered = last.is_some_and(|last| !order.less(last, node.key));
            if node.key.is_empty() || unordered || open.excludes(order, node.key) {
                return Err(damaged("keys that are not in order"));
            }
            last = Some(node.key);
            if let Value::Overflow { page, len } = node.value {
                let pages = looked.overflow(page, len)?;
                counted.overflow.fetch_add(pages, Ordering::Relaxed);
                (page..page + pages).try_for_each(|page| self.reach(page, at))?;
            }
            each(Node { page: at, key: node.key, value: &looked.value(&node.value)?, subtree: node.subtree })?;
        }
        Ok(())
    }

    fn as_said(&self, tree: &Tree, counted: Counted) -> Result<(), StoreError> {
        let (leaves, overflow) = (counted.leaves.into_inner(), counted.overflow.into_inner());
        let counted = (counted.branches, leaves, overflow, counted.entries.into_inner());
        if counted != (tree.branches, tree.leaves, tree.overflow, tree.entries) {
            return Err(self.looked.damaged(tree.root, "a tree with other counts than its record says"));
        }
        Ok(())
    }

    /// Gives every key and value of a tree, in order, to `each`.
    fn tree(&self, tree: &Tree, order: Order, each: Each<'_>) -> Result<(), StoreError> {
        let mut counted = Counted::default();
        counted.branches = self.branches(tree, order, &mut |open| self.leaf(&open, order, &counted, each))?;
        self.as_said(tree, counted)
    }

    /// Looks at a table's tree with several threads. Answers what is in its stretches of leaves, in order.
    fn rows(&self, number: u8, tree: &Tree) -> Result<Vec<Part>, StoreError> {
        let (mut counted, parts) = (Counted::default(), Mutex::new(Vec::new()));
        let (failed, stop) = (Mutex::new(None), AtomicBool::new(false));
        let part = |stretch: &[Open]| {
            let mut part = Part::default();
            let each: Each<'_> = &mut |Node { page, key, value, subtree }| {
                part.row(number, key, value, subtree).map_err(|what| self.looked.damaged(page, what))
            };
            stretch.iter().try_for_each(|open| self.leaf(open, Order::Bytes, &counted, each))?;
            Ok(part)
        };
        let work = |(at, stretch): (usize, Vec<Open>)| {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            match part(&stretch) {
                Ok(part) => parts.lock().push((at, part)),
                Err(error) => {
                    failed.lock().get_or_insert(error);
                    stop.store(true, Ordering::Relaxed);
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS));
        let walked = fan(threads, &work, |deal| {
            let (mut at, mut stretch) = (0, Vec::with_capacity(STRETCH));
            let branches = self.branches(tree, Order::Bytes, &mut |open| {
                stretch.push(open);
                if stretch.len() == STRETCH {
                    deal((at, std::mem::replace(&mut stretch, Vec::with_capacity(STRETCH))));
                    at += 1;
                }
                Ok(())
            })?;
            deal((at, stretch));
            Ok(branches)
        });
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        counted.branches = walked?;
        self.as_said(tree, counted)?;
        let mut parts = parts.into_inner();
        parts.sort_unstable_by_key(|(at, _)| *at);
        Ok(parts.into_iter().map(|(_, part)| part).collect())
    }

    /// The free list: for each transaction the pages that it freed, greatest first, after their number.
    fn free(&self) -> Result<u64, StoreError> {
        let looked = self.looked;
        let mut pages = 0;
        self.tree(&looked.meta.free, Order::Numbers, &mut |Node { page: at, key, value, subtree }| {
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
                self.reach(page, at)?;
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
    let walk = Walk { looked, reached: Mutex::new(reached) };
    let mut trees = BTreeMap::new();
    walk.tree(&looked.meta.main, Order::Bytes, &mut |Node { page, key, value, subtree }| {
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
    walk.tree(&info, Order::Bytes, &mut |Node { page, key, value, subtree }| {
        content.info(key, value, subtree).map_err(|what| looked.damaged(page, what))
    })?;
    for (number, tree) in tables.iter().enumerate() {
        let parts = walk.rows(number as u8, tree)?;
        content.rows(number as u8, &parts).map_err(|what| looked.damaged(tree.root, what))?;
    }
    let (tables, rows) = content.finish(&state).map_err(|what| looked.damaged(info.root, what))?;
    let free = walk.free()?;
    // What is missing at the end of the file may only be free, else the file was cut off or its length misread.
    let pages = looked.meta.last_page.saturating_add(1);
    let reached = walk.reached.into_inner();
    if reached.beyond.len() as u64 != pages.saturating_sub(looked.pages) {
        return Err(looked.damaged(looked.pages, "the file is cut off"));
    }
    let lost = pages.saturating_sub(2 + reached.count);
    Ok(Report { position: state.position, pages, free, lost, tables, rows })
}
