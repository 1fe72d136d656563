//! The web console: a page to upload, watch and manage contents, embedded in this library. It has no state:
//! everything the page does goes through the public HTTP API, which other clients can use as well.

mod assets;
mod routes;
mod settings;

use streamgate_plugin_api::{Host, Plugin, StartError, export_plugin};

use crate::settings::Settings;

struct Console;

impl Plugin for Console {
    type Settings = Settings;

    async fn start(host: Host, _: Settings) -> Result<Self, StartError> {
        host.serve(routes::router());
        host.health("page").healthy();
        Ok(Self)
    }
}

export_plugin! {
    Console {
        name: "console",
        description: "The web console",
        provides: ["console"],
        prefixes: ["/"],
    }
}
