//! The web console: a page to upload, watch and look after contents, embedded in this library, and
//! the system report that it shows. It keeps nothing: everything the page does goes through the
//! public HTTP API, which any other client can use as well.

mod assets;
mod routes;
mod settings;

use streamgate_plugin_api::{Host, Plugin, StartError, export_plugin};

use crate::settings::Settings;

struct Console;

impl Plugin for Console {
    type Settings = Settings;

    async fn start(host: Host, _: Settings) -> Result<Self, StartError> {
        let reporter = host.clone();
        host.serve(routes::router(move || reporter.report()));
        host.health("page").healthy();
        Ok(Self)
    }
}

export_plugin! {
    Console {
        name: "console",
        description: "The web console and the system report",
        provides: ["console"],
        prefixes: ["/", "/api/v1/system"],
    }
}
