//! What the bytes do not hold: texts of atoms, numbers of local pids and ports, and how this VM orders and equates.
//!
//! The host (the NIF crate, or a test) installs itself once. Texts are cached for ever, as atoms live for ever.

use super::{Attached, Writer};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Node, creation and numbers behind a local pid, port or reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub node: Vec<u8>,
    pub creation: u32,
    pub numbers: Vec<u32>,
}

/// Answers what only the VM knows.
pub trait Host: Send + Sync {
    /// UTF-8 text of an atom.
    fn atom_text(&self, word: u64) -> Vec<u8>;
    /// What stands behind a local pid (`numbers`: id, serial) or port (`numbers`: high, low).
    fn local(&self, word: u64, port: bool) -> Identity;
    /// Node and creation that local references have now.
    fn this_node(&self) -> (Vec<u8>, u32);
    /// `0.0` and `-0.0` are two terms (OTP 27 and later).
    fn signed_zero(&self) -> bool;
    /// Pids are ordered by node before their numbers.
    fn pids_by_node(&self) -> bool;
    /// OTP release whose match specs are understood: 26 knows guard functions that 25 refuses.
    fn release(&self) -> u32 {
        25
    }
    /// A map in the key of a head is looked up as it is, where elsewhere in a head it matches maps that hold more: ETS did so until it
    /// was corrected in 2024 (OTP 27, and patches of 25 and 26).
    fn exact_map_keys(&self) -> bool {
        true
    }
    /// Atoms the engine itself needs.
    fn well_known(&self) -> WellKnown;
    /// The word of an atom, made if there is none; None for a text that no atom can have.
    fn atom_word(&self, text: &[u8]) -> Option<u64>;
    /// The word of a pid or port of this node, whatever the node is called now; None for numbers that no such term can have.
    fn local_word(&self, port: bool, numbers: &[u32]) -> Option<u64> {
        let _ = (port, numbers);
        None
    }
    /// The external form of a living closure, that of its flat bytes in `attached`.
    fn external(&self, attached: &dyn Attached, identity: &[u8]) -> Option<Vec<u8>> {
        let _ = (attached, identity);
        None
    }
    /// Begins to make the living terms of a record that comes from a disc.
    fn revival(&self) -> Box<dyn Revival> {
        Box::new(plain::Contents::default())
    }
}

/// Makes the terms that live beside a record.
pub trait Revival {
    /// The large binary that these flat bytes stand for.
    fn content(&mut self, identity: &[u8], content: &[u8]);
    /// The reference of this node with these numbers, whose flat bytes these are; false if there is no such reference.
    fn reference(&mut self, identity: &[u8], numbers: &[u32]) -> bool {
        let _ = (identity, numbers);
        false
    }
    /// Gives the texts of all atoms in a closure's external form to `f` until it answers false; false as well if the form is none.
    fn atoms(&self, external: &[u8], f: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let _ = (external, f);
        true
    }
    /// A closure from its external form, whose flat bytes are appended to `out`; false if it is none.
    fn closure(&mut self, external: &[u8], out: &mut Writer) -> bool {
        let _ = (external, out);
        false
    }
    fn finish(self: Box<Self>) -> Arc<dyn Attached>;
}

/// Words of atoms that match specs and guards give a meaning.
#[derive(Debug, Clone, Copy, Default)]
pub struct WellKnown {
    pub true_: u64,
    pub false_: u64,
    pub nil: u64,
    pub undefined: u64,
    /// `'EXIT'`, what a failing function in the body of a match spec answers.
    pub exit: u64,
}

static HOST: OnceLock<Box<dyn Host>> = OnceLock::new();
static TEXTS: OnceLock<RwLock<HashMap<u64, &'static [u8]>>> = OnceLock::new();

/// Installs the host; a second call (the library loaded again) changes nothing and answers false.
pub fn install(host: Box<dyn Host>) -> bool {
    HOST.set(host).is_ok()
}

/// The installed host.
pub fn host() -> &'static dyn Host {
    &**HOST.get_or_init(|| Box::new(super::atom::plain::Plain::default()))
}

/// Node and creation that ordered keys write for terms of this node: those of the moment the first such key was made. Keys stay in
/// tables, so a node that gets its name later must not change them.
pub fn home() -> &'static (Vec<u8>, u32) {
    static HOME: OnceLock<(Vec<u8>, u32)> = OnceLock::new();
    HOME.get_or_init(|| host().this_node())
}

