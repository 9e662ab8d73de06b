//! One thread hands out work, others do it: for what is read in order and can be used in any.

use crossbeam::channel::{bounded, SendError};

/// Calls `work` with everything that `deal` hands out, from up to `threads` threads, in no order. Few wait at a time, so memory is bounded by
/// what a piece takes. The first piece alone gets no threads: `work` is called for it at the end, as for all where none can be had.
pub fn fan<T: Send, R>(threads: usize, work: &(dyn Fn(T) + Sync), deal: impl FnOnce(&mut dyn FnMut(T)) -> R) -> R {
    std::thread::scope(|scope| {
        let (send, receive) = bounded::<T>(threads);
        let mut receive = Some(receive);
        let mut first = None;
        let dealt = deal(&mut |piece| {
            let Some(piece) = first.replace(piece) else { return };
            if let Some(receive) = receive.take() {
                for _ in 0..threads {
                    let receive = receive.clone();
                    let thread = std::thread::Builder::new().name("remnesia_load".into());
                    let _ = thread.spawn_scoped(scope, move || receive.iter().for_each(work));
                }
            }
            if let Err(SendError(piece)) = send.send(piece) {
                work(piece);
            }
        });
        drop(send);
        first.into_iter().for_each(work);
        dealt
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn everything_once() {
        for count in [0, 1, 2, 100] {
            for threads in [0, 1, 3] {
                let (pieces, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let work = |piece: usize| {
                    pieces.fetch_add(1, Ordering::Relaxed);
                    sum.fetch_add(piece, Ordering::Relaxed);
                };
                assert_eq!(fan(threads, &work, |deal| (0..count).for_each(deal)), ());
                assert_eq!((pieces.into_inner(), sum.into_inner()), (count, (0..count).sum()));
            }
        }
    }
}
