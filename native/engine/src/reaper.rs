//! Threads for work that must not hold up a scheduler.
//!
//! There are two, so that the locks of a killed process do not wait until a large table is freed.

#[cfg(not(feature = "shuttle"))]
use crossbeam::channel::unbounded;
use crossbeam::channel::Sender;
use std::sync::OnceLock;

type Job = Box<dyn FnOnce() + Send>;
type Jobs = OnceLock<Option<Sender<Job>>>;

static ENDINGS: Jobs = OnceLock::new();
static GARBAGE: Jobs = OnceLock::new();

/// Ends what a killed process has left: others wait for it.
pub fn run(job: impl FnOnce() + Send + 'static) {
    submit(&ENDINGS, "remnesia_reaper", Box::new(job));
}

/// Drops a value when there is time.
pub fn drop_later(garbage: impl Send + 'static) {
    run_later(move || drop(garbage));
}

/// Does what nobody waits for.
pub fn run_later(job: impl FnOnce() + Send + 'static) {
    submit(&GARBAGE, "remnesia_garbage", Box::new(job));
}

/// The model checker knows no threads of ours, and all that a job does there is to let go of what nobody can reach any more.
#[cfg(feature = "shuttle")]
fn submit(_jobs: &'static Jobs, _name: &str, job: Job) {
    drop(job);
}

/// Runs the job on a thread of the library; on the caller's where no thread can be had.
#[cfg(not(feature = "shuttle"))]
fn submit(jobs: &'static Jobs, name: &str, job: Job) {
    let jobs = jobs.get_or_init(|| {
        let (sender, receiver) = unbounded::<Job>();
        let work = move || {
            for job in receiver {
                // A job that panics has marked what it damaged; the thread serves on.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            }
        };
        std::thread::Builder::new().name(name.into()).spawn(work).ok().map(|_| sender)
    });
    match jobs {
        Some(jobs) => {
            if let Err(unsent) = jobs.send(job) {
                unsent.into_inner()();
            }
        }
        None => job(),
    }
}
