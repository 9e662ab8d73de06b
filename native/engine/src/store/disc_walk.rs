//! Writing a flat term again with other leaves: the containers around them get their new lengths, maps their new order.

use super::StoreError;
use crate::term::atom::{home, host};
use crate::term::tag::*;
use crate::term::{form_size, read, Elements, Open, Term, Writer};
use smallvec::SmallVec;

/// A container being written.
struct Frame {
    tag: u8,
    open: Open,
    count: usize,
    /// Where it ends in the input.
    end: usize,
}

/// Writes a leaf.
pub(super) type Leaf<'a> = dyn FnMut(&[u8], &mut Writer) -> Result<(), StoreError> + 'a;

/// What an atom is called.
pub(super) type Atom<'a> = dyn FnMut(u64) -> Result<u64, StoreError> + 'a;

/// Writes the terms of `input`, which are sound, one after the other; `leaf` writes each that is no container. Closures are
/// containers only if `module` says how their modules are called.
pub(super) fn rewrite(
    input: &[u8],
    writer: &mut Writer,
    mut module: Option<&mut Atom>,
    leaf: &mut Leaf,
) -> Result<(), StoreError> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = 0;
    loop {
        while let Some(frame) = frames.pop_if(|f| f.end == at) {
            match frame.tag {
                LIST => writer.close_list(frame.open, frame.count),
                IMPROPER => writer.close_improper(frame.open, frame.count),
                TUPLE => writer.close_tuple(frame.open, frame.count),
                MAP => writer.close_map(frame.open, frame.count),
                _ => writer.close_fun(frame.open),
            }
        }
        if at == input.len() {
            return Ok(());
        }
        let one = &input[at..at + form_size(&input[at..])];
        let end = at + one.len();
        let tag = match one[0] {
            LIST | LIST_L => LIST,
            IMPROPER | IMPROPER_L => IMPROPER,
            TUPLE | TUPLE_L => TUPLE,
            MAP | MAP_L => MAP,
            FUN if module.is_some() => {
                let identity = &one[5..];
                let size = form_size(identity);
                let rest = &identity[size..];
                let called = module.as_mut().map(|module| match read(identity).0 {
                    Term::Atom(word) => module(word),
                    _ => Ok(0),
                });
                if let (Some(called), Some((index, rest))) = (called, rest.split_first_chunk::<4>()) {
                    if let Some((uniq, rest)) = rest.split_first_chunk::<16>() {
                        let open = writer.open_fun(called?, u32::from_le_bytes(*index), uniq, rest[0]);
                        frames.push(Frame { tag: FUN, open, count: 0, end });
                    }
                }
                at += 5 + size + 21;
                continue;
            }
            _ => {
                leaf(one, writer)?;
                at = end;
                continue;
            }
        };
        let count = match read(one).0 {
            Term::List(e) | Term::Improper(e) | Term::Tuple(e) | Term::Map(e) => {
                let Elements { count, body } = e;
                at = end - body.len();
                count as usize
            }
            _ => 0,
        };
        frames.push(Frame { tag, open: writer.open(), count, end });
    }
}

/// A pid, port or reference with the name of its node.
pub(super) struct Named {
    /// One of the `EXT_` tags.
    pub tag: u8,
    pub creation: u32,
    pub numbers: SmallVec<[u32; 5]>,
    /// The node's atom, or its text when it is this node.
    pub node: Result<u64, &'static [u8]>,
}

/// The node-named form of a pid, port or reference; None for other terms.
pub(super) fn named(one: &[u8]) -> Option<Named> {
    let numbers = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|n| u32::from_le_bytes(*n)).collect();
    let (tag, id) = match read(one).0 {
        Term::ExtPid(id) => (EXT_PID, id),
        Term::ExtPort(id) => (EXT_PORT, id),
        Term::ExtRef(id) => (EXT_REF, id),
        local => {
            let (node, creation) = home();
            let (tag, numbers) = match local {
                Term::Pid(word) => (EXT_PID, host().local(word, false).numbers.into()),
                Term::Port(word) => (EXT_PORT, host().local(word, true).numbers.into()),
                Term::Ref(bytes) => (EXT_REF, numbers(bytes)),
                _ => return None,
            };
            return Some(Named { tag, creation: *creation, numbers, node: Err(node) });
        }
    };
    Some(Named { tag, creation: id.creation, numbers: numbers(id.numbers), node: Ok(id.node) })
}
