//! What the engine asks the VM.

use super::external::{self, External};
use super::{from_word, live, revive, word, Env, RawTerm};
use remnesia_engine::term::atom::{install as install_host, Host, Identity, Revival, WellKnown};
use remnesia_engine::term::Attached;
use rustler::sys::*;

/// Answers from the running VM; what cannot change is found out once.
struct Beam {
    signed_zero: bool,
    pids_by_node: bool,
    release: u32,
    exact_map_keys: bool,
    well_known: WellKnown,
}

/// An environment for one answer.
pub struct Scratch(Env);

impl Scratch {
    pub fn new() -> Scratch {
        // SAFETY: a fresh environment, freed on drop.
        Scratch(unsafe { enif_alloc_env() })
    }

    pub fn get(&self) -> Env {
        self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: made by `new`, used by this thread alone.
        unsafe { enif_free_env(self.0) }
    }
}

/// The atom of a name.
pub fn atom(env: Env, name: &str) -> RawTerm {
    // SAFETY: the text is copied.
    unsafe { enif_make_atom_len(env, name.as_ptr().cast(), name.len()) }
}

/// The OTP release that runs, 25 for one that does not say.
fn release() -> u32 {
    let mut info = std::mem::MaybeUninit::<ErlNifSysInfo>::uninit();
    // SAFETY: the VM fills in the structure; its text is static.
    unsafe {
        enif_system_info(info.as_mut_ptr(), std::mem::size_of::<ErlNifSysInfo>());
        let text = std::ffi::CStr::from_ptr(info.assume_init().otp_release);
        text.to_str().ok().and_then(|t| t.parse().ok()).unwrap_or(25)
    }
}

/// Installs this VM as the host of the engine.
pub fn install(exact_map_keys: bool) {
    let scratch = Scratch::new();
    let env = scratch.0;
    let atom_word = |name| word(atom(env, name));
    let well_known = WellKnown {
        true_: atom_word("true"),
        false_: atom_word("false"),
        nil: atom_word("nil"),
        undefined: atom_word("undefined"),
        exit: atom_word("EXIT"),
    };
    // SAFETY: compares terms made here.
    let signed_zero = unsafe { enif_is_identical(enif_make_double(env, 0.0), enif_make_double(env, -0.0)) == 0 };
    let pid = |node: &str, id: u8| {
        let mut e = vec![88];
        external::put_atom(node.as_bytes(), &mut e);
        e.extend_from_slice(&[0, 0, 0, id, 0, 0, 0, 0, 0, 0, 0, 1]);
        external::to_term(env, &e).map(|(term, _)| term)
    };
    let pids_by_node = match (pid("a@remnesia", 2), pid("b@remnesia", 1)) {
        // SAFETY: compares terms made here.
        (Some(a), Some(b)) => unsafe { enif_compare(a, b) < 0 },
        _ => false,
    };
    install_host(Box::new(Beam { signed_zero, pids_by_node, release: release(), exact_map_keys, well_known }));
}

impl Host for Beam {
    fn atom_text(&self, word: u64) -> Vec<u8> {
        let scratch = Scratch::new();
        let external = External::of(scratch.0, from_word(word));
        external.and_then(|e| external::atom_text(e.bytes()).map(|(text, _)| text)).unwrap_or_default()
    }

    fn local(&self, word: u64, _port: bool) -> Identity {
        // Asked for each pid in a key. Nothing is made in the environment, so one serves all questions of a thread.
        thread_local! {
            static SCRATCH: Scratch = Scratch::new();
        }
        SCRATCH.with(|scratch| identity(scratch.0, from_word(word)))
    }

    fn this_node(&self) -> (Vec<u8>, u32) {
        this_node()
    }

    fn atom_word(&self, text: &[u8]) -> Option<u64> {
        let mut e = Vec::with_capacity(text.len() + 3);
        external::put_atom(text, &mut e);
        external::to_term(Scratch::new().0, &e).map(|(term, _)| word(term))
    }

    fn local_word(&self, port: bool, numbers: &[u32]) -> Option<u64> {
        revive::local(Scratch::new().0, port, numbers)
    }

    fn external(&self, attached: &dyn Attached, identity: &[u8]) -> Option<Vec<u8>> {
        let scratch = Scratch::new();
        let term = live::revive(scratch.0, attached, identity)?;
        External::of(scratch.0, term).map(|e| e.bytes().to_vec())
    }

    fn revival(&self) -> Box<dyn Revival> {
        Box::new(revive::Revived::new())
    }

    fn signed_zero(&self) -> bool {
        self.signed_zero
    }

    fn pids_by_node(&self) -> bool {
        self.pids_by_node
    }

    fn release(&self) -> u32 {
        self.release
    }

    fn exact_map_keys(&self) -> bool {
        self.exact_map_keys
    }

    fn well_known(&self) -> WellKnown {
        self.well_known
    }
}

/// Name and creation that the node has now.
pub(super) fn this_node() -> (Vec<u8>, u32) {
    let scratch = Scratch::new();
    // SAFETY: makes a reference in an environment of our own.
    let id = identity(scratch.0, unsafe { enif_make_ref(scratch.0) });
    (id.node, id.creation)
}

fn identity(env: Env, term: RawTerm) -> Identity {
    let external = External::of(env, term);
    let named = external.as_ref().and_then(|e| external::named(e.bytes()));
    named.map_or(Identity { node: Vec::new(), creation: 0, numbers: Vec::new() }, |n| Identity {
        node: n.node_text(),
        creation: n.creation,
        numbers: n.numbers.to_vec(),
    })
}
