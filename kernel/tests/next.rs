//! A host whose plugin API has one field more in each type that crosses, with plugins built from the
//! API as it is.
#![allow(clippy::unwrap_used)]

mod server;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use server::{Place, Server, ask, binary};
use streamgate_plugin_api::abi::{API_MAJOR, API_MINOR};

/// Builds that host beside the one of this version: the same sources, with the feature `next`.
fn next_host() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let out = binary().parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).args([
            "build",
            "--offline",
            "--locked",
        ]);
        // With the workspace's test profile, so that nearly everything is built already.
        cargo.args(["--workspace", "--example", "streamgate_next", "--features", "streamgate-kernel/next"]);
        cargo.arg("--target-dir").arg(out.parent().unwrap());
        if out.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the next host builds");
        out.join("examples/streamgate_next")
    };
    BUILT.get_or_init(build).clone()
}

fn scene(isolation: &str) -> (Place, Server, String) {
    let mut place = Place::new(&format!(
        "[plugins.fixture-echo]\nisolation = \"{isolation}\"\ngreeting = \"hello\"\n\
         [plugins.fixture-caller]\n[plugins.fixture-gate]\nlisten = \"127.0.0.1:0\"\n"
    ));
    place.binary = next_host();
    let mut server = place.run(&[]);
    let address = server.wait_for("listening")["fields"]["address"].as_str().unwrap().to_owned();
    server.wait_for("ready");
    (place, server, address)
}

#[test]
fn a_plugin_of_the_api_before_loads_and_does_all_it_can_do_here_and_in_a_process_of_its_own() {
    for isolation in ["none", "process"] {
        let (place, mut server, address) = scene(isolation);
        let report = place.wait_for("plugins", |report| report["plugins"].to_string().contains("voice"));
        assert_eq!(report["kernel"]["api"], format!("{API_MAJOR}.{}", API_MINOR + 1), "{report:#}");
        let echo = report["plugins"].as_array().unwrap().iter().find(|it| it["name"] == "fixture-echo");
        assert_eq!(echo.unwrap()["status"], "healthy");
        let said = server.seen.iter().find(|record| record["message"] == "echo is there").unwrap();
        assert_eq!((&said["plugin"], &said["fields"]["count"]), (&"fixture-echo".into(), &1.into()));

        assert_eq!(ask(&address, "/echo/x", "you").body, "hello you");
        assert_eq!(ask(&address, "/caller/x", "").body, "it called");
        assert_eq!(ask(&address, "/echo/told", "").body, "it was told");
        let long = "long ".repeat(100_000);
        assert_eq!(ask(&address, "/echo/back", &long).body, long);
        assert_eq!(ask(&address, "/echo/x", "panic").status, 500);

        let file = place.dir.path().join("plugins.toml");
        let text = std::fs::read_to_string(&file).unwrap().replace("\"hello\"", "\"howdy\"");
        std::fs::write(file, text).unwrap();
        assert!(place.output(&["reload"]).status.success());
        assert_eq!(ask(&address, "/echo/x", "you").body, "howdy you");
        assert!(place.output(&["swap", "fixture-echo"]).status.success());
        assert_eq!(ask(&address, "/echo/x", "you").body, "howdy you");
        server.signal(rustix::process::Signal::TERM);
        assert_eq!(server.end(), Some(0));
    }
}
