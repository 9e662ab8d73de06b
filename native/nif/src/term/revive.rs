//! Living terms of records that come from a disc.

use super::encode::Encoder;
use super::host::{this_node, Scratch};
use super::live::{new_binary, Live, LiveTerms};
use super::{external, word, Env, RawTerm};
use remnesia_engine::term::atom::Revival;
use remnesia_engine::term::{tag, Attached, Writer};
use rustler::sys::*;
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Collects the terms of one record in an environment of its own.
pub struct Revived {
    scratch: Scratch,
    live: Vec<Live>,
}

impl Revived {
    pub fn new() -> Revived {
        Revived { scratch: Scratch::new(), live: Vec::new() }
    }
}

impl Revival for Revived {
    fn content(&mut self, identity: &[u8], content: &[u8]) {
        let term = new_binary(self.scratch.get(), content);
        self.live.push((SmallVec::from_slice(identity), term));
    }

    fn reference(&mut self, identity: &[u8], numbers: &[u32]) -> bool {
        let (node, creation) = this_node();
        let mut e = vec![90];
        e.extend_from_slice(&(numbers.len() as u16).to_be_bytes());
        external::put_atom(&node, &mut e);
        e.extend_from_slice(&creation.to_be_bytes());
        numbers.iter().for_each(|n| e.extend_from_slice(&n.to_be_bytes()));
        let term = external::to_term(self.scratch.get(), &e);
        let live = term.map(|(term, _)| self.live.push((SmallVec::from_slice(identity), term)));
        live.is_some()
    }

    fn atoms(&self, external: &[u8], f: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        external::atoms(external, f)
    }

    fn closure(&mut self, bytes: &[u8], out: &mut Writer) -> bool {
        let env = self.scratch.get();
        let Some((term, _)) = external::to_term(env, bytes).filter(|(_, used)| *used == bytes.len()) else { return false };
        let mut encoder = Encoder::default();
        encoder.begin(usize::MAX);
        if encoder.term(env, term).is_err() || encoder.bytes().first() != Some(&tag::FUN) {
            return false;
        }
        out.buf.extend_from_slice(encoder.bytes());
        out.attached = true;
        out.negative_zero |= encoder.writer.negative_zero;
        self.live.extend(encoder.take_live());
        true
    }

    fn finish(self: Box<Self>) -> Arc<dyn Attached> {
        Arc::new(LiveTerms::new(self.live))
    }
}

/// The local pid or port with these numbers.
pub fn local(env: Env, port: bool, numbers: &[u32]) -> Option<u64> {
    let (node, creation) = this_node();
    let tag = match (port, numbers.len()) {
        (false, 2) => 88,
        (true, 1) => 89,
        (true, 2) => 120,
        _ => return None,
    };
    let mut e = vec![tag];
    external::put_atom(&node, &mut e);
    numbers.iter().for_each(|n| e.extend_from_slice(&n.to_be_bytes()));
    e.extend_from_slice(&creation.to_be_bytes());
    let (term, _) = external::to_term(env, &e)?;
    is_local(env, term, port).then(|| word(term))
}

fn is_local(env: Env, term: RawTerm, port: bool) -> bool {
    // SAFETY: only looks at a term that is alive in `env`.
    unsafe {
        if port {
            enif_get_local_port(env, term, MaybeUninit::<ErlNifPort>::uninit().as_mut_ptr()) != 0
        } else {
            enif_get_local_pid(env, term, MaybeUninit::<ErlNifPid>::uninit().as_mut_ptr()) != 0
        }
    }
}
