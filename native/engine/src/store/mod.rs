//! Durability: a write-ahead log, a base store that is behind it, and the flush that moves the one into the other.
//!
//! `base` is what stands below; nothing here knows which store it is.

pub mod base;
mod error;
pub mod lmdb;

pub use error::StoreError;
