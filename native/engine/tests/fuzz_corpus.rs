//! What fuzzing has found worth keeping, run through its targets again; and some random bytes, so that a target that cannot be fuzzed here is
//! no dead letter.

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

fn replay(name: &str, rounds: usize, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files = 0;
    for file in std::fs::read_dir(&corpus).expect("the corpus is part of the repository") {
        let path = file.expect("a file").path();
        let data = std::fs::read(&path).expect("a file");
        let outcome = std::panic::catch_unwind(|| target(&data));
        assert!(outcome.is_ok(), "{} broke the target", path.display());
        files += 1;
    }
    assert!(files > 0, "no corpus in {}", corpus.display());
    // The same every time: a linear congruence, by Knuth.
    let mut state = 1u64;
    let mut byte = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    for round in 0..rounds {
        let data: Vec<u8> = (0..20 + round % 300).map(|_| byte()).collect();
        target(&data);
    }
}

#[test]
fn term() {
    replay("term", 20_000, fuzz::term);
}

#[test]
fn order() {
    replay("order", 20_000, fuzz::order);
}

#[test]
fn spec() {
    replay("spec", 20_000, fuzz::spec);
}

#[test]
fn value() {
    replay("value", 3_000, fuzz::value);
}

#[test]
fn log() {
    replay("log", 20_000, fuzz::log);
}

#[test]
fn pages() {
    replay("pages", 100, fuzz::pages);
}

#[test]
fn program() {
    replay("program", 150, fuzz::program);
}
