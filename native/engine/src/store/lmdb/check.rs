//! Looks at the file of an environment before LMDB maps it.
//!
//! LMDB follows what stands in its pages: a bad offset or page number is an abort, a read of foreign memory, or, past the end of the file, a
//! SIGBUS. Here the file is read with `pread` and believed in nothing. [`walk`] looks at every page that can be reached: in the file,
//! reached once, of the right kind and depth, nodes inside the page and beside each other, keys in order and within what the branch above
//! says, counts as LMDB keeps them, every value as its seal says, every table with as many rows as its record says. [`quick`]
//! looks at the meta pages and the way to the state record.
//!
//! The layout is that of LMDB 0.9, version 1 of its file, on a 64-bit machine, in the byte order of the machine.

mod content;
mod page;
mod walk;

use super::super::StoreError;
use super::format::{unseal, State, FORMAT, INFO};
use page::{Layout, Page, Value, NONE};
use std::borrow::Cow;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Pages are powers of two between these.
const PAGE_SIZES: std::ops::RangeInclusive<usize> = 512..=32768;
const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
/// Flags of the free list, which are those of the environment: 8-byte numbers as keys, nothing else.
const INTEGER_KEY: u16 = 8;
const META: u16 = 8;

/// What [`walk`] found in a file that is in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The log position the state stands at.
    pub position: u64,
    /// Pages of the file, and those of them that are free for new data.
    pub pages: u64,
    pub free: u64,
    /// Pages that are neither in use nor free: lost room, no damage.
    pub lost: u64,
    pub tables: u64,
    pub rows: u64,
}

/// One of LMDB's trees, as the record over it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tree {
    pad: u32,
    flags: u16,
    depth: u16,
    branches: u64,
    leaves: u64,
    overflow: u64,
    entries: u64,
    root: u64,
}

impl Tree {
    const SIZE: usize = 48;

    fn read(bytes: &[u8]) -> Option<Tree> {
        if bytes.len() != Tree::SIZE {
            return None;
        }
        let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Tree {
            pad: u32::from_ne_bytes(bytes[..4].try_into().ok()?),
            flags: u16::from_ne_bytes(bytes[4..6].try_into().ok()?),
            depth: u16::from_ne_bytes(bytes[6..8].try_into().ok()?),
            branches: word(8)?,
            leaves: word(16)?,
            overflow: word(24)?,
            entries: word(32)?,
            root: word(40)?,
        })
    }

    fn is_empty(&self) -> bool {
        self.root == NONE
    }

    /// An empty tree has nothing, another something.
    fn fits_itself(&self) -> bool {
        match self.is_empty() {
            true => (self.depth, self.branches, self.leaves, self.overflow, self.entries) == (0, 0, 0, 0, 0),
            false => self.depth > 0 && self.leaves > 0 && self.entries > 0,
        }
    }
}

/// A meta page.
#[derive(Clone, Copy, Debug)]
struct Meta {
    free: Tree,
    main: Tree,
    last_page: u64,
    txn: u64,
}

impl Meta {
    const SIZE: usize = 16 + 24 + 2 * Tree::SIZE + 16;

    /// The meta page at `number`, and the page size it names.
    fn read(bytes: &[u8; Meta::SIZE], number: u64) -> Result<(Meta, usize), &'static str> {
        let word = |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
        let half = |at: usize| bytes[at..].first_chunk().map_or(0, |half| u32::from_ne_bytes(*half));
        let flags = u16::from_ne_bytes([bytes[10], bytes[11]]);
        if half(16) != MAGIC {
            return Err("no magic number");
        }
        if flags != META || word(0) != number || half(20) != VERSION || word(24) != 0 {
            return Err("no meta page");
        }
        let trees = (Tree::read(&bytes[40..88]), Tree::read(&bytes[88..136]));
        let (Some(free), Some(main)) = trees else { return Err("no meta page") };
        let size = free.pad as usize;
        if !size.is_power_of_two() || !PAGE_SIZES.contains(&size) || main.pad != 0 {
            return Err("an impossible page size");
        }
        if free.flags != INTEGER_KEY || main.flags != 0 || !free.fits_itself() || !main.fits_itself() {
            return Err("a meta page with an impossible tree");
        }
        Ok((Meta { free, main, last_page: word(136), txn: word(144) }, size))
    }
}

/// A file whose meta pages are in order.
struct Looked {
    path: PathBuf,
    file: File,
    /// Whole pages of the file.
    pages: u64,
    layout: Layout,
    meta: Meta,
}

