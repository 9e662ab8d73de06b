//! A row of a table: a thin, reference-counted byte string.
//!
//! Layout of the allocation: `refs: u32, len: u32`, then `len` bytes, then, only for a record with attachments, one pointer.
//! The bytes: one byte of flags, u16 number of fields, start of every field but the first (u8, u16 or u32 each, by size), fields.
//! The record name is the table's and is not stored; field 0 is the key.
//!
//! One pointer and eight bytes of head per row is what the memory target needs: `Arc<[u8]>` costs 16 more.

use std::alloc::{alloc, dealloc, handle_alloc_error, Layout};
use std::any::Any;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

const WIDTH: u8 = 0b0011;
const NEGATIVE_ZERO: u8 = 0b0100;
const ATTACHED: u8 = 0b1000;

/// Terms that must stay alive beside the bytes: references, closures, the content of large binaries.
pub trait Attached: Any + Send + Sync {
    /// The content of the large binary that `identity` (its flat bytes) stands for.
    fn content(&self, identity: &[u8]) -> Option<&[u8]>;
    /// Bytes that are held for this record alone.
    fn bytes(&self) -> usize;
    fn as_any(&self) -> &dyn Any;
}

#[repr(C)]
struct Head {
    refs: AtomicU32,
    len: u32,
}

const HEAD: usize = std::mem::size_of::<Head>();

/// A shared, immutable row.
#[repr(transparent)]
pub struct Record(NonNull<Head>);

