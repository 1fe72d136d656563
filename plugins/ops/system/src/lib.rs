//! The system report over HTTP: the plugins, their state and the reasons. It keeps and changes nothing; it
//! returns the host's current report.

mod routes;
mod settings;

use streamgate_plugin_api::{Host, Plugin, StartError, export_plugin};

use crate::settings::Settings;

struct System;

impl Plugin for System {
    type Settings = Settings;

    async fn start(host: Host, _: Settings) -> Result<Self, StartError> {
        let reporter = host.clone();
        host.serve(routes::router(move || reporter.report()));
        host.health("report").healthy();
        Ok(Self)
    }
}

export_plugin! {
    System {
        name: "system",
        description: "The system report: plugins and their health",
        prefixes: ["/api/v1/system"],
    }
}
