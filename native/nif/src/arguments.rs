//! Arguments of functions that are not called often, as what they stand for. What is something else is a bad argument.

use crate::border::{Call, Fail};
use crate::term::{binary, RawTerm};
use rustler::sys::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A number of things, or the place of one.
pub fn size(call: &Call, term: RawTerm) -> Result<usize, Fail> {
    usize::try_from(call.get_int(term).ok_or(Fail::BadArg)?).map_err(|_| Fail::BadArg)
}

pub fn number(call: &Call, term: RawTerm) -> Result<u64, Fail> {
    let mut value = 0;
    // SAFETY: sets the integer when the term is one.
    if unsafe { enif_get_uint64(call.env, term, &mut value) } == 0 {
        return Err(Fail::BadArg);
    }
    Ok(value)
}

/// The elements of a list, up to what is no list.
pub fn list(call: &Call, mut list: RawTerm) -> Vec<RawTerm> {
    let mut all = Vec::new();
    while let Some((head, tail)) = call.cell(list) {
        all.push(head);
        list = tail;
    }
    all
}

/// The elements of a tuple.
pub fn elements(call: &Call, term: RawTerm) -> Result<&[RawTerm], Fail> {
    let (mut count, mut first) = (0, std::ptr::null());
    // SAFETY: a true answer fills in both; the elements live as long as the tuple.
    unsafe {
        if enif_get_tuple(call.env, term, &mut count, &mut first) == 0 {
            return Err(Fail::BadArg);
        }
        Ok(if count == 0 { &[] } else { std::slice::from_raw_parts(first, count as usize) })
    }
}

pub fn bytes(call: &Call, term: RawTerm) -> Result<&[u8], Fail> {
    binary(call.env, term).ok_or(Fail::BadArg)
}

pub fn path(call: &Call, term: RawTerm) -> Result<PathBuf, Fail> {
    Ok(PathBuf::from(OsStr::from_bytes(bytes(call, term)?)))
}
