//! One allocation for the binaries of a record.
//!
//! A binary of more than 64 bytes is allocated, counted and swept by itself in the VM, which costs more than all else of a record that has ten of
//! them. So the first such binary takes what follows it in the record along, and it and those that follow are parts of that one. Who keeps one of
//! them keeps the others: a record's rest of a few kilobytes, no more.

use super::live::new_binary;
use super::{Env, RawTerm};
use rustler::sys::enif_make_sub_binary;

/// Binaries up to here are on the heap of the process.
const ON_HEAP: usize = 64;
/// The longest rest of a record that is shared.
const LONGEST: usize = 4096;

/// The bytes that are being decoded, and the binary that has the rest of them.
pub struct Shared<'a> {
    bytes: &'a [u8],
    /// The binary, and where in `bytes` it begins.
    whole: Option<(RawTerm, usize)>,
}

impl<'a> Shared<'a> {
    #[inline(always)]
    pub fn new(bytes: &'a [u8]) -> Shared<'a> {
        Shared { bytes, whole: None }
    }

    /// A binary of this content, which is a part of the bytes.
    #[inline]
    pub fn binary(&mut self, env: Env, content: &[u8]) -> RawTerm {
        if content.len() <= ON_HEAP {
            new_binary(env, content)
        } else {
            self.large(env, content)
        }
    }

    fn large(&mut self, env: Env, content: &[u8]) -> RawTerm {
        let at = (content.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        let Some(rest) = self.bytes.get(at..).filter(|rest| content.len() <= rest.len()) else { return new_binary(env, content) };
        let (whole, from) = match self.whole {
            Some(whole) => whole,
            None if rest.len() <= LONGEST && rest.len() > content.len() + ON_HEAP => {
                *self.whole.insert((new_binary(env, rest), at))
            }
            None => return new_binary(env, content),
        };
        // Terms are read from front to back.
        let Some(offset) = at.checked_sub(from) else { return new_binary(env, content) };
        // SAFETY: `whole` is a binary of `env` with the bytes from `from` to their end, and the content is a part of these.
        unsafe { enif_make_sub_binary(env, whole, offset, content.len()) }
    }
}