impl Looked {
    fn open(path: &Path) -> Result<Looked, StoreError> {
        let io = |e: std::io::Error| StoreError::io("reading", path, &e);
        let file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if !meta.is_file() {
            return Err(StoreError::Foreign { path: path.into() });
        }
        let read = |at: u64, number: u64| -> Result<(Meta, usize), StoreError> {
            let mut bytes = [0; Meta::SIZE];
            match file.read_exact_at(&mut bytes, at) {
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    return Err(StoreError::corrupt(path, meta.len(), "the file is cut off"))
                }
                done => done.map_err(io)?,
            }
            Meta::read(&bytes, number).map_err(|what| StoreError::corrupt(path, at, what))
        };
        let (first, second) = match read(0, 0) {
            // The second stands where the first says. One of the two is enough to say that the file is LMDB's.
            Ok((first, size)) => ((first, size), read(size as u64, 1)?),
            Err(error) if PAGE_SIZES.clone().any(|size| size.is_power_of_two() && read(size as u64, 1).is_ok()) => {
                return Err(error)
            }
            Err(StoreError::Corrupt { at: 0, .. }) if meta.len() > 0 => return Err(StoreError::Foreign { path: path.into() }),
            Err(error) => return Err(error),
        };
        let ((a, size), (b, other)) = (first, second);
        if size != other {
            return Err(StoreError::corrupt(path, size as u64, "two page sizes"));
        }
        // Transaction n writes page n % 2, so they are of two transactions that follow each other.
        let follow = a.txn.abs_diff(b.txn) == 1 && a.txn % 2 == 0;
        if !follow {
            return Err(StoreError::corrupt(path, 0, "meta pages of transactions that do not follow each other"));
        }
        let meta_page = if a.txn > b.txn { a } else { b };
        let pages = meta.len() / size as u64;
        Ok(Looked { path: path.into(), file, pages, layout: Layout::new(size), meta: meta_page })
    }

    fn damaged(&self, page: u64, what: impl Into<Cow<'static, str>>) -> StoreError {
        StoreError::corrupt(&self.path, page.saturating_mul(self.layout.size as u64), what)
    }

    fn read(&self, page: u64, to: &mut [u8]) -> Result<(), StoreError> {
        if page <= 1 || page > self.meta.last_page || page >= self.pages {
            return Err(self.damaged(page, "a page outside of the file"));
        }
        let done = self.file.read_exact_at(to, page * self.layout.size as u64);
        done.map_err(|e| StoreError::io("reading", &self.path, &e))
    }

    /// A page of a tree.
    fn page(&self, number: u64) -> Result<Page, StoreError> {
        let mut bytes = vec![0; self.layout.size];
        self.read(number, &mut bytes)?;
        Page::read(&self.layout, bytes, number).map_err(|what| self.damaged(number, what))
    }

    /// The first overflow page of a value and how many there are.
    fn overflow(&self, first: u64, len: usize) -> Result<u64, StoreError> {
        let mut head = [0; page::HEAD];
        self.read(first, &mut head)?;
        let pages = page::overflow(&self.layout, &head, first, len).map_err(|what| self.damaged(first, what))?;
        let last = first.checked_add(pages - 1).filter(|last| *last <= self.meta.last_page && *last < self.pages);
        last.map(|_| pages).ok_or_else(|| self.damaged(first, "a value that ends outside of the file"))
    }

    /// The bytes of a value.
    fn value<'p>(&self, value: &Value<'p>) -> Result<Cow<'p, [u8]>, StoreError> {
        match *value {
            Value::Here(bytes) => Ok(Cow::Borrowed(bytes)),
            Value::Overflow { page, len } => {
                self.overflow(page, len)?;
                let mut bytes = vec![0; len];
                let at = page * self.layout.size as u64 + page::HEAD as u64;
                self.file.read_exact_at(&mut bytes, at).map_err(|e| StoreError::io("reading", &self.path, &e))?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// The state record: the first of the info tree.
    fn state(&self) -> Result<State, StoreError> {
        let foreign = || StoreError::Foreign { path: self.path.clone() };
        let info = self.lookup(&self.meta.main, Some(INFO.as_bytes()))?.ok_or_else(foreign)?;
        let info = Tree::read(&info).ok_or_else(foreign)?;
        let sealed = self.lookup(&info, None)?.ok_or_else(foreign)?;
        let state = unseal(State::KEY, &sealed).ok_or_else(|| self.damaged(info.root, "the state record"))?;
        let state = State::read(state).ok_or_else(foreign)?;
        if state.format > FORMAT {
            return Err(StoreError::NewerFormat { path: self.path.clone(), found: state.format, known: FORMAT });
        }
        if state.txn != self.meta.txn {
            return Err(self.damaged(self.meta.txn % 2, "a meta page and the state record are of different transactions"));
        }
        Ok(state)
    }

    /// The value of a key of a tree, or of its first key.
    fn lookup(&self, tree: &Tree, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, StoreError> {
        if tree.is_empty() {
            return Ok(None);
        }
        let mut number = tree.root;
        // Not deeper than the tree says: damaged pages may name each other in a circle.
        for _ in 1..tree.depth {
            let page = self.page(number)?;
            let children = page.children().map_err(|what| self.damaged(number, what))?;
            let after = children[1..].partition_point(|(low, _)| key.is_some_and(|key| *low <= key));
            number = children[after].1;
        }
        let page = self.page(number)?;
        let leaves = page.leaves().map_err(|what| self.damaged(number, what))?;
        let found = leaves.iter().find(|leaf| key.is_none_or(|key| leaf.key == key));
        found.map(|leaf| Ok(self.value(&leaf.value)?.into_owned())).transpose()
    }
}

/// Looks at the meta pages, the length of the file and the way to the state record; at every page if the file is shorter than its last
/// page, which is right if only free pages are missing.
///
/// Errors: [`StoreError::Foreign`], [`StoreError::NewerFormat`], [`StoreError::Corrupt`], [`StoreError::Io`].
pub fn quick(path: &Path) -> Result<(), StoreError> {
    let looked = Looked::open(path)?;
    looked.state()?;
    if looked.meta.last_page < looked.pages {
        return Ok(());
    }
    walk::all(&looked).map(drop)
}

/// Looks at every page and value of a file that no process has open for writing.
///
/// ```
/// use remnesia_engine::store::{lmdb::check, StoreError};
/// let nothing = check::walk(std::path::Path::new("no-such-file"));
/// assert!(matches!(nothing, Err(StoreError::Io { .. })));
/// ```
///
/// Errors as of [`quick`].
pub fn walk(path: &Path) -> Result<Report, StoreError> {
    walk::all(&Looked::open(path)?)
}
