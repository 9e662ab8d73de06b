//! `=:=` on flat bytes.
//!
//! Equal bytes are the same term. The one case of the same term with different bytes is `0.0` and `-0.0` before OTP 27.

use super::atom::host;
use super::tag::FLOAT;
use super::write::sort_map;
use super::{read, skip, tag, Term};

/// Are these terms `=:=`? `may_differ` says that one of them holds a `-0.0` (see [`super::Writer::negative_zero`]).
#[inline]
pub fn same(a: &[u8], b: &[u8], may_differ: bool) -> bool {
    a == b || (may_differ && !host().signed_zero() && canonical_zero(a) == canonical_zero(b))
}

/// The term with every `-0.0` written as `0.0`: what keys are looked up and hashed by before OTP 27.
pub fn canonical_zero(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut maps = Vec::new();
    let mut at = 0;
    while at < out.len() {
        at += match out[at] {
            FLOAT => {
                if out[at + 1] == 0x80 && out[at + 2..at + 9].iter().all(|&b| b == 0) {
                    out[at + 1] = 0;
                }
                9
            }
            // Step into containers: their elements follow the head.
            tag::LIST | tag::IMPROPER | tag::TUPLE => 3,
            tag::LIST_L | tag::IMPROPER_L | tag::TUPLE_L => 9,
            tag::MAP | tag::MAP_L => {
                maps.push(at);
                if out[at] == tag::MAP {
                    3
                } else {
                    9
                }
            }
            // A closure: module, index, uniq, arity, then the tuple of its free variables.
            tag::FUN => {
                let module = &out[at + 5..];
                5 + module.len() - skip(module).len() + 21
            }
            _ => out.len() - at - skip(&out[at..]).len(),
        };
    }
    // A changed key may have to move; inner maps first, as they may be keys themselves.
    for at in maps.into_iter().rev() {
        if let (Term::Map(e), rest) = read(&out[at..]) {
            let (count, end) = (e.count as usize, out.len() - rest.len());
            let body = end - e.body.len();
            sort_map(&mut out[body..end], count);
        }
    }
    out
}
