//! Work in parts on several threads.

use std::num::NonZero;

use crate::error::VectorsError;

/// Runs `work` over `parts`, on up to `threads` threads.
pub(crate) fn in_threads<T: Send>(
    threads: usize,
    parts: Vec<T>,
    work: impl Fn(T) -> Result<(), VectorsError> + Sync,
) -> Result<(), VectorsError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.clamp(1, cores.max(1) * 4).min(parts.len().max(1));
    if threads == 1 {
        return parts.into_iter().try_for_each(work);
    }
    let queue = std::sync::Mutex::new(parts.into_iter());
    let next = || {
        queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .next()
    };
    std::thread::scope(|scope| {
        let run = || {
            while let Some(part) = next() {
                work(part)?;
            }
            Ok(())
        };
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut result = run();
        for other in others {
            let ended = other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(ended);
        }
        result
    })
}
