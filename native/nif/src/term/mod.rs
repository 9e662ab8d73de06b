//! The border of terms: BEAM terms to flat bytes and back.
//!
//! Raw `enif` calls, because this is the hottest code there is. No function recurses on the depth of a term.
//!
//! * Encoding, with memory that is used again from call to call: [`Encoder::begin`]`(limit)`, then either
//!   `fields(env, tuple, arity, name, key)` and `record()`, or `term(env, term)` any number of times, after which `bytes()`
//!   are the flat bytes, `attached()` the living terms for a record and `transient(env)` the same for the time of the call.
//!   `limit` is work in bytes; past it the answer is [`EncodeError::TooLong`], and the caller goes to a dirty scheduler.
//! * Decoding: [`decode_record`]`(env, record, name, terms)` and [`decode`]`(env, bytes, beside)`. They cannot fail and have no limit,
//!   since the size is known beforehand: callers compare it with their budget.
//! * [`host::install`] answers the engine's questions about the VM.

mod decode;
mod encode;
mod external;
pub mod host;
mod live;
mod revive;
mod shared;

pub use decode::{decode, decode_record};
pub use encode::{EncodeError, Encoder};
pub use live::{binary, Transient};

use rustler::sys::{ErlNifEnv, ErlNifTerm};

pub type Env = *mut ErlNifEnv;
pub type RawTerm = ErlNifTerm;

/// The VM's word of a term.
#[inline]
pub fn word(term: RawTerm) -> u64 {
    // SAFETY: `ErlNifTerm` is a transparent machine word.
    unsafe { std::mem::transmute::<RawTerm, usize>(term) as u64 }
}

/// The term of a word that [`word`] gave: an immediate term, such as an atom.
#[inline]
pub fn from_word(word: u64) -> RawTerm {
    // SAFETY: as above.
    unsafe { std::mem::transmute::<usize, RawTerm>(word as usize) }
}

/// No term; filled in by a call.
#[inline]
pub fn no_term() -> RawTerm {
    RawTerm::default()
}
