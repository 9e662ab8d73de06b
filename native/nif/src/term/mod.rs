//! The border of terms: BEAM terms to flat bytes and back.
//!
//! Raw `enif` calls, because this is the hottest code there is. No function recurses on the depth of a term.

mod decode;
mod encode;
mod external;
pub mod host;
mod live;

pub use decode::{decode, decode_record};
pub use encode::{EncodeError, Encoder};
pub use live::{Live, LiveTerms, Transient};

use rustler::sys::{ErlNifEnv, ErlNifTerm};

pub type Env = *mut ErlNifEnv;
pub type RawTerm = ErlNifTerm;
