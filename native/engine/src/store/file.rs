//! The little that the store asks of a file system, so that tests can put a lying one in its place (`faulty`).
//!
//! A write that returns is in the page cache: it survives the death of the process. Only `sync` makes it survive the machine. A
//! name is durable after [`Dir::sync_names`].

use super::StoreError;
use memmap2::{MmapOptions, MmapRaw};
use std::any::Any;
use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// One open file of fixed length.
pub trait File: Send + Sync {
    /// Fills `into` with the bytes from `at` on; fewer at the end of the file.
    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<usize, StoreError>;
    /// Writes inside the file's length. One thread at a time.
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError>;
    /// Returns when all that was written is on the disc. After an error nobody knows what is: never call it again to find out.
    fn sync(&self) -> Result<(), StoreError>;
    fn len(&self) -> Result<u64, StoreError>;
    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len()? == 0)
    }
}

/// One directory of files.
pub trait Dir: Send + Sync {
    /// A new file of `len` zeros whose blocks are there: writing inside it cannot run out of space.
    fn create(&self, name: &str, len: u64) -> Result<Box<dyn File>, StoreError>;
    fn open(&self, name: &str) -> Result<Box<dyn File>, StoreError>;
    fn rename(&self, from: &str, to: &str) -> Result<(), StoreError>;
    fn remove(&self, name: &str) -> Result<(), StoreError>;
    /// All names, in no order.
    fn list(&self) -> Result<Vec<String>, StoreError>;
    /// Makes created, renamed and removed names durable.
    fn sync_names(&self) -> Result<(), StoreError>;
    /// Keeps other openers out until the answer is dropped.
    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, StoreError>;
    /// For messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// How files are opened.
#[derive(Clone, Copy, Debug)]
pub struct Modes {
    pub file: u32,
    pub dir: u32,
    /// Write through a shared mapping instead of by `pwrite`.
    pub mapped: bool,
}

impl Default for Modes {
    fn default() -> Self {
        Modes { file: 0o600, dir: 0o700, mapped: true }
    }
}

/// A directory of the operating system.
pub struct RealDir {
    path: PathBuf,
    modes: Modes,
}

impl RealDir {
    /// Opens the directory; makes it, and those above it, when it is not there.
    pub fn open(path: &Path, modes: Modes) -> Result<RealDir, StoreError> {
        let made = DirBuilder::new().recursive(true).mode(modes.dir).create(path);
        made.map_err(|e| StoreError::io("make directory", path, &e))?;
        Ok(RealDir { path: path.into(), modes })
    }

    fn opened(&self, path: PathBuf, file: fs::File) -> Result<Box<dyn File>, StoreError> {
        let map = match self.modes.mapped {
            true => Some(MmapOptions::new().map_raw(&file).map_err(|e| StoreError::io("map", &path, &e))?),
            false => None,
        };
        Ok(Box::new(RealFile { path, file, map }))
    }
}

impl Dir for RealDir {
    fn create(&self, name: &str, len: u64) -> Result<Box<dyn File>, StoreError> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(self.modes.file);
        let mut file = options.open(&path).map_err(|e| StoreError::io("create", &path, &e))?;
        // Zeros are written, not only promised: a sync of blocks that were never written has to write the file's block map as
        // well. Page by page, because the system caches what is written at once as one unit, and writes all of a unit again for
        // each byte that changes in its mapping: with 256 KB a sync of one small commit took a third longer, with 1 MB four times as long.
        let zeros = [0; 4096];
        let mut left = len;
        while left > 0 {
            let now = left.min(zeros.len() as u64);
            if let Err(e) = file.write_all(&zeros[..now as usize]) {
                let error = StoreError::io("preallocate", &path, &e);
                let _ = fs::remove_file(&path);
                return Err(error);
            }
            left -= now;
        }
        self.opened(path, file)
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>, StoreError> {
        let path = self.path.join(name);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => self.opened(path, file),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(StoreError::Missing { path }),
            Err(e) => Err(StoreError::io("open", &path, &e)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let path = self.path.join(from);
        fs::rename(&path, self.path.join(to)).map_err(|e| StoreError::io("rename", &path, &e))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(|e| StoreError::io("remove", &path, &e))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let fail = |e| StoreError::io("list", &self.path, &e);
        let names = fs::read_dir(&self.path).map_err(fail)?;
        let names = names.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()));
        names.collect::<Result<_, _>>().map_err(fail)
    }

    fn sync_names(&self) -> Result<(), StoreError> {
        let dir = fs::File::open(&self.path).and_then(|dir| dir.sync_all());
        dir.map_err(|e| StoreError::io("sync directory", &self.path, &e))
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, StoreError> {
        let path = self.path.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(self.modes.file);
        let file = options.open(&path).map_err(|e| StoreError::io("open", &path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: self.path.clone() }),
            Err(TryLockError::Error(e)) => Err(StoreError::io("lock", &path, &e)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

struct RealFile {
    path: PathBuf,
    file: fs::File,
    map: Option<MmapRaw>,
}

impl File for RealFile {
    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<usize, StoreError> {
        let mut done = 0;
        while done < into.len() {
            match self.file.read_at(&mut into[done..], at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(StoreError::io("read", &self.path, &e)),
            }
        }
        Ok(done)
    }

    #[inline]
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(map) = &self.map else {
            return self.file.write_all_at(bytes, at).map_err(|e| StoreError::io("write", &self.path, &e));
        };
        let end = at.checked_add(bytes.len() as u64).filter(|&end| end <= map.len() as u64);
        if end.is_none() {
            return Err(StoreError::TooLarge { bytes: at.saturating_add(bytes.len() as u64), most: map.len() as u64 });
        }
        // SAFETY: the range is inside the mapping, which lives as long as `self`; one thread writes at a time (see the trait), and
        // nobody holds a reference into the mapping: readers use `read_at`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), map.as_mut_ptr().add(at as usize), bytes.len()) };
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        // Linux writes mapped pages with the others; elsewhere they have to be asked for.
        if cfg!(not(target_os = "linux")) {
            if let Some(map) = &self.map {
                map.flush().map_err(|e| StoreError::io("sync", &self.path, &e))?;
            }
        }
        self.file.sync_data().map_err(|e| StoreError::io("sync", &self.path, &e))
    }

    fn len(&self) -> Result<u64, StoreError> {
        Ok(self.file.metadata().map_err(|e| StoreError::io("look at", &self.path, &e))?.len())
    }
}
