//! Atoms that the border answers.

use crate::term::{from_word, host::atom, word, Env, RawTerm};
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! atoms {
    ($($name:ident = $text:expr),* $(,)?) => {
        struct Words { $($name: AtomicU64),* }
        static WORDS: Words = Words { $($name: AtomicU64::new(0)),* };

        /// Makes the atoms; called at load.
        pub fn init(env: Env) {
            $(WORDS.$name.store(word(atom(env, $text)), Ordering::Relaxed);)*
        }

        $(#[inline] pub fn $name() -> RawTerm { from_word(WORDS.$name.load(Ordering::Relaxed)) })*
    };
}

atoms! {
    ok = "ok", error = "error", nil = "nil", true_ = "true", false_ = "false", read = "read", write = "write",
    wait = "$wait", restart = "$restart", commit_wait = "$commit_wait", failed = "$error",
    done = "done", slice = "slice", limit = "limit", end_of_table = "$end_of_table",
    already_started = "already_started", not_started = "not_started", already_exists = "already_exists",
    no_exists = "no_exists", bad_type = "bad_type", badarg = "badarg", no_transaction = "no_transaction",
    table_damaged = "table_damaged", not_running = "not_running", panic = "panic", combine_error = "combine_error",
    update_counter = "update_counter", queued = "queued", granted = "granted", committed = "committed",
    set = "set", ordered_set = "ordered_set", bag = "bag", duplicate_bag = "duplicate_bag",
    key = "key", index = "index", scan = "scan", read_only = "read_only", key_range = "key_range", nothing = "nothing",
    index_range = "index_range", union = "union", exact = "exact", about = "about", more_than = "more_than", record = "record",
    global = "global", watched = "$watched", frozen = "$frozen", transactions = "$transactions",
    sync = "$sync", room = "$room", disc_failed = "disc_failed", disc_recovered = "disc_recovered", flush_failed = "flush_failed",
    disc_process = "Elixir.Remnesia.Engine.Local.Disc",
    table = "table", node = "node", self_ = "self", both = "both", unique = "unique", more = "$more",
    whole = "$_", any = "_", near = "$near", far = "$far", mnesia = "mnesia",
}
