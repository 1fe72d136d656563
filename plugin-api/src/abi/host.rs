//! The functions of the host for plugins.

use std::sync::Arc;

use abi_stable::StableAbi;
use abi_stable::prefix_type::WithMetadata;
use abi_stable::std_types::{RResult, RStr, RString, RVec};
use async_ffi::FfiFuture;

use super::{Event, Extra, Service, SubscribeOptions, Subscription};

/// The state of one component of a plugin.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthState {
    /// It works as intended.
    Healthy,
    /// It works with problems; an operator should look.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// It crosses as a number, because an enum could not gain variants. A state unknown to this side is treated
/// as degraded.
impl From<u8> for HealthState {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Healthy,
            2 => Self::Unhealthy,
            _ => Self::Degraded,
        }
    }
}

/// One field of a log record. It has no extension: a value may be any JSON, and additions for all of them go
/// into the record's `extra`.
#[repr(C)]
#[derive(StableAbi)]
pub struct LogField<'a> {
    /// Its name, with dots as the author wrote it.
    pub name: RStr<'a>,
    /// Its value as JSON text.
    pub value: RStr<'a>,
}

/// One log record, formatted only after [`HostApi::log_enabled`] returned true.
#[repr(C)]
#[derive(StableAbi)]
pub struct LogRecord<'a> {
    /// 1 error, 2 warn, 3 info, 4 debug, 5 trace.
    pub level: u8,
    /// The module that logs.
    pub target: RStr<'a>,
    /// The message.
    pub message: RStr<'a>,
    /// The other fields, in the order of the source; those of enclosing spans come first.
    pub fields: RVec<LogField<'a>>,
    /// W3C Trace Context of the request being handled; empty for none.
    pub trace_id: RStr<'a>,
    /// See `trace_id`.
    pub span_id: RStr<'a>,
    /// Fields of later versions.
    pub extra: Extra,
}

/// One public prefix and its service.
#[repr(C)]
#[derive(StableAbi)]
pub struct Mount {
    /// The plugin that declared it.
    pub plugin: RString,
    /// The path prefix, such as `/files`; `/` matches what no other prefix does.
    pub prefix: RString,
    /// The service.
    pub service: Service,
    /// Fields of later versions.
    pub extra: Extra,
}

/// All current public prefixes.
#[repr(C)]
#[derive(StableAbi)]
pub struct Mounts {
    /// Grows with every change.
    pub generation: u64,
    /// In no particular order.
    pub mounts: RVec<Mount>,
    /// Fields of later versions.
    pub extra: Extra,
}

/// The host's side of the boundary, one value per running plugin. No call may block or unwind.
pub trait HostApi: Send + Sync + 'static {
    /// Whether a record of this level (1 error to 5 trace) and target would be written.
    fn log_enabled(&self, level: u8, target: &str) -> bool;
    /// Writes a record to the one stream.
    fn log(&self, record: &LogRecord<'_>);
    /// Sets the service of the manifest's public prefixes.
    fn serve(&self, service: Service);
    /// Provides an internal service. The error states why it was refused.
    fn provide(&self, name: &str, service: Service) -> Result<(), String>;
    /// A handle to the internal service of this name, whichever plugin provides it now or later.
    fn service(&self, name: &str) -> Service;
    /// The public prefixes, as soon as their generation is greater than `after`, which is the one that the
    /// caller uses by then.
    fn next_mounts(&self, after: u64) -> FfiFuture<Mounts>;
    /// Publishes an event; waits while a subscription is full.
    fn publish(&self, event: Event) -> FfiFuture<RResult<(), RString>>;
    /// Subscribes to a subject. The error states what is wrong with the request.
    fn subscribe(&self, options: SubscribeOptions) -> Result<Subscription, String>;
    /// Sets the state of a component; the reason is for people, and empty when healthy.
    fn set_health(&self, component: &str, state: HealthState, reason: &str);
    /// Kernel, plugins and health as JSON text.
    fn report(&self) -> String;
    /// A panic happened somewhere in the plugin: its message and `file:line:column`.
    fn panicked(&self, message: &str, location: &str);
    /// The same for a panic in a request handler, which the request is answered with: nothing else of the
    /// plugin has ended.
    fn panicked_in_request(&self, message: &str, location: &str) {
        self.panicked(message, location);
    }
}

