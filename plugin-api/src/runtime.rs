//! One tokio runtime for each cdylib, made on first use and kept to the end of the process.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: OnceLock<Handle> = OnceLock::new();

/// The runtime of this library.
///
/// # Panics
/// When the system gives no threads or no epoll instance; nothing could run then.
pub fn handle() -> &'static Handle {
    RUNTIME.get_or_init(|| {
        let runtime: Runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name(crate::thread_name())
            .thread_keep_alive(std::time::Duration::from_secs(30))
            .build()
            .expect("the system gives a process threads and an epoll instance");
        // Never dropped: tasks may run as long as the library is mapped, which is for ever.
        Box::leak(Box::new(runtime)).handle().clone()
    })
}

/// Makes `handle` the runtime of this library, for a host that has one already. No effect once
/// there is one.
pub fn adopt(handle: Handle) {
    let _ = RUNTIME.set(handle);
}
