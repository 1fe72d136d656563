//! The exports of a plugin's cdylib: its entries, and one running instance.

use std::marker::PhantomData;

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::package_version_strings;
use abi_stable::prefix_type::WithMetadata;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RResult, RStr, RString};
use async_ffi::FfiFuture;

use super::{Extra, HostHandle};

/// The symbol of the library header, as abi_stable names it.
pub const ROOT_SYMBOL: &str = abi_stable::library::ROOT_MODULE_LOADER_NAME;

/// The arguments of a plugin's start.
#[repr(C)]
#[derive(StableAbi)]
pub struct StartArgs {
    /// Its own table of the configuration without the kernel's keys, as JSON text.
    pub settings: RString,
    /// The name of its table, and of its threads.
    pub name: RString,
    /// A directory for its data, which exists.
    pub data_dir: RString,
    /// Fields of later versions.
    pub extra: Extra,
}

/// A running plugin, or why it did not start.
pub type StartResult = RResult<Instance, RString>;

/// The entries of a plugin. New ones are appended; an older plugin does not have them.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef)))]
#[sabi(missing_field(option))]
pub struct PluginModule {
    /// The JSON Schema of the settings, as JSON text.
    pub settings_schema: extern "C" fn() -> RString,
    /// All problems of these settings (JSON text) beyond their schema, as a JSON array of `{"key",
    /// "message"}`. Starts nothing, writes nothing.
    pub check: extern "C" fn(RStr<'_>) -> RString,
    /// Starts the plugin.
    #[sabi(last_prefix_field)]
    pub start: extern "C" fn(HostHandle, StartArgs) -> FfiFuture<StartResult>,
    /// For the next version.
    #[cfg(feature = "next")]
    pub next: extern "C" fn() -> u64,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}
    const BASE_NAME: &'static str = "streamgate_plugin";
    const NAME: &'static str = "streamgate plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// A running plugin's side, which the SDK implements. No call may unwind.
pub trait InstanceApi: Send + Sync + 'static {
    /// Returns once the plugin's own runtime has run a task.
    fn ping(&self) -> FfiFuture<()>;
    /// Returns once all requests that came across have ended, bodies included.
    fn drain(&self) -> FfiFuture<()>;
    /// Passes changed settings (JSON text) to the running plugin. `false`: it has to be restarted with them.
    /// The error states why it refuses them.
    fn reconfigure(&self, settings: &str) -> FfiFuture<RResult<bool, RString>>;
    /// The plugin's own metrics, as OpenMetrics text without its end.
    fn metrics(&self) -> FfiFuture<RString>;
    /// Stops the plugin; a second call returns at once.
    fn stop(&self) -> FfiFuture<()>;
}

/// A running plugin. Dropping it without [`stop`](Self::stop) drops the plugin's value.
#[repr(C)]
#[derive(StableAbi)]
pub struct Instance {
    state: *const (),
    vtable: InstanceVtableRef,
}

/// New functions are appended; an older plugin does not have them.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = InstanceVtableRef)))]
#[sabi(missing_field(option))]
struct InstanceVtable {
    ping: extern "C" fn(*const ()) -> FfiFuture<()>,
    drain: extern "C" fn(*const ()) -> FfiFuture<()>,
    reconfigure: extern "C" fn(*const (), RStr<'_>) -> FfiFuture<RResult<bool, RString>>,
    metrics: extern "C" fn(*const ()) -> FfiFuture<RString>,
    stop: extern "C" fn(*const ()) -> FfiFuture<()>,
    #[sabi(last_prefix_field)]
    release: extern "C" fn(*const ()),
    #[cfg(feature = "next")]
    next: extern "C" fn() -> u64,
}

/// The table of one type.
struct TableOf<I>(PhantomData<I>);

impl<I: InstanceApi> TableOf<I> {
    const TABLE: &'static WithMetadata<InstanceVtable> = &WithMetadata::new(InstanceVtable {
        ping: ping::<I>,
        drain: drain::<I>,
        reconfigure: reconfigure::<I>,
        metrics: metrics::<I>,
        stop: stop::<I>,
        release: release::<I>,
        #[cfg(feature = "next")]
        next: super::next::entry,
    });
}

// SAFETY: `state` is a boxed `InstanceApi`, which is `Send + Sync`.
unsafe impl Send for Instance {}
// SAFETY: as above.
unsafe impl Sync for Instance {}

extern "C" fn ping<I: InstanceApi>(state: *const ()) -> FfiFuture<()> {
    // SAFETY: `state` is the boxed `I` of `Instance::new`, alive as long as the handle.
    unsafe { &*state.cast::<I>() }.ping()
}
extern "C" fn drain<I: InstanceApi>(state: *const ()) -> FfiFuture<()> {
    // SAFETY: as above.
    unsafe { &*state.cast::<I>() }.drain()
}
extern "C" fn reconfigure<I: InstanceApi>(
    state: *const (),
    settings: RStr<'_>,
) -> FfiFuture<RResult<bool, RString>> {
    // SAFETY: as above.
    unsafe { &*state.cast::<I>() }.reconfigure(settings.as_str())
}
extern "C" fn metrics<I: InstanceApi>(state: *const ()) -> FfiFuture<RString> {
    // SAFETY: as above.
    unsafe { &*state.cast::<I>() }.metrics()
}
extern "C" fn stop<I: InstanceApi>(state: *const ()) -> FfiFuture<()> {
    // SAFETY: as above.
    unsafe { &*state.cast::<I>() }.stop()
}
extern "C" fn release<I>(state: *const ()) {
    // SAFETY: `state` came from `Box::into_raw` in `Instance::new` and is released once.
    drop(unsafe { Box::from_raw(state.cast_mut().cast::<I>()) });
}

impl Instance {
    /// A handle to a running plugin.
    pub fn new<I: InstanceApi>(instance: I) -> Self {
        Self {
            state: Box::into_raw(Box::new(instance)).cast_const().cast(),
            vtable: InstanceVtableRef(TableOf::<I>::TABLE.static_as_prefix()),
        }
    }

    /// See [`InstanceApi::ping`].
    pub fn ping(&self) -> FfiFuture<()> {
        #[cfg(feature = "next")]
        super::next::check_entry(self.vtable.next());
        self.vtable.ping()(self.state)
    }

    /// See [`InstanceApi::drain`].
    pub fn drain(&self) -> FfiFuture<()> {
        self.vtable.drain()(self.state)
    }

    /// See [`InstanceApi::reconfigure`].
    pub fn reconfigure(&self, settings: &str) -> FfiFuture<RResult<bool, RString>> {
        self.vtable.reconfigure()(self.state, settings.into())
    }

    /// See [`InstanceApi::metrics`].
    pub fn metrics(&self) -> FfiFuture<RString> {
        self.vtable.metrics()(self.state)
    }

    /// See [`InstanceApi::stop`].
    pub fn stop(&self) -> FfiFuture<()> {
        self.vtable.stop()(self.state)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.vtable.release()(self.state);
    }
}
