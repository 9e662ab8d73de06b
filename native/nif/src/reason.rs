//! Why the disc refuses something, as terms.

use crate::border::Call;
use crate::term::RawTerm;
use remnesia_engine::store::StoreError;
use remnesia_engine::table::below::Failure;
use remnesia_engine::txn::journal;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What is wrong, as a term.
pub fn reason(call: &Call, error: &StoreError) -> RawTerm {
    let text = |text: &str| call.binary(text.as_bytes());
    let path = |path: &Path| call.binary(path.as_os_str().as_bytes());
    let int = |i: u64| call.int(i as i64);
    match error {
        StoreError::Io { doing, path: file, code, .. } => {
            let name = code.and_then(errno).map_or_else(|| int(code.unwrap_or(0) as u64), |name| call.atom(name));
            call.tuple(&[call.atom("file_error"), path(file), text(doing), name])
        }
        StoreError::Locked { path: file } => call.tuple(&[call.atom("locked"), path(file)]),
        StoreError::Missing { path: file } => call.tuple(&[call.atom("missing"), path(file)]),
        StoreError::Foreign { path: file } => call.tuple(&[call.atom("not_remnesia"), path(file)]),
        StoreError::NewerFormat { path: file, found, known } => {
            call.tuple(&[call.atom("newer_format"), path(file), int(u64::from(*found)), int(u64::from(*known))])
        }
        StoreError::Corrupt { path: file, at, what } => call.tuple(&[call.atom("corrupt"), path(file), int(*at), text(what)]),
        StoreError::BadTerm { at, what } => call.tuple(&[call.atom("bad_term"), int(*at as u64), text(what)]),
        StoreError::TooManyAtoms { limit } => call.tuple(&[call.atom("too_many_atoms"), int(*limit as u64)]),
        StoreError::NotPortable => call.atom("not_portable"),
        StoreError::TooLarge { bytes, most } => call.tuple(&[call.atom("too_large"), int(*bytes), int(*most)]),
        StoreError::ReadOnly(cause) => reason(call, cause),
        StoreError::Closed => call.atom("closed"),
        StoreError::Base { code, what } => call.tuple(&[call.atom("store"), call.int(i64::from(*code)), text(what)]),
        other => text(&other.to_string()),
    }
}

/// POSIX names of what discs say most.
fn errno(code: i32) -> Option<&'static str> {
    let names = [
        (1, "eperm"),
        (2, "enoent"),
        (5, "eio"),
        (12, "enomem"),
        (13, "eacces"),
        (17, "eexist"),
        (20, "enotdir"),
        (21, "eisdir"),
        (22, "einval"),
        (23, "enfile"),
        (24, "emfile"),
        (27, "efbig"),
        (28, "enospc"),
        (30, "erofs"),
        (122, "edquot"),
    ];
    names.iter().find(|(number, _)| *number == code).map(|(_, name)| *name)
}

/// What could not be read.
#[cold]
pub fn unreadable(call: &Call, failure: Failure) -> RawTerm {
    call.tuple(&[call.atom("unreadable"), reason(call, &journal::cause(failure))])
}

/// Why an operation was refused by the disc.
pub fn refusal(call: &Call) -> RawTerm {
    match journal::refusal() {
        Some(error @ (StoreError::NotPortable | StoreError::TooLarge { .. } | StoreError::BadTerm { .. })) => {
            reason(call, &error)
        }
        Some(error) => call.tuple(&[call.atom("not_durable"), reason(call, &error)]),
        None => call.tuple(&[call.atom("not_durable"), call.atom("closed")]),
    }
}
