//! `streamgate metrics` prints the metrics of the host and its plugins, wherever a plugin runs.
#![allow(clippy::unwrap_used)]

mod server;

use server::{Place, ask};

fn printed(place: &Place, args: &[&str]) -> Vec<String> {
    let output = place.output(&[&["metrics"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn figures_of_the_host_and_of_plugins_are_printed_from_this_process_and_from_others() {
    for isolation in ["none", "process"] {
        let place = Place::new(&format!(
            "[plugins.fixture-echo]\nisolation = \"{isolation}\"\n\
             [plugins.fixture-caller]\n[plugins.fixture-gate]\nlisten = \"127.0.0.1:0\"\n"
        ));
        let mut server = place.run(&[]);
        let address = server.wait_for("listening")["fields"]["address"].as_str().unwrap().to_owned();
        server.wait_for("ready");
        // The ingress and the caller have made calls before; only the increase is checked.
        let echoes = |lines: &[String]| -> u64 {
            let value = lines.iter().find_map(|line| line.strip_prefix("fixture_echo_echoes_total "));
            value.unwrap_or_else(|| panic!("no echoes in {lines:#?}")).parse().unwrap()
        };
        let before = echoes(&printed(&place, &[]));
        for _ in 0..3 {
            assert_eq!(ask(&address, "/echo/x", "you").body, "hello you");
        }
        let all = printed(&place, &[]);
        assert_eq!(echoes(&all), before + 3, "{isolation}");
        for line in [
            "streamgate_plugin_up{plugin=\"fixture-echo\"} 1",
            "streamgate_plugin_up{plugin=\"fixture-gate\"} 1",
        ] {
            assert!(all.iter().any(|found| found == line), "{line} is not in {all:#?}");
        }
        assert_eq!(all.last().unwrap(), "# EOF");
        assert_eq!(all.iter().filter(|line| *line == "# EOF").count(), 1);

        let one = printed(&place, &["fixture-gate"]);
        assert!(one.iter().any(|line| line.contains("fixture-gate")), "{one:#?}");
        assert!(!one.iter().any(|line| line.contains("echo")), "{one:#?}");
        let none = place.output(&["metrics", "fixture gate"]);
        assert_eq!(none.status.code(), Some(1), "{none:?}");
        assert!(String::from_utf8_lossy(&none.stdout).contains("there is no plugin"), "{none:?}");
    }
}
