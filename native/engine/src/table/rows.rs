//! The rows of one key in one word: a set has one, a bag has many, in the order they were written.

use crate::term::Record;
use std::ptr::NonNull;

/// Never empty. The low bit says which of the two it is; both are pointers of at least eight-byte alignment. A pointer, not a number: a number that is
/// read as a `Record` would be one that the compiler may take to point nowhere.
#[repr(transparent)]
pub struct Rows(NonNull<u8>);

const MANY: usize = 1;

/// Bytes of a row that nearly every look at it reads.
const FIRST_BYTES: usize = 32;

// SAFETY: owns either a `Record` or a `Box<Vec<Record>>`, both `Send + Sync`.
unsafe impl Send for Rows {}
// SAFETY: as above.
unsafe impl Sync for Rows {}

impl Rows {
    #[inline]
    pub fn one(record: Record) -> Rows {
        // SAFETY: `Record` is a transparent `NonNull`, whose address is a multiple of eight.
        Rows(unsafe { std::mem::transmute::<Record, NonNull<u8>>(record) })
    }

    /// None for no records.
    pub fn new(mut records: Vec<Record>) -> Option<Rows> {
        match records.len() {
            0 => None,
            1 => records.pop().map(Rows::one),
            _ => Rows::boxed(records),
        }
    }

    fn boxed(records: Vec<Record>) -> Option<Rows> {
        let pointer = Box::into_raw(Box::new(records)).cast::<u8>();
        NonNull::new(pointer.wrapping_add(MANY)).map(Rows)
    }

    #[inline]
    fn many(&self) -> Option<*mut Vec<Record>> {
        let pointer = self.0.as_ptr();
        (pointer.addr() & MANY != 0).then(|| pointer.wrapping_sub(MANY).cast())
    }

    #[inline]
    pub fn as_slice(&self) -> &[Record] {
        match self.many() {
            // SAFETY: the word is the pointer that `new` made from a box; it lives as long as `self`.
            Some(vec) => unsafe { (*vec).as_slice() },
            // SAFETY: without the mark the word is bit for bit a `Record` that `self` owns.
            None => std::slice::from_ref(unsafe { &*(std::ptr::from_ref(self).cast::<Record>()) }),
        }
    }

    /// Asks for the memory of the rows, which will be read soon.
    #[inline]
    pub fn prefetch(&self) {
        let at = self.0.as_ptr().map_addr(|address| address & !MANY).cast_const();
        // Head, offsets and first fields, which may lie in two lines. More of a long row would often be fetched for nothing.
        prefetch(at);
        prefetch(at.wrapping_add(FIRST_BYTES));
    }

    #[inline]
    pub fn first(&self) -> &Record {
        &self.as_slice()[0]
    }

    /// Gives the records up; a single one costs an allocation, so only bags do this.
    pub fn into_vec(self) -> Vec<Record> {
        let this = std::mem::ManuallyDrop::new(self);
        match this.many() {
            // SAFETY: the box was made by `new` and `this` is not dropped.
            Some(vec) => unsafe { *Box::from_raw(vec) },
            // SAFETY: the word is a `Record`, moved out; `this` is not dropped.
            None => vec![unsafe { std::ptr::read(std::ptr::from_ref(&*this).cast::<Record>()) }],
        }
    }

    /// Bytes held, the word itself not counted.
    pub fn memory(&self) -> usize {
        let records: usize = self.as_slice().iter().map(Record::memory).sum();
        // SAFETY: as in `as_slice`.
        records + self.many().map_or(0, |vec| 24 + 8 * unsafe { (*vec).capacity() })
    }
}

/// Asks for a line of memory.
#[inline]
pub fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; it reads nothing and cannot fault.
    unsafe {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

impl Drop for Rows {
    #[inline]
    fn drop(&mut self) {
        match self.many() {
            // SAFETY: the box was made by `new`; this is the owner.
            Some(vec) => drop(unsafe { Box::from_raw(vec) }),
            // SAFETY: the word is a `Record` that we own.
            None => drop(unsafe { std::ptr::read(std::ptr::from_ref(self).cast::<Record>()) }),
        }
    }
}

impl Clone for Rows {
    fn clone(&self) -> Self {
        match self.as_slice() {
            [one] if self.many().is_none() => Rows::one(one.clone()),
            many => Rows::boxed(many.to_vec()).unwrap_or_else(|| Rows::one(self.first().clone())),
        }
    }
}