// SAFETY: the bytes are never written after `build`, the count is atomic, and attachments are `Send + Sync` by their trait.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    /// Makes a row of fields that stand one after the other in `body`, `starts[i]` being where field `i` begins.
    pub fn build(starts: &[u32], body: &[u8], negative_zero: bool, attached: Option<Arc<dyn Attached>>) -> Record {
        assert!(!starts.is_empty() && starts.len() <= usize::from(u16::MAX), "a record has 1 to 65535 fields");
        let table = starts.len() - 1;
        // The width is decided by the largest offset from the first field, so equal records have equal bytes.
        let last = *starts.last().unwrap_or(&0);
        let (code, width) = match last {
            0..=0xff => (0, 1),
            0x100..=0xffff => (1, 2),
            _ => (2, 4),
        };
        let len = 3 + table * width + body.len();
        let bytes_len = u32::try_from(len).unwrap_or_else(|_| panic!("a record of more than 4 GiB"));
        let total = HEAD + len + if attached.is_some() { 8 } else { 0 };
        let layout = layout(total);
        // SAFETY: the layout has a size of at least HEAD.
        let raw = unsafe { alloc(layout) };
        let Some(head) = NonNull::new(raw.cast::<Head>()) else { handle_alloc_error(layout) };
        let flags = code | if negative_zero { NEGATIVE_ZERO } else { 0 } | if attached.is_some() { ATTACHED } else { 0 };
        // SAFETY: `raw` has room for HEAD + len bytes and is ours alone; flags, number, starts and body are these bytes.
        unsafe {
            head.as_ptr().write(Head { refs: AtomicU32::new(1), len: bytes_len });
            let at = raw.add(HEAD);
            at.write(flags);
            at.add(1).cast::<[u8; 2]>().write((starts.len() as u16).to_le_bytes());
            for (i, start) in starts[1..].iter().enumerate() {
                let start = start.to_le_bytes();
                std::ptr::copy_nonoverlapping(start.as_ptr(), at.add(3 + i * width), width);
            }
            std::ptr::copy_nonoverlapping(body.as_ptr(), at.add(3 + table * width), body.len());
        }
        if let Some(attached) = attached {
            let pointer = Box::into_raw(Box::new(attached));
            // SAFETY: the eight bytes after the record belong to this allocation; they need not be aligned.
            unsafe { raw.add(HEAD + len).cast::<*mut Arc<dyn Attached>>().write_unaligned(pointer) };
        }
        Record(head)
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: the allocation lives as long as any `Record` that points to it.
        unsafe { self.0.as_ref() }
    }

    /// Flags, offsets and fields: what identifies the row.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `build` initialised `len` bytes after the head, and nobody writes them again.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>().add(HEAD), self.head().len as usize) }
    }

    /// Number of fields (the record name is not one).
    #[inline]
    pub fn fields(&self) -> usize {
        let b = self.bytes();
        usize::from(u16::from_le_bytes([b[1], b[2]]))
    }

    /// All fields, one after the other.
    #[inline]
    pub fn body(&self) -> &[u8] {
        let b = self.bytes();
        let width = 1usize << (b[0] & WIDTH);
        &b[3 + (self.fields() - 1) * width..]
    }

    /// Field `i`; 0 is the key. It ends where the next one begins.
    #[inline(always)]
    pub fn field(&self, i: usize) -> &[u8] {
        let b = self.bytes();
        let fields = self.fields();
        assert!(i < fields, "a field beyond the end of the record");
        if b[0] & WIDTH != 0 {
            return self.wide_field(i);
        }
        let table = 2 + fields;
        let from = table + if i == 0 { 0 } else { usize::from(b[2 + i]) };
        let to = if i + 1 < fields { table + usize::from(b[3 + i]) } else { b.len() };
        &b[from..to]
    }

    /// A field of a record with offsets of more than one byte.
    #[inline(never)]
    fn wide_field(&self, i: usize) -> &[u8] {
        let b = self.bytes();
        let width = 1usize << (b[0] & WIDTH);
        let table = 3 + (self.fields() - 1) * width;
        // Start of field `n` from 1 on.
        let start = |n: usize| {
            let at = 3 + (n - 1) * width;
            table
                + match width {
                    2 => usize::from(u16::from_le_bytes([b[at], b[at + 1]])),
                    _ => u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]) as usize,
                }
        };
        let from = if i == 0 { table } else { start(i) };
        let to = if i + 1 < self.fields() { start(i + 1) } else { b.len() };
        &b[from..to]
    }

    #[inline]
    pub fn key(&self) -> &[u8] {
        self.field(0)
    }

    /// A `-0.0` is in it, see [`super::same`].
    #[inline]
    pub fn negative_zero(&self) -> bool {
        self.bytes()[0] & NEGATIVE_ZERO != 0
    }

    /// The terms that live beside the bytes.
    #[inline]
    pub fn attached(&self) -> Option<&Arc<dyn Attached>> {
        if self.bytes()[0] & ATTACHED == 0 {
            return None;
        }
        // SAFETY: the flag says that `build` wrote a pointer after the bytes; it is freed by the last owner only.
        unsafe { Some(&*self.attached_pointer()) }
    }

    fn attached_pointer(&self) -> *mut Arc<dyn Attached> {
        // SAFETY: called only when the flag is set, see `attached`.
        unsafe {
            let at = self.0.as_ptr().cast::<u8>().add(HEAD + self.head().len as usize);
            at.cast::<*mut Arc<dyn Attached>>().read_unaligned()
        }
    }

    /// Same row in the sense of `=:=`.
    pub fn same(&self, other: &Record) -> bool {
        if self.0 == other.0 {
            return true;
        }
        let (a, b) = (self.bytes(), other.bytes());
        if a[0] & NEGATIVE_ZERO == 0 && b[0] & NEGATIVE_ZERO == 0 {
            return a == b;
        }
        self.fields() == other.fields() && super::same(self.body(), other.body(), true)
    }

    /// Are the two one and the same in memory?
    #[inline]
    pub fn is(&self, other: &Record) -> bool {
        self.0 == other.0
    }

    /// Bytes of memory that this row takes.
    pub fn memory(&self) -> usize {
        let own = (HEAD + self.head().len as usize + 7) & !7;
        own + self.attached().map_or(0, |a| 8 + 16 + a.bytes())
    }
}

fn layout(total: usize) -> Layout {
    Layout::from_size_align(total, 8).unwrap_or_else(|_| panic!("a record of {total} bytes"))
}

impl Clone for Record {
    #[inline]
    fn clone(&self) -> Self {
        let old = self.head().refs.fetch_add(1, Ordering::Relaxed);
        assert!(old < u32::MAX / 2, "too many references to one record");
        Record(self.0)
    }
}

impl Drop for Record {
    #[inline]
    fn drop(&mut self) {
        if self.head().refs.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // A load, and no fence: those who look for races know nothing of fences.
        self.head().refs.load(Ordering::Acquire);
        let len = HEAD + self.head().len as usize;
        let attached = self.bytes()[0] & ATTACHED != 0;
        // SAFETY: this was the last owner, so nobody else sees the allocation; the sizes are those of `build`.
        unsafe {
            if attached {
                drop(Box::from_raw(self.attached_pointer()));
            }
            dealloc(self.0.as_ptr().cast(), layout(len + if attached { 8 } else { 0 }));
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields: Vec<_> = (0..self.fields()).map(|i| super::read(self.field(i)).0).collect();
        f.debug_tuple("Record").field(&fields).finish()
    }
}
