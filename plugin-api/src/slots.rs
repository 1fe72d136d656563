//! Values that tasks share by name while at least one of them holds it: a turn, a signal, a count. Unused
//! names take no memory.
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use streamgate_plugin_api::slots::Slots;
//!
//! let readers = Slots::<AtomicU32>::default();
//! let (one, two) = (readers.get("a"), readers.get("a"));
//! one.fetch_add(1, Ordering::Relaxed);
//! assert_eq!(two.load(Ordering::Relaxed), 1);
//! drop((one, two));
//! assert_eq!((readers.len(), readers.get("a").load(Ordering::Relaxed)), (0, 0));
//! ```

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All shared values, by name. Cheap to clone.
#[derive(Debug)]
pub struct Slots<T>(Arc<Mutex<HashMap<String, Arc<T>>>>);

/// The value of one name. It is removed with the last of these.
#[derive(Debug)]
pub struct Slot<T: Default> {
    slots: Slots<T>,
    name: String,
    shared: Arc<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Slots<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Slots<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of names in use.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no name is in use.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

impl<T: Default> Slots<T> {
    /// The value of this name; its default, if it is not in use.
    pub fn get(&self, name: &str) -> Slot<T> {
        let shared = self.lock().entry(name.to_owned()).or_default().clone();
        Slot { slots: self.clone(), name: name.to_owned(), shared }
    }
}

impl<T: Default> Deref for Slot<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared
    }
}

impl<T: Default> Drop for Slot<T> {
    fn drop(&mut self) {
        let mut slots = self.slots.lock();
        // Dropped under the lock: of two concurrent drops one has to see that it is the last.
        drop(std::mem::take(&mut self.shared));
        if slots.get(&self.name).is_some_and(|shared| Arc::strong_count(shared) == 1) {
            slots.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn two_that_go_at_the_same_moment_leave_nothing_behind() {
        let slots = Slots::<()>::default();
        // A blocking barrier would let one of them run ahead.
        let met = AtomicUsize::new(0);
        let meet = |times: usize| {
            met.fetch_add(1, Ordering::SeqCst);
            let mut turns = 0;
            while met.load(Ordering::SeqCst) < 2 * times {
                turns += 1;
                if turns % 1_000 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for number in 1..=5_000 {
                        let slot = slots.get(&number.to_string());
                        meet(number);
                        drop(slot);
                    }
                });
            }
        });
        assert!(slots.is_empty());
    }
}