/// Text of an atom, cached.
pub fn text(word: u64) -> &'static [u8] {
    let texts = TEXTS.get_or_init(Default::default);
    if let Some(text) = texts.read().get(&word) {
        return text;
    }
    let text = host().atom_text(word);
    texts.write().entry(word).or_insert_with(|| Box::leak(text.into_boxed_slice()))
}

/// The host of a program without a VM (tests, fuzzing, benchmarks): atoms are interned here.
pub mod plain {
    use super::{host, Attached, Host, Identity, Revival, WellKnown, Writer};
    use crate::sync::global::Mutex;
    use std::any::Any;
    use std::sync::Arc;

    /// Interns atoms by text; word = 16 * index + 11.
    #[derive(Default)]
    pub struct Plain {
        names: Mutex<Vec<Vec<u8>>>,
    }

    static INTERNED: Plain = Plain { names: Mutex::new(Vec::new()) };

    /// The word of an atom, made on first use.
    pub fn intern(text: &str) -> u64 {
        host();
        let mut names = INTERNED.names.lock();
        let index = names.iter().position(|n| n == text.as_bytes()).unwrap_or_else(|| {
            names.push(text.as_bytes().to_vec());
            names.len() - 1
        });
        index as u64 * 16 + 11
    }

    impl Host for Plain {
        fn atom_text(&self, word: u64) -> Vec<u8> {
            let names = INTERNED.names.lock();
            names.get((word / 16) as usize).cloned().unwrap_or_default()
        }
        fn local(&self, word: u64, _port: bool) -> Identity {
            Identity { node: b"nonode@nohost".to_vec(), creation: 0, numbers: vec![word as u32, (word >> 32) as u32] }
        }
        fn this_node(&self) -> (Vec<u8>, u32) {
            (b"nonode@nohost".to_vec(), 0)
        }
        fn signed_zero(&self) -> bool {
            false
        }
        fn pids_by_node(&self) -> bool {
            false
        }
        fn well_known(&self) -> WellKnown {
            WellKnown {
                true_: intern("true"),
                false_: intern("false"),
                nil: intern("nil"),
                undefined: intern("undefined"),
                exit: intern("EXIT"),
            }
        }
        fn atom_word(&self, text: &[u8]) -> Option<u64> {
            std::str::from_utf8(text).ok().map(intern)
        }
        fn local_word(&self, _port: bool, numbers: &[u32]) -> Option<u64> {
            match numbers {
                [low, high] => Some(u64::from(*low) | u64::from(*high) << 32),
                _ => None,
            }
        }
        fn external(&self, attached: &dyn Attached, identity: &[u8]) -> Option<Vec<u8>> {
            attached.as_any().downcast_ref::<Contents>()?.find(identity).map(<[u8]>::to_vec)
        }
    }

    /// Contents of large binaries by their flat bytes. A closure, which needs a VM, is its flat bytes here.
    #[derive(Default, Debug)]
    pub struct Contents(pub Vec<(Vec<u8>, Vec<u8>)>);

    impl Contents {
        fn find(&self, identity: &[u8]) -> Option<&[u8]> {
            self.0.iter().find(|(i, _)| i == identity).map(|(_, content)| &content[..])
        }
    }

    impl Attached for Contents {
        fn content(&self, identity: &[u8]) -> Option<&[u8]> {
            self.find(identity)
        }
        fn bytes(&self) -> usize {
            self.0.iter().map(|(_, content)| content.len()).sum()
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    impl Revival for Contents {
        fn content(&mut self, identity: &[u8], content: &[u8]) {
            self.0.push((identity.to_vec(), content.to_vec()));
        }
        fn reference(&mut self, identity: &[u8], _numbers: &[u32]) -> bool {
            self.0.push((identity.to_vec(), Vec::new()));
            true
        }
        fn closure(&mut self, external: &[u8], out: &mut Writer) -> bool {
            let closure = external.first() == Some(&super::super::tag::FUN);
            if closure {
                out.buf.extend_from_slice(external);
                out.attached = true;
                out.negative_zero |= super::super::canonical_zero(external) != external;
                self.0.push((external.to_vec(), external.to_vec()));
            }
            closure
        }
        fn finish(self: Box<Self>) -> Arc<dyn Attached> {
            Arc::new(*self)
        }
    }
}
