//! The trait of a plugin, and the entries that the host calls.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use abi_stable::std_types::{RResult, RStr, RString};
use async_ffi::{FfiFuture, FutureExt};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::guard::{self, Guarded};
use crate::runtime::Life;
use crate::settings::SettingsProblem;
use crate::{Host, abi, panics};

/// A plugin: what [`export_plugin!`](crate::export_plugin) exports.
///
/// The host calls `check` any number of times, then `start`; after that `stop` once. It may then start the
/// plugin again in the same process, with other settings.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a plugin",
    label = "`Plugin` is not implemented for this type",
    note = "export_plugin! takes the type that implements `streamgate_plugin_api::Plugin`"
)]
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The plugin's table of the configuration, without the keys of the kernel. Put
    /// `#[serde(deny_unknown_fields, default)]` on it; doc comments become descriptions of the schema.
    type Settings: DeserializeOwned + JsonSchema + Send + 'static;

    /// All problems of settings whose types are right. It must start nothing, write nothing and open no
    /// connection: `streamgate check` calls it.
    fn check(settings: &Self::Settings) -> Vec<SettingsProblem> {
        let _ = settings;
        Vec::new()
    }

    /// Starts the plugin and returns when it is ready for requests. Long preparations belong in a task, with
    /// a health component that shows them: the host has a deadline.
    ///
    /// # Errors
    /// A reason for the operator. What was begun must be undone by drops.
    fn start(host: Host, settings: Self::Settings) -> impl Future<Output = Result<Self, StartError>> + Send;

    /// Applies changed settings while running, all of them or none. `false`, the default, means that it
    /// cannot: then the host starts the plugin with them beside the running one, and moves everything over.
    ///
    /// # Errors
    /// Why these settings are refused; the plugin continues with the current ones.
    fn reconfigure(&self, settings: Self::Settings) -> impl Future<Output = Result<bool, StartError>> + Send {
        drop(settings);
        async { Ok(false) }
    }

    /// Another run has taken over: accept nothing new, and return when the work in progress here has ended.
    /// The host waits for it, and for all requests that came over the boundary, up to
    /// `kernel.drain_deadline`; then it calls `stop`. Only a plugin with its own connections or work needs
    /// it; [`Host::draining`] is cancelled before.
    fn drain(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Ends the work in progress cleanly. [`Host::shutdown`] is cancelled before; no request comes after;
    /// past the host's deadline the rest is dropped.
    fn stop(self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Why a plugin did not start. Any error becomes one with `?`.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    /// A reason as text.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for StartError {
    fn from(error: E) -> Self {
        Self(crate::body::describe(Box::new(error)))
    }
}

/// The entries of `P`, for the macro.
pub fn module<P: Plugin>() -> abi::PluginModuleRef {
    use abi_stable::prefix_type::PrefixTypeTrait;
    abi::PluginModule {
        settings_schema: settings_schema::<P>,
        check: check::<P>,
        start: start::<P>,
        #[cfg(feature = "next")]
        next: abi::next::entry,
    }
    .leak_into_prefix()
}

extern "C" fn settings_schema<P: Plugin>() -> RString {
    let schema = guard::run(None, || {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<P::Settings>();
        serde_json::to_string(&schema).unwrap_or_default()
    });
    schema.unwrap_or_default().into()
}

extern "C" fn check<P: Plugin>(settings: RStr<'_>) -> RString {
    let problems = guard::run(None, || match parse::<P::Settings>(settings.as_str()) {
        Ok(settings) => P::check(&settings),
        Err(problem) => vec![problem],
    });
    let problems = problems.unwrap_or_else(|panic| {
        vec![SettingsProblem::new("", format!("the plugin panicked while it checked its settings: {panic}"))]
    });
    serde_json::to_string(&problems).unwrap_or_default().into()
}

fn parse<S: DeserializeOwned>(json: &str) -> Result<S, SettingsProblem> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let key = if path == "." { String::new() } else { path };
        // Lines and columns of the JSON in between are meaningless to people.
        let text = error.into_inner().to_string();
        let message = text.split(" at line ").next().unwrap_or_default().to_owned();
        SettingsProblem::new(key, message)
    })
}

