//! What a StreamGate plugin links: write a type with settings, implement [`Plugin`] for it, and
//! name it in [`export_plugin!`].
//!
//! ```
//! use axum::{Router, routing::get};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use streamgate_plugin_api::{Host, Plugin, StartError, export_plugin};
//!
//! /// The settings under `[plugins.hello]`.
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! struct Settings {
//!     /// Whom to greet.
//!     name: String,
//! }
//!
//! impl Default for Settings {
//!     fn default() -> Self {
//!         Self { name: "world".into() }
//!     }
//! }
//!
//! struct Hello;
//!
//! impl Plugin for Hello {
//!     type Settings = Settings;
//!
//!     async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
//!         let greeting = format!("Hello, {}!", settings.name);
//!         host.serve(Router::new().route("/hello", get(move || async move { greeting })));
//!         tracing::info!("ready to greet");
//!         Ok(Self)
//!     }
//! }
//!
//! export_plugin! {
//!     Hello { name: "hello", description: "Greets", prefixes: ["/hello"] }
//! }
//! # fn main() {}
//! ```
//!
//! Two verbs cross between plugins: **requests** ([`Host::serve`], [`Host::provide`], [`Host::service`]) and
//! **events** ([`Host::publish`], [`Host::subscribe`]). Plugin code is the same whether the other side is in
//! this process, in a child process or on another node.

pub mod abi;
pub mod address;
pub mod backoff;
mod body;
pub mod caller;
pub mod changes;
mod client;
pub mod command;
pub mod conditional;
pub mod cors;
pub mod deadline;
pub mod dirs;
#[doc(hidden)]
pub mod drain;
mod event;
mod failpoint;
pub mod fair;
pub mod flight;
#[doc(hidden)]
pub mod fuzz;
pub mod grants;
mod grpc;
mod guard;
mod host;
mod log;
#[doc(hidden)]
pub mod manifest;
pub mod metrics;
mod panics;
mod plugin;
pub mod principal;
mod problem;
pub mod problems;
pub mod process;
pub mod range;
pub mod refusal;
mod request;
pub mod runtime;
pub mod secret;
pub mod settings;
pub mod slots;
pub mod tempo;
pub mod time;
pub mod trace;
pub mod upgrade;

use std::sync::OnceLock;

pub use self::body::{Body, BodyError, BoxError};
pub use self::client::{Client, ClientError, HttpService, ResponseFuture};
pub use self::event::{BusError, Event, SubscribeOptions, Subscription};
#[doc(hidden)]
pub use self::failpoint::failpoint;
pub use self::host::{Health, HealthState, Host, Mount, Mounts};
pub use self::manifest::Manifest;
pub use self::plugin::{Plugin, StartError};
pub use self::principal::Principal;
pub use self::problem::Problem;
pub use self::request::read;
pub use self::settings::SettingsProblem;

/// For [`export_plugin!`] alone.
#[doc(hidden)]
pub mod __private {
    pub use crate::plugin::module;
    pub use abi_stable::library::{LibHeader, RootModuleResult};
}

static THREAD_NAME: OnceLock<String> = OnceLock::new();

/// Names the threads of this library's runtime after the plugin; the system keeps 15 bytes.
fn name_threads(plugin: &str) {
    let _ = THREAD_NAME.set(plugin.to_owned());
}

fn thread_name() -> &'static str {
    THREAD_NAME.get_or_init(|| "streamgate".to_owned())
}
