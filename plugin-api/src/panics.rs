//! Panics of this library: counted by the host through a hook, turned into messages by the guard.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::sync::Once;

use crate::log;

static INSTALLED: Once = Once::new();

thread_local! {
    /// Where the panic that is unwinding on this thread happened.
    static LOCATION: RefCell<String> = const { RefCell::new(String::new()) };
    /// Whether this thread is answering a request.
    static IN_REQUEST: Cell<bool> = const { Cell::new(false) };
}

/// Reports every panic of this library to the host, wherever it happens: in a handler, a spawned task or a
/// drop. A cdylib has its own copy of the hook, so no other library is affected.
pub(crate) fn report() {
    INSTALLED.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let location = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
            log::with_host(|host| match IN_REQUEST.get() {
                true => host.panicked_in_request(text(info.payload()), &location),
                false => host.panicked(text(info.payload()), &location),
            });
            LOCATION.with_borrow_mut(|slot| *slot = location);
        }));
    });
}

/// Marks `work` as the answering of a request, which is all that a panic in it ends.
pub(crate) fn of_request<T>(work: impl FnOnce() -> T) -> T {
    /// Also on unwind.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IN_REQUEST.set(self.0);
        }
    }
    let _restore = Restore(IN_REQUEST.replace(true));
    work()
}

/// The message of a caught panic with its location.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let location = LOCATION.with_borrow_mut(std::mem::take);
    let text = text(panic);
    if location.is_empty() { text.to_owned() } else { format!("{text} ({location})") }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
}