extern "C" fn start<P: Plugin>(handle: abi::HostHandle, args: abi::StartArgs) -> FfiFuture<abi::StartResult> {
    crate::name_threads(args.name.as_str());
    panics::report();
    let (life, runtime) = match Life::begin(handle.clone()) {
        Ok(begun) => begun,
        Err(error) => {
            let reason = RString::from(format!("its threads could not be started: {error}"));
            return std::future::ready(RResult::RErr(reason)).into_ffi();
        }
    };
    let host = Host::new(handle, args.name.into(), PathBuf::from(args.data_dir.as_str()), runtime);
    let started = async move {
        let settings = match settings::<P>(args.settings.as_str()) {
            Ok(settings) => settings,
            Err(reason) => return RResult::RErr(reason),
        };
        match P::start(host.clone(), settings).await {
            Ok(plugin) => {
                let plugin = Arc::new(Mutex::new(Some(plugin)));
                RResult::ROk(abi::Instance::new(Running { plugin, host, _life: life }))
            }
            Err(error) => {
                host.shutdown().cancel();
                RResult::RErr(error.0.into())
            }
        }
    };
    Guarded::new(None, started, |panic| RResult::RErr(format!("it panicked: {panic}").into())).into_ffi()
}

fn settings<P: Plugin>(json: &str) -> Result<P::Settings, RString> {
    parse(json).map_err(|problem| problem.to_string().into())
}

/// One started plugin; the value is dropped once it has been stopped.
struct Running<P: Plugin> {
    plugin: Arc<Mutex<Option<P>>>,
    host: Host,
    _life: Life,
}

impl<P: Plugin> abi::InstanceApi for Running<P> {
    fn ping(&self) -> FfiFuture<()> {
        let pong = self.host.runtime().spawn(async {});
        Guarded::new(
            None,
            async move {
                let _ = pong.await;
            },
            |_| (),
        )
        .into_ffi()
    }

    fn drain(&self) -> FfiFuture<()> {
        let (plugin, host) = (Arc::clone(&self.plugin), self.host.clone());
        let drained = async move {
            host.draining().cancel();
            // The plugin is released when it is to be stopped.
            let shutdown = host.shutdown();
            let own = async {
                if let Some(plugin) = &*plugin.lock().await {
                    plugin.drain().await;
                }
            };
            shutdown.run_until_cancelled(own).await;
            host.requests().idle().await;
        };
        Guarded::new(None, drained, |_| ()).into_ffi()
    }

    fn reconfigure(&self, json: &str) -> FfiFuture<RResult<bool, RString>> {
        let (settings, plugin) = (settings::<P>(json), Arc::clone(&self.plugin));
        let taken = async move {
            let settings = match settings {
                Ok(settings) => settings,
                Err(reason) => return RResult::RErr(reason),
            };
            // Held while the plugin decides, so that it is not stopped meanwhile.
            match &*plugin.lock().await {
                Some(plugin) => plugin.reconfigure(settings).await.map_err(|error| error.0.into()).into(),
                None => RResult::ROk(false),
            }
        };
        Guarded::new(None, taken, |panic| RResult::RErr(format!("it panicked: {panic}").into())).into_ffi()
    }

    fn metrics(&self) -> FfiFuture<RString> {
        let host = self.host.clone();
        let text = async move { host.metrics().text().into() };
        Guarded::new(None, text, |_| RString::new()).into_ffi()
    }

    fn stop(&self) -> FfiFuture<()> {
        let (plugin, shutdown) = (Arc::clone(&self.plugin), self.host.shutdown());
        let stopped = async move {
            shutdown.cancel();
            let plugin = plugin.lock().await.take();
            if let Some(plugin) = plugin {
                plugin.stop().await;
            }
        };
        Guarded::new(
            None,
            stopped,
            |message| tracing::error!(%message, "the plugin panicked while it stopped"),
        )
        .into_ffi()
    }
}

impl<P: Plugin> Drop for Running<P> {
    fn drop(&mut self) {
        self.host.shutdown().cancel();
        guard::drop_inside(None, std::mem::take(&mut self.plugin));
    }
}