/// A shared handle to a [`HostApi`], as passed to a plugin.
#[repr(C)]
#[derive(StableAbi)]
pub struct HostHandle {
    state: *const (),
    vtable: HostVtableRef,
}

// SAFETY: `state` is an `Arc<dyn HostApi>` in a box of its own, and `HostApi` is `Send + Sync`.
unsafe impl Send for HostHandle {}
// SAFETY: as above.
unsafe impl Sync for HostHandle {}

/// New functions are appended; an older host does not have them.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostVtableRef)))]
#[sabi(missing_field(option))]
struct HostVtable {
    retain: extern "C" fn(*const ()),
    release: extern "C" fn(*const ()),
    log_enabled: extern "C" fn(*const (), u8, RStr<'_>) -> bool,
    log: extern "C" fn(*const (), &LogRecord<'_>),
    serve: extern "C" fn(*const (), Service),
    provide: extern "C" fn(*const (), RStr<'_>, Service) -> RResult<(), RString>,
    service: extern "C" fn(*const (), RStr<'_>) -> Service,
    next_mounts: extern "C" fn(*const (), u64) -> FfiFuture<Mounts>,
    publish: extern "C" fn(*const (), Event) -> FfiFuture<RResult<(), RString>>,
    subscribe: extern "C" fn(*const (), SubscribeOptions) -> RResult<Subscription, RString>,
    set_health: extern "C" fn(*const (), RStr<'_>, u8, RStr<'_>),
    report: extern "C" fn(*const ()) -> RString,
    panicked: extern "C" fn(*const (), RStr<'_>, RStr<'_>),
    #[sabi(last_prefix_field)]
    panicked_in_request: extern "C" fn(*const (), RStr<'_>, RStr<'_>),
    #[cfg(feature = "next")]
    next: extern "C" fn() -> u64,
}

/// What `state` points to: one more indirection, so that a thin pointer crosses.
type State = Box<dyn HostApi>;

fn api<'a>(state: *const ()) -> &'a dyn HostApi {
    // SAFETY: `state` is the `Arc<State>` of `HostHandle::new`, alive as long as the handle whose
    // call this is; the reference does not outlive that call.
    unsafe { &**state.cast::<State>() }
}

extern "C" fn retain(state: *const ()) {
    // SAFETY: the handle being cloned keeps the count above zero.
    unsafe { Arc::increment_strong_count(state.cast::<State>()) };
}
extern "C" fn release(state: *const ()) {
    // SAFETY: each handle releases the one count that it holds.
    unsafe { Arc::decrement_strong_count(state.cast::<State>()) };
}
extern "C" fn log_enabled(state: *const (), level: u8, target: RStr<'_>) -> bool {
    api(state).log_enabled(level, target.as_str())
}
extern "C" fn log(state: *const (), record: &LogRecord<'_>) {
    #[cfg(feature = "next")]
    super::next::check(&record.extra);
    api(state).log(record);
}
extern "C" fn serve(state: *const (), service: Service) {
    api(state).serve(service);
}
extern "C" fn provide(state: *const (), name: RStr<'_>, service: Service) -> RResult<(), RString> {
    api(state).provide(name.as_str(), service).map_err(RString::from).into()
}
extern "C" fn service(state: *const (), name: RStr<'_>) -> Service {
    api(state).service(name.as_str())
}
extern "C" fn next_mounts(state: *const (), after: u64) -> FfiFuture<Mounts> {
    api(state).next_mounts(after)
}
extern "C" fn publish(state: *const (), event: Event) -> FfiFuture<RResult<(), RString>> {
    #[cfg(feature = "next")]
    super::next::check(&event.extra);
    api(state).publish(event)
}
extern "C" fn subscribe(state: *const (), options: SubscribeOptions) -> RResult<Subscription, RString> {
    #[cfg(feature = "next")]
    super::next::check(&options.extra);
    api(state).subscribe(options).map_err(RString::from).into()
}
extern "C" fn set_health(state: *const (), component: RStr<'_>, health: u8, reason: RStr<'_>) {
    api(state).set_health(component.as_str(), health.into(), reason.as_str());
}
extern "C" fn report(state: *const ()) -> RString {
    api(state).report().into()
}
extern "C" fn panicked(state: *const (), message: RStr<'_>, location: RStr<'_>) {
    api(state).panicked(message.as_str(), location.as_str());
}
extern "C" fn panicked_in_request(state: *const (), message: RStr<'_>, location: RStr<'_>) {
    api(state).panicked_in_request(message.as_str(), location.as_str());
}

const VTABLE: HostVtable = HostVtable {
    retain,
    release,
    log_enabled,
    log,
    serve,
    provide,
    service,
    next_mounts,
    publish,
    subscribe,
    set_health,
    report,
    panicked,
    panicked_in_request,
    #[cfg(feature = "next")]
    next: super::next::entry,
};

const VTABLE_WITH_METADATA: &WithMetadata<HostVtable> = &WithMetadata::new(VTABLE);
const VTABLE_REF: HostVtableRef = HostVtableRef(VTABLE_WITH_METADATA.static_as_prefix());

impl HostHandle {
    /// A handle to the host's side.
    pub fn new(api: impl HostApi) -> Self {
        let state: State = Box::new(api);
        Self { state: Arc::into_raw(Arc::new(state)).cast(), vtable: VTABLE_REF }
    }

    /// See [`HostApi::log_enabled`].
    pub fn log_enabled(&self, level: u8, target: &str) -> bool {
        #[cfg(feature = "next")]
        super::next::check_entry(self.vtable.next());
        self.vtable.log_enabled()(self.state, level, target.into())
    }
    /// See [`HostApi::log`].
    pub fn log(&self, record: &LogRecord<'_>) {
        self.vtable.log()(self.state, record);
    }
    /// See [`HostApi::serve`].
    pub fn serve(&self, service: Service) {
        self.vtable.serve()(self.state, service);
    }
    /// See [`HostApi::provide`].
    ///
    /// # Errors
    /// Why the host refused.
    pub fn provide(&self, name: &str, service: Service) -> Result<(), String> {
        self.vtable.provide()(self.state, name.into(), service).into_result().map_err(String::from)
    }
    /// See [`HostApi::service`].
    pub fn service(&self, name: &str) -> Service {
        self.vtable.service()(self.state, name.into())
    }
    /// See [`HostApi::next_mounts`].
    pub fn next_mounts(&self, after: u64) -> FfiFuture<Mounts> {
        self.vtable.next_mounts()(self.state, after)
    }
    /// See [`HostApi::publish`].
    pub fn publish(&self, event: Event) -> FfiFuture<RResult<(), RString>> {
        self.vtable.publish()(self.state, event)
    }
    /// See [`HostApi::subscribe`].
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn subscribe(&self, options: SubscribeOptions) -> Result<Subscription, String> {
        self.vtable.subscribe()(self.state, options).into_result().map_err(String::from)
    }
    /// See [`HostApi::set_health`].
    pub fn set_health(&self, component: &str, state: HealthState, reason: &str) {
        self.vtable.set_health()(self.state, component.into(), state as u8, reason.into());
    }
    /// See [`HostApi::report`].
    pub fn report(&self) -> String {
        self.vtable.report()(self.state).into()
    }
    /// See [`HostApi::panicked`].
    pub fn panicked(&self, message: &str, location: &str) {
        self.vtable.panicked()(self.state, message.into(), location.into());
    }
    /// See [`HostApi::panicked_in_request`].
    pub fn panicked_in_request(&self, message: &str, location: &str) {
        self.vtable.panicked_in_request()(self.state, message.into(), location.into());
    }
}

impl Clone for HostHandle {
    fn clone(&self) -> Self {
        self.vtable.retain()(self.state);
        Self { state: self.state, vtable: self.vtable }
    }
}

impl Drop for HostHandle {
    fn drop(&mut self) {
        self.vtable.release()(self.state);
    }
}
