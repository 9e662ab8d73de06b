//! Where an ordered form ends: in an index the key stands right behind the form of the value.
//!
//! The counterpart of [`super::key`], as far as lengths go.

use super::atom::host;
use super::key::class;

/// Length of the form that `bytes` begin with.
pub fn len(bytes: &[u8]) -> usize {
    let mut at = 0;
    // Forms that are still to come, those within forms among them.
    let mut left: u64 = 1;
    while left > 0 {
        left -= 1;
        let kind = bytes[at];
        at += 1;
        match kind {
            class::NEGATIVE | class::POSITIVE => at += number(&bytes[at..], kind == class::NEGATIVE),
            class::KEY_FLOAT if bytes[at] == class::ZERO => at += 1 + usize::from(host().signed_zero()),
            class::KEY_FLOAT => left += 1,
            class::ATOM => at += text(&bytes[at..]),
            // Node, creation, five numbers, foreign or not.
            class::REF => at += text(&bytes[at..]) + 4 + 20 + 1,
            class::CLOSURE => {
                at += text(&bytes[at..]) + 4 + 17;
                left += 1;
            }
            class::EXPORT => {
                at += text(&bytes[at..]);
                at += text(&bytes[at..]);
                left += 1;
            }
            // Node, creation, two numbers, foreign or not; pids of older VMs with the numbers first.
            class::PID if !host().pids_by_node() => at += 8 + text(&bytes[at + 8..]) + 4 + 1,
            class::PORT | class::PID => at += text(&bytes[at..]) + 4 + 8 + 1,
            class::TUPLE | class::MAP => {
                let count = u64::from(u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
                left += if kind == class::MAP { 2 * count } else { count };
                at += 4;
            }
            // The head and the rest.
            class::CONS => left += 2,
            class::BITS => at += text(&bytes[at..]) + 1,
            _ => {}
        }
    }
    at
}

/// Exponent in two bytes, or in eight after two that say so, then groups of seven bits, the lowest bit saying if more follow.
fn number(bytes: &[u8], negative: bool) -> usize {
    let flip = if negative { 0xff } else { 0 };
    let exponent = if bytes[0] ^ flip == 0xff && bytes[1] ^ flip == 0xff { 10 } else { 2 };
    let groups = bytes[exponent..].iter().take_while(|&&byte| (byte ^ flip) & 1 == 1).count();
    exponent + groups + 1
}

/// Up to `00 00`; `00 ff` is a zero within.
fn text(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match bytes[at..].iter().position(|&b| b == 0) {
            Some(zero) if bytes[at + zero + 1] == 0 => return at + zero + 2,
            Some(zero) => at += zero + 2,
            None => panic!("a text has an end"),
        }
    }
}
