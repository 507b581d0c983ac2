//! Async work for those who wait for it.

use tokio::runtime::{Handle, Runtime};

/// Runs a future to its end, also for somebody who is in async code: on a thread beside it.
pub(super) fn drive<T: Send, F: Future<Output = T>>(runtime: &Runtime, future: impl FnOnce() -> F + Send) -> T {
    if Handle::try_current().is_err() {
        return runtime.block_on(future());
    }
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| runtime.block_on(future()));
        beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
