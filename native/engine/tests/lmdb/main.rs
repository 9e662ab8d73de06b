//! The base store in LMDB.
#![allow(clippy::unwrap_used)]

mod damage;
mod disc;
mod model;
mod space;
#[path = "../store_common/mod.rs"]
mod store_common;
mod support;
