//! The base store in LMDB.
#![allow(clippy::unwrap_used)]

mod damage;
mod disc;
mod model;
mod support;
