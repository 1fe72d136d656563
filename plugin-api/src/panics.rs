//! Panics of this library: counted by the host through a hook, turned into messages by the guard.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Once;

use crate::log;

static INSTALLED: Once = Once::new();

thread_local! {
    /// Where the panic that is unwinding on this thread happened.
    static LOCATION: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Reports every panic of this library to the host, wherever it happens: in a handler, a spawned
/// task or a drop. A cdylib has its own copy of the hook, so this touches nobody else's.
pub(crate) fn report() {
    INSTALLED.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let location = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
            log::with_host(|host| host.panicked(text(info.payload()), &location));
            LOCATION.with_borrow_mut(|slot| *slot = location);
        }));
    });
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
