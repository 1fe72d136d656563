use streamgate_plugin_api::export_plugin;

struct Mine;

export_plugin! {
    Mine { name: "mine" }
}

fn main() {}
