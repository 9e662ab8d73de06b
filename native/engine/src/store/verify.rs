//! The log of a database, looked at without being started, cut or changed: it is recovered over a directory that takes no change.

use super::file::{Dir, File};
use super::flush::meta;
use super::recovery::{identify, recover};
use super::{Base, StoreError};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a sound log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogReport {
    /// The position of the base store, where the log goes on.
    pub from: u64,
    /// Where it ends.
    pub tail: u64,
    /// Files that are not in the base store yet.
    pub segments: u64,
    /// Bytes of a commit that was never finished, which the next start cuts off.
    pub torn: u64,
}

/// Reads the log of the database in `path` as the next start will. Keep other openers out meanwhile, see [`Dir::lock`].
pub fn log(dir: &Arc<dyn Dir>, base: &dyn Base, path: &Path) -> Result<LogReport, StoreError> {
    if base.meta(meta::DATABASE)?.is_none() {
        return Err(StoreError::corrupt(path, 0, "the database has no identity"));
    }
    let database = identify(base, path)?;
    let found = recover(&Untouched(dir.clone()), base, database, None)?;
    Ok(LogReport { from: found.from, tail: found.tail, segments: found.closed.len() as u64, torn: found.cut })
}

struct Untouched(Arc<dyn Dir>);

impl Dir for Untouched {
    fn create(&self, name: &str, _: u64) -> Result<Box<dyn File>, StoreError> {
        let read_only = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        Err(StoreError::io("create", &self.path(name), &read_only))
    }
    fn open(&self, name: &str) -> Result<Box<dyn File>, StoreError> {
        Ok(Box::new(UntouchedFile(self.0.open(name)?)))
    }
    fn rename(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    fn remove(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    fn list(&self) -> Result<Vec<String>, StoreError> {
        self.0.list()
    }
    fn sync_names(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, StoreError> {
        self.0.lock()
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }
}

struct UntouchedFile(Box<dyn File>);

impl File for UntouchedFile {
    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<usize, StoreError> {
        self.0.read_at(at, into)
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn len(&self) -> Result<u64, StoreError> {
        self.0.len()
    }
}
