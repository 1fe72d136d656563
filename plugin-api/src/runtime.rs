//! One tokio runtime for each cdylib, from its first start to the end of its last run: remaining tasks of a
//! plugin end with it, and so do its threads and descriptors.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::abi::HostHandle;
use crate::log;

/// The runtime in which everything runs that the other side calls, polls or drops.
static RUNTIME: ArcSwapOption<Handle> = ArcSwapOption::const_empty();
static RUNS: Mutex<Runs> = Mutex::new(Runs { count: 0, runtime: None });

struct Runs {
    count: usize,
    runtime: Option<Runtime>,
}

/// One run of the plugin. The last one drops the runtime.
pub(crate) struct Life(());

impl Life {
    /// Begins a run, with `host` for the log. The error is the system's, if it refuses threads or an epoll
    /// instance.
    pub(crate) fn begin(host: HostHandle) -> io::Result<(Self, Handle)> {
        let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = match &runs.runtime {
            Some(runtime) => runtime.handle().clone(),
            None => {
                let runtime = Builder::new_multi_thread()
                    .enable_all()
                    .thread_name(crate::thread_name())
                    .thread_keep_alive(std::time::Duration::from_secs(30))
                    .build()?;
                let handle = runtime.handle().clone();
                RUNTIME.store(Some(Arc::new(handle.clone())));
                runs.runtime = Some(runtime);
                handle
            }
        };
        runs.count += 1;
        let before = log::send_to(Some(host));
        drop(runs);
        drop(before);
        Ok((Self(()), handle))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
        runs.count -= 1;
        let last = runs.count == 0;
        let runtime = if last { runs.runtime.take() } else { None };
        if last {
            RUNTIME.store(None);
        }
        let host = if last { log::send_to(None) } else { None };
        drop(runs);
        // Dropping these may end other runs: not under the lock.
        drop(host);
        if let Some(runtime) = runtime {
            // Tasks are dropped on its threads, without waiting.
            runtime.shutdown_background();
        }
    }
}

/// Makes `handle` the runtime of this library, for a host that has its own and starts no plugin.
pub fn adopt(handle: Handle) {
    RUNTIME.store(Some(Arc::new(handle)));
}

/// The runtime of this library while a plugin of it runs, else the caller's.
///
/// # Panics
/// If there is neither.
pub fn handle() -> Handle {
    RUNTIME.load().as_deref().cloned().unwrap_or_else(Handle::current)
}

/// Runs `work` inside the runtime of this library, if a plugin of it runs, else inside the caller's.
pub(crate) fn inside<T>(work: impl FnOnce() -> T) -> T {
    let runtime = RUNTIME.load();
    let _entered = runtime.as_deref().map(Handle::enter);
    work()
}
