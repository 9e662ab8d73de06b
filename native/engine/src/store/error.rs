//! What can go wrong with a disc, as data: enough for a reason term.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store refuses or failed. Nothing was changed by the call that answers one, unless it says so.
///
/// ```
/// use remnesia_engine::store::StoreError;
/// let error = StoreError::Locked { path: "/data/remnesia".into() };
/// assert_eq!(error.to_string(), "/data/remnesia is used by another process");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system said no: `code` is its `errno`.
    Io { doing: &'static str, path: PathBuf, kind: io::ErrorKind, code: Option<i32> },
    /// Another process has the directory open.
    Locked { path: PathBuf },
    /// A file that must be there is not.
    Missing { path: PathBuf },
    /// A file that is not ours: no magic number.
    Foreign { path: PathBuf },
    /// A format that a later version wrote.
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    /// Damage: what is at `at` (a byte of the file) cannot be what was written there.
    Corrupt { path: PathBuf, at: u64, what: Cow<'static, str> },
    /// Bytes that are no term or record, from wherever they came.
    BadTerm { at: usize, what: &'static str },
    /// More atoms than the configuration allows to be made.
    TooManyAtoms { limit: usize },
    /// A term that only a running VM can write or read, and that it did not: a closure or living reference.
    NotPortable,
    /// A transaction or record that is too large for the disc form.
    TooLarge { bytes: u64, most: u64 },
    /// The log failed earlier and takes no commits; the cause.
    ReadOnly(Box<StoreError>),
    /// The store is closed.
    Closed,
    /// What the base store says about itself.
    Base { code: i32, what: Cow<'static, str> },
}

impl StoreError {
    /// An error of the operating system while `doing` something with `path`.
    pub fn io(doing: &'static str, path: &Path, error: &io::Error) -> StoreError {
        StoreError::Io { doing, path: path.into(), kind: error.kind(), code: error.raw_os_error() }
    }

    /// Damage at byte `at` of a file.
    pub fn corrupt(path: &Path, at: u64, what: impl Into<Cow<'static, str>>) -> StoreError {
        StoreError::Corrupt { path: path.into(), at, what: what.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Io { doing, path, kind, code } => {
                write!(f, "{doing} {}: {kind}", path.display())?;
                code.map_or(Ok(()), |code| write!(f, " (errno {code})"))
            }
            StoreError::Locked { path } => write!(f, "{} is used by another process", path.display()),
            StoreError::Missing { path } => write!(f, "{} is missing", path.display()),
            StoreError::Foreign { path } => write!(f, "{} is not a file of Remnesia", path.display()),
            StoreError::NewerFormat { path, found, known } => {
                write!(f, "{} has format {found}, this version knows formats up to {known}", path.display())
            }
            StoreError::Corrupt { path, at, what } => write!(f, "{} is damaged at byte {at}: {what}", path.display()),
            StoreError::BadTerm { at, what } => write!(f, "no term at byte {at}: {what}"),
            StoreError::TooManyAtoms { limit } => write!(f, "more than {limit} atoms"),
            StoreError::NotPortable => write!(f, "a term that only the VM which made it can write"),
            StoreError::TooLarge { bytes, most } => write!(f, "{bytes} bytes, where at most {most} are possible"),
            StoreError::ReadOnly(cause) => write!(f, "the log takes no commits: {cause}"),
            StoreError::Closed => write!(f, "the store is closed"),
            StoreError::Base { code, what } => write!(f, "base store: {what} ({code})"),
        }
    }
}

impl std::error::Error for StoreError {}
