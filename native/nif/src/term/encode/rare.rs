//! Terms that go through the external format, or live beside their bytes: large integers, pids and references of other nodes, closures.

use super::super::external::{self, External};
use super::super::{word, Env, RawTerm};
use super::{EncodeError, Encoder, Frame, EXTERNAL_COST};
use remnesia_engine::term::tag;
use rustler::sys::*;

impl Encoder {
    /// An integer beyond 64 bits.
    #[cold]
    pub(super) fn big(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        self.walked = true;
        self.work += EXTERNAL_COST;
        let external = External::of(env, term).ok_or(EncodeError::Unsupported)?;
        let (negative, magnitude) = external::big(external.bytes()).ok_or(EncodeError::Unsupported)?;
        self.writer.big(negative, magnitude);
        Ok(())
    }

    pub(super) fn external(&mut self, env: Env, term: RawTerm, tag: u8) -> Result<(), EncodeError> {
        self.work += EXTERNAL_COST;
        let external = External::of(env, term).ok_or(EncodeError::Unsupported)?;
        let named = external::named(external.bytes()).ok_or(EncodeError::Unsupported)?;
        let (node, _) = external::atom(env, named.node).ok_or(EncodeError::Unsupported)?;
        self.writer.external(tag, named.creation, &named.numbers, word(node));
        Ok(())
    }

    /// A reference is local if it has node and creation of one that is made now; both are written in one step, so a node that is just
    /// being named cannot come between.
    pub(super) fn reference(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        self.work += EXTERNAL_COST;
        // SAFETY: makes a list of two terms in the caller's environment.
        let both = unsafe {
            let pair = [term, enif_make_ref(env)];
            enif_make_list_from_array(env, pair.as_ptr(), 2)
        };
        let external = External::of(env, both).ok_or(EncodeError::Unsupported)?;
        let named = external.bytes().get(5..).and_then(external::named).ok_or(EncodeError::Unsupported)?;
        let own = external::named(named.rest).ok_or(EncodeError::Unsupported)?;
        if (named.node, named.creation) == (own.node, own.creation) {
            let at = self.writer.len();
            self.writer.local_ref(&named.numbers);
            self.keep(at, term);
        } else {
            let (node, _) = external::atom(env, named.node).ok_or(EncodeError::Unsupported)?;
            // To the VM a missing number is a zero; references have three numbers or, when the others are not zero, five.
            let mut numbers = named.numbers;
            while numbers.len() > 3 && numbers.last() == Some(&0) {
                numbers.pop();
            }
            while numbers.len() < 3 {
                numbers.push(0);
            }
            self.writer.external(tag::EXT_REF, named.creation, &numbers, word(node));
        }
        Ok(())
    }

    /// The size of a closure is known only once its external form is there, so that is a step without a limit.
    pub(super) fn fun(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        let mut external = External::of(env, term).ok_or(EncodeError::Unsupported)?;
        self.work += EXTERNAL_COST + external.bytes().len();
        if let Some((module, function, arity)) = external::export(env, external.bytes()) {
            self.writer.export(word(module), word(function), arity);
            return Ok(());
        }
        self.within_limit()?;
        let start = self.terms.len();
        let closure = external.closure(env, &mut self.terms).ok_or(EncodeError::Unsupported)?;
        let fun_at = self.writer.len();
        let fun = self.writer.open_fun(word(closure.module), closure.index, &closure.uniq, closure.arity);
        let tuple = self.writer.open();
        self.closures += 1;
        self.frames.push(Frame::Fun { at: start, start, fun_at, fun, tuple, term });
        Ok(())
    }
}
