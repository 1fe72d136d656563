use streamgate_plugin_api::{Host, Plugin, StartError, export_plugin};

struct Mine;

impl Plugin for Mine {
    type Settings = ();
    async fn start(_: Host, (): ()) -> Result<Self, StartError> {
        Ok(Self)
    }
}

export_plugin! {
    Mine { name: "mine", prefix: ["/mine"] }
}

fn main() {}
