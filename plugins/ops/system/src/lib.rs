//! The system report over HTTP: which plugins there are, how each does, and why. It keeps nothing and
//! changes nothing; what it answers is what the host says at that moment.

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
