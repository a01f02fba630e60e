//! How much of this machine's processor a computation may use.

use kernels::dispatch::Level;

/// The most threads of one computation.
pub const THREADS_MAX: usize = 256;

/// The instruction set and the threads of a computation. Results depend on the instruction set in the last digits, never on
/// the number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processor {
    /// The instruction set of the kernels.
    pub level: Level,
    /// Threads, the caller's own included.
    pub threads: usize,
}

impl Processor {
    /// The best instruction set of this machine and `threads` threads, brought within 1 to [`THREADS_MAX`].
    pub fn new(threads: usize) -> Self {
        Processor {
            level: Level::best(),
            threads: threads.clamp(1, THREADS_MAX),
        }
    }

    /// One thread: for work that others already spread.
    pub fn single() -> Self {
        Processor::new(1)
    }

    /// All the processors that the system grants this process.
    pub fn all() -> Self {
        Processor::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Splits `into`, rows of `width` values, among the threads, in parts of at least `rows_min` rows, and calls `work` with the
    /// first row and the values of each part.
    pub(crate) fn split<T: Send>(
        &self,
        into: &mut [T],
        width: usize,
        rows_min: usize,
        work: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let rows = into.len() / width.max(1);
        let parts = (rows / rows_min.max(1)).clamp(1, self.threads);
        if parts == 1 {
            return work(0, into);
        }
        let share = rows.div_ceil(parts);
        std::thread::scope(|scope| {
            let work = &work;
            let mut parts = into.chunks_mut(share * width).enumerate();
            let first = parts.next();
            for (index, part) in parts {
                scope.spawn(move || work(index * share, part));
            }
            if let Some((_, part)) = first {
                work(0, part);
            }
        });
    }
}
