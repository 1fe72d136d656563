//! Bytes as pointer, length and owner: they cross without being copied, both ways.

use abi_stable::StableAbi;
use bytes::Bytes;

/// A read-only piece of memory that belongs to the side which created it, until it is dropped.
#[repr(C)]
#[derive(StableAbi)]
pub struct FfiBytes {
    ptr: *const u8,
    len: usize,
    owner: *mut (),
    capacity: usize,
    /// Takes `owner` and `capacity`.
    release: Option<extern "C" fn(*mut (), usize)>,
}

// SAFETY: the memory is read-only for as long as the value lives, and its owner (a `Bytes` or the
// memory itself) may be released on any thread.
unsafe impl Send for FfiBytes {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for FfiBytes {}

impl FfiBytes {
    /// No bytes.
    pub const fn empty() -> Self {
        Self { ptr: std::ptr::null(), len: 0, owner: std::ptr::null_mut(), capacity: 0, release: None }
    }

    /// Inserts `more` at `at`. Without an allocation if the memory is a vector's with enough capacity,
    /// whichever side created it.
    pub(super) fn insert(&mut self, at: usize, more: &[u8]) {
        assert!(at <= self.len, "there is no place {at} in {} bytes", self.len);
        // Only a former vector has a capacity.
        if self.capacity < self.len + more.len() {
            let mut whole = Vec::with_capacity(self.len + more.len());
            whole.extend_from_slice(&self.as_slice()[..at]);
            whole.extend_from_slice(more);
            whole.extend_from_slice(&self.as_slice()[at..]);
            *self = whole.into();
            return;
        }
        let start = self.owner.cast::<u8>();
        // SAFETY: `owner` is the start of a vector of `capacity` bytes, of which `len` are in use, and
        // no other reference exists: it was moved in here, and is borrowed exclusively.
        unsafe {
            std::ptr::copy(start.add(at), start.add(at + more.len()), self.len - at);
            std::ptr::copy_nonoverlapping(more.as_ptr(), start.add(at), more.len());
        }
        self.len += more.len();
    }

    /// The bytes, mutable, if they were a vector.
    pub(super) fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        // SAFETY: as in `insert`; the borrow ends before anything else is done with it.
        (self.capacity > 0)
            .then(|| unsafe { std::slice::from_raw_parts_mut(self.owner.cast::<u8>(), self.len) })
    }

    /// The bytes themselves.
    pub fn as_slice(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `ptr` and `len` describe memory that the owner keeps alive and unchanged until
        // `release` is called, which happens in `drop` alone.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

extern "C" fn release_bytes(owner: *mut (), _: usize) {
    // SAFETY: `owner` came from `Box::into_raw` in `From<Bytes>` and is released once.
    drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) });
}

extern "C" fn release_vec(owner: *mut (), capacity: usize) {
    // SAFETY: `owner` and `capacity` are those of the vector of `From<Vec<u8>>`, which is released
    // once. Its bytes need no drop.
    drop(unsafe { Vec::from_raw_parts(owner.cast::<u8>(), 0, capacity) });
}

impl From<Bytes> for FfiBytes {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::empty();
        }
        let (ptr, len) = (bytes.as_ptr(), bytes.len());
        // Moving a `Bytes` into a box does not move the memory it points to.
        let owner = Box::into_raw(Box::new(bytes)).cast::<()>();
        Self { ptr, len, owner, capacity: 0, release: Some(release_bytes) }
    }
}

/// Without a further allocation.
impl From<Vec<u8>> for FfiBytes {
    fn from(bytes: Vec<u8>) -> Self {
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        let (ptr, len, capacity) = (bytes.as_mut_ptr(), bytes.len(), bytes.capacity());
        Self { ptr, len, owner: ptr.cast(), capacity, release: Some(release_vec) }
    }
}

impl From<FfiBytes> for Bytes {
    fn from(bytes: FfiBytes) -> Self {
        if bytes.len == 0 { Self::new() } else { Self::from_owner(bytes) }
    }
}

impl AsRef<[u8]> for FfiBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Drop for FfiBytes {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release(self.owner, self.capacity);
        }
    }
}
