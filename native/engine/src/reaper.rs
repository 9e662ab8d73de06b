//! A thread for work that must not hold up a scheduler: dropping large structures, ending transactions of killed processes.

use crossbeam::channel::{unbounded, Sender};
use std::sync::OnceLock;

type Job = Box<dyn FnOnce() + Send>;

static JOBS: OnceLock<Option<Sender<Job>>> = OnceLock::new();

/// Runs the job on the library's own thread; on the caller's where no thread can be had.
pub fn run(job: impl FnOnce() + Send + 'static) {
    let jobs = JOBS.get_or_init(|| {
        let (sender, receiver) = unbounded::<Job>();
        let work = move || {
            for job in receiver {
                // A job that panics has marked what it damaged; the thread serves on.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            }
        };
        std::thread::Builder::new().name("remnesia_reaper".into()).spawn(work).ok().map(|_| sender)
    });
    let job: Job = Box::new(job);
    match jobs {
        Some(jobs) => {
            if let Err(unsent) = jobs.send(job) {
                unsent.into_inner()();
            }
        }
        None => job(),
    }
}

/// Drops a value on that thread.
pub fn drop_later(garbage: impl Send + 'static) {
    run(move || drop(garbage));
}
