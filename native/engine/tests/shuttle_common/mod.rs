//! What the tests under the model checker share.
#![allow(dead_code)]

use remnesia_engine::term::{read, Record, Term, Writer};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// `SHUTTLE_TIMES=20` runs so many times as many schedules.
fn times() -> usize {
    std::env::var("SHUTTLE_TIMES").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Runs a model under so many random schedules, and half as many of those that find bugs which need few switches at the right places.
pub fn check(schedules: usize, model: impl Fn() + Send + Sync + Clone + 'static) {
    let mut config = Config::new();
    // A walk over a whole table takes more than the checker gives.
    config.stack_size = 1 << 20;
    let (random, first) = (model.clone(), model);
    Runner::new(RandomScheduler::new(schedules * times()), config.clone()).run(random);
    Runner::new(PctScheduler::new(3, schedules * times() / 2), config).run(first);
}

/// A row of two integers.
pub fn record(key: i64, value: i64) -> Record {
    let mut writer = Writer::new();
    writer.int(key);
    let start = writer.len() as u32;
    writer.int(value);
    Record::build(&[0, start], &writer.buf, false, None)
}

pub fn int(bytes: &[u8]) -> i64 {
    match read(bytes).0 {
        Term::Int(i) => i,
        other => panic!("an integer was written, got {other:?}"),
    }
}
