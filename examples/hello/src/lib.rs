//! Greets the configured name, at `/hello`.

use axum::{Router, routing::get};
use schemars::JsonSchema;
use serde::Deserialize;
use streamgate_plugin_api::{Host, Plugin, StartError, export_plugin};

/// The settings under `[plugins.hello]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Whom to greet.
    name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { name: "world".into() }
    }
}

struct Hello;

impl Plugin for Hello {
    type Settings = Settings;

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let greeting = format!("Hello, {}!", settings.name);
        host.serve(Router::new().route("/hello", get(move || async move { greeting })));
        host.health("greeting").healthy();
        Ok(Self)
    }
}

export_plugin! {
    Hello { name: "hello", description: "Greets", prefixes: ["/hello"] }
}
