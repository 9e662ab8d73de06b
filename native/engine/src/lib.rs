//! The engine of Remnesia: tables, transactions and match specs over flat term bytes.
//!
//! Nothing here names the BEAM. A host (the NIF crate) turns its terms into bytes, calls [`db`], and turns bytes back.
//!
//! Layers, imports point down only: `db` -> `txn` -> `table`, `matchspec` -> `term`.

pub mod db;
pub mod matchspec;
pub mod reaper;
pub mod store;
pub mod sync;
pub mod table;
pub mod term;
pub mod txn;
