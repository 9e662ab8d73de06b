//! Searches that are given out in pieces: the slices of a long one, and the chunks of one with a limit.
//!
//! A chunk that is complete stays as it is, since a program may go on from it as often as it likes; who goes on does so with a copy.

use super::{Select, Want};
use crate::border::{with_scratch, Answer, Call, Fail};
use crate::session::{get_select, new_select, no_txn, with_txn};
use crate::term::RawTerm;
use crate::{atoms, nif};
use remnesia_engine::txn::overlay::Overlay;
use std::sync::Arc;

/// The writes of the transaction that are seen.
#[derive(Clone)]
pub(super) enum Pending {
    /// All that there are.
    Now,
    /// Those that there were when a search in chunks began: who writes between two chunks would else meet his own writes, and perhaps
    /// never come to an end.
    Then(Option<Arc<Overlay>>),
}

/// Changed keys that are copied on a normal scheduler.
const COPIED: usize = 1024;

impl Select {
    /// A search in chunks sees the writes that there are now.
    fn keep_pending(&mut self, call: &Call, overlay: Option<&Overlay>) -> Result<(), Fail> {
        if let Some(overlay) = overlay.filter(|_| self.limit > 0 && !self.whole) {
            call.heavy(overlay.len_of(&self.scan.open) > COPIED)?;
            self.pending = Pending::Then(overlay.of_table(&self.scan.open).map(Arc::new));
        }
        Ok(())
    }

    /// A copy that goes on from a complete chunk. None if it is in the midst of one.
    fn next_chunk(&self) -> Option<Select> {
        let Want::Spec(spec) = &self.want else { return None };
        self.paused.then(|| Select {
            scan: self.scan.clone(),
            want: Want::Spec(spec.again()),
            hits: self.hits.clone(),
            pending: self.pending.clone(),
            paused: false,
            ..*self
        })
    }
}

/// Answers the first slice; what is left goes into a continuation.
pub fn begin(call: &Call, mut select: Select, overlay: Option<&Overlay>, terms: &mut Vec<RawTerm>) -> Answer {
    select.keep_pending(call, overlay)?;
    select.count_at_once(overlay);
    let (state, answers) = select.slice(call, overlay, terms)?;
    if state == atoms::done() {
        return Ok(call.tuple(&[state, answers]));
    }
    select.begun = true;
    Ok(call.tuple(&[state, answers, new_select(call, select)]))
}

nif!(select_next, |call, [ctx, continuation]| {
    let select = get_select(call, *continuation)?;
    // In the midst of a chunk it belongs to one process, which goes on at once; a complete one is held as long as a copy takes.
    let mut select = select.lock();
    let mut next = select.next_chunk();
    let slice = |select: &mut Select| {
        with_scratch(|scratch| {
            if no_txn(*ctx) {
                return select.slice(call, None, &mut scratch.terms);
            }
            with_txn(call, *ctx, |txn| select.slice(call, Some(txn.overlay()), &mut scratch.terms))
        })
    };
    let (state, answers) = match &mut next {
        Some(next) => {
            drop(select);
            slice(next)?
        }
        None => slice(&mut select)?,
    };
    if state == atoms::done() {
        return Ok(call.tuple(&[state, answers]));
    }
    let continuation = next.map_or(*continuation, |next| new_select(call, next));
    Ok(call.tuple(&[state, answers, continuation]))
});
