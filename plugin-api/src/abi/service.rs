//! A service: one function from a request to the future of a response.

use std::marker::PhantomData;
use std::sync::Arc;

use abi_stable::StableAbi;
use abi_stable::prefix_type::WithMetadata;
use async_ffi::FfiFuture;

use super::{Body, RequestHead, ResponseHead};

/// A request that crosses.
#[repr(C)]
#[derive(StableAbi)]
pub struct Request {
    /// Method, target and fields.
    pub head: RequestHead,
    /// The body, which may stream.
    pub body: Body,
}

/// A response that crosses.
#[repr(C)]
#[derive(StableAbi)]
pub struct Response {
    /// Status and fields.
    pub head: ResponseHead,
    /// The body, which may stream and end in trailers.
    pub body: Body,
}

/// Answers requests, on the providing side. It must not unwind; the SDK ensures that.
pub trait CallService: Send + Sync + 'static {
    /// Begins to answer. Only the returned future does any work.
    fn call(&self, request: Request) -> FfiFuture<Response>;
}

/// A shared handle to a service of either side. The function that every request calls is in the handle
/// itself, so that a call reads no table.
#[repr(C)]
#[derive(StableAbi)]
pub struct Service {
    state: *const (),
    call: extern "C" fn(*const (), Request) -> FfiFuture<Response>,
    vtable: ServiceVtableRef,
}

/// New functions are appended; a service of an older side does not have them.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ServiceVtableRef)))]
#[sabi(missing_field(option))]
struct ServiceVtable {
    retain: extern "C" fn(*const ()),
    #[sabi(last_prefix_field)]
    release: extern "C" fn(*const ()),
    #[cfg(feature = "next")]
    next: extern "C" fn() -> u64,
}

/// The table of one type.
struct TableOf<S>(PhantomData<S>);

impl<S: CallService> TableOf<S> {
    const TABLE: &'static WithMetadata<ServiceVtable> = &WithMetadata::new(ServiceVtable {
        retain: retain::<S>,
        release: release::<S>,
        #[cfg(feature = "next")]
        next: super::next::entry,
    });
}

// SAFETY: `state` is an `Arc` of a `CallService`, which is `Send + Sync`.
unsafe impl Send for Service {}
// SAFETY: as above.
unsafe impl Sync for Service {}

extern "C" fn call<S: CallService>(state: *const (), request: Request) -> FfiFuture<Response> {
    // SAFETY: `state` is the `Arc<S>` of `Service::new`, alive as long as the handle.
    unsafe { &*state.cast::<S>() }.call(request)
}

extern "C" fn retain<S>(state: *const ()) {
    // SAFETY: as in `call`; the handle being cloned keeps the count above zero.
    unsafe { Arc::increment_strong_count(state.cast::<S>()) };
}

extern "C" fn release<S>(state: *const ()) {
    // SAFETY: each handle releases the one count that it holds.
    unsafe { Arc::decrement_strong_count(state.cast::<S>()) };
}

impl Service {
    /// A handle to `service`.
    pub fn new<S: CallService>(service: S) -> Self {
        Self {
            state: Arc::into_raw(Arc::new(service)).cast(),
            call: call::<S>,
            vtable: ServiceVtableRef(TableOf::<S>::TABLE.static_as_prefix()),
        }
    }

    /// Begins to answer a request.
    pub fn call(&self, request: Request) -> FfiFuture<Response> {
        #[cfg(feature = "next")]
        super::next::check_entry(self.vtable.next());
        (self.call)(self.state, request)
    }
}

impl Clone for Service {
    fn clone(&self) -> Self {
        self.vtable.retain()(self.state);
        Self { state: self.state, call: self.call, vtable: self.vtable }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.vtable.release()(self.state);
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("state", &self.state).finish_non_exhaustive()
    }
}
