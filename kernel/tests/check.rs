//! `streamgate check` finds every mistake, describes it for people, and changes nothing.
#![allow(clippy::unwrap_used)]

mod server;

use server::{Place, problems_of};
use streamgate_plugin_api::abi::{API_MAJOR, API_MINOR};

const ALL: &str = "[plugins.fixture-echo]\n[plugins.fixture-caller]\n[plugins.fixture-gate]\n";

#[test]
fn a_good_file_is_reported_with_the_start_order_and_nothing_is_written() {
    let place = Place::new(ALL);
    let output = place.output(&["check"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "plugins.toml: no problems; 3 plugins, in the order of their start: fixture-echo, fixture-caller, fixture-gate\n"
    );
    assert_eq!(output.status.code(), Some(0));
    let mut left: Vec<_> =
        std::fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["lib", "plugins.toml"]);
}

#[test]
fn every_kind_of_mistake_in_a_table_is_found_in_one_run() {
    let place = Place::new(
        r#"data_dri = "x"
log.level = "inof"
log.format = "xml"
stop_deadline = "soon"
ping_interval = -1

[plugins.fixture-echo]
greting = "hi"
greeting = "goodbye"
mode = "hang-in-stat"
count = 12
key = 12345
listen = true
enabled = "yes"
log = "loud"

[plugins.fixture-caler]

[plugins.fixture-gate]
plenty = 1
"#,
    );
    assert_eq!(
        place.problems(&[]),
        [
            "plugins.toml:3:1: kernel.data_dri = \"x\": unknown key; did you mean `data_dir`?",
            "plugins.toml:4:5: kernel.log.level = \"inof\": does not have the right form; examples: \"info\", \"warn,hyper=debug\"",
            "plugins.toml:5:5: kernel.log.format = \"xml\": must be one of \"auto\", \"pretty\", \"json\"",
            "plugins.toml:6:1: kernel.stop_deadline = \"soon\": does not have the right form; examples: \"500ms\", \"30s\", \"5m\", \"12h\", \"7d\"",
            "plugins.toml:7:1: kernel.ping_interval = -1: must be at least 0",
            "plugins.toml:10:1: plugins.fixture-echo.greting = \"hi\": unknown key; did you mean `greeting`?",
            "plugins.toml:11:1: plugins.fixture-echo.greeting = \"goodbye\": is no greeting; say hello",
            "plugins.toml:12:1: plugins.fixture-echo.mode = \"hang-in-stat\": must be one of \"well\", \"fail\", \"panic\", \"hang-in-start\", \"block-in-start\", \"hang-in-stop\", \"deaf\", \"sick\", \"slow\"; did you mean `hang-in-start`?",
            "plugins.toml:13:1: plugins.fixture-echo.count = 12: must be at most 9",
            "plugins.toml:14:1: plugins.fixture-echo.key = (secret): must be a string, not an integer",
            "plugins.toml:15:1: plugins.fixture-echo.listen = true: must be a string, not true or false",
            "plugins.toml:16:1: plugins.fixture-echo.enabled = \"yes\": must be true or false, not a string",
            "plugins.toml:17:1: plugins.fixture-echo.log = \"loud\": does not have the right form; examples: \"debug\", \"warn,hyper=debug\"",
            "plugins.toml:19:10: plugins.fixture-caler: unknown plugin: there is no libstreamgate_fixture_caler.so in lib; did you mean `fixture-caller`?",
            "plugins.toml:22:1: plugins.fixture-gate.plenty = 1: unknown key; valid keys: enabled, file, isolation, listen, log, process, required, sha256, start_deadline, stop_deadline",
        ]
    );
}

#[test]
fn a_mistake_in_the_environment_or_in_set_is_named_by_its_variable_or_key() {
    let place = Place::new(ALL);
    let args = ["check", "--set", "plugins.fixture-echo.count=many", "--set", "nonsense", "--set", "a..b=1"];
    let mut command = place.command(&args);
    command.env("STREAMGATE_PLUGINS__FIXTURE_ECHO__LISTEN", "[1]").env("STREAMGATE_KERNEL__", "1");
    assert_eq!(
        problems_of(&command.output().unwrap()),
        [
            "--set a..b: is not a dotted key: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`",
            "--set nonsense: has no value; write --set key=value",
            "--set plugins.fixture-echo.count: plugins.fixture-echo.count = \"many\": must be an integer, not a string",
            "STREAMGATE_KERNEL__: has an empty part between its double underscores",
            "STREAMGATE_PLUGINS__FIXTURE_ECHO__LISTEN: plugins.fixture-echo.listen = [1]: must be a string, not an array",
        ]
    );
}

#[test]
fn set_goes_over_the_environment_and_that_over_the_file() {
    let place = Place::new("[plugins.fixture-echo]\ncount = 99\n");
    let mut command = place.command(&["check", "--set", "plugins.fixture-echo.count=3"]);
    command.env("STREAMGATE_PLUGINS__FIXTURE_ECHO__COUNT", "many");
    // Kubernetes sets such variables for a service of our name.
    command.env("STREAMGATE_SERVICE_HOST", "10.0.0.1").env("STREAMGATE_PORT", "tcp://10.0.0.1:80");
    assert_eq!(command.output().unwrap().status.code(), Some(0));
}

#[test]
fn what_is_most_likely_not_meant_is_a_warning_and_no_problem() {
    let said = |place: &Place, variable: &str| {
        let output = place.command(&["check"]).env(variable, "0.0.0.0:80").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let place = Place::new(ALL);
    assert_eq!(said(&place, "STREAMGATE_SERVICE_HOST"), "");
    let text = said(&place, "STREAMGATE_PLUGINS_FIXTURE_GATE_LISTEN");
    assert!(text.starts_with("warning: STREAMGATE_PLUGINS_FIXTURE_GATE_LISTEN: sets nothing"), "{text}");
    let text = said(&Place::new("[plugins.fixture-echo]\n"), "OTHER");
    assert!(text.contains("warning: plugins.toml:3:") && text.contains("nothing lets requests in"), "{text}");
}

#[test]
fn a_missing_requirement_names_the_plugin_that_would_provide_it() {
    assert_eq!(
        Place::new("[plugins.fixture-caller]\n").problems(&[]),
        [
            "plugins.toml:3:10: plugins.fixture-caller: requires the capability `echo`, which no enabled plugin provides; add [plugins.fixture-echo], or enable it"
        ]
    );
    assert_eq!(
        Place::new(ALL).problems(&["--set", "plugins.fixture-echo.enabled=false"]),
        [
            "plugins.toml:4:10: plugins.fixture-caller: requires the capability `echo`, which no enabled plugin provides; add [plugins.fixture-echo], or enable it"
        ]
    );
}

/// Changes the manifest's text in place, keeping its length.
fn rewrite(from: &'static str, to: &'static str) -> impl FnOnce(&mut [u8]) {
    move |bytes| {
        let to = format!("{to:width$}", width = from.len());
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
}

#[test]
fn capabilities_and_prefixes_have_one_provider_and_dependencies_have_no_cycle() {
    let place = Place::new(ALL);
    place.patch("caller", |bytes| {
        rewrite("provides = ['calls', ]", "provides = ['echo']")(bytes);
        rewrite("requires = ['echo', ]", "requires = []")(bytes);
        rewrite("prefixes = ['/caller', ]", "prefixes = ['/echo']")(bytes);
    });
    assert_eq!(
        place.problems(&[]),
        [
            "plugins.toml:5:10: plugins.fixture-echo: provides `/echo`, and so does `fixture-caller`; disable one of them with enabled = false",
            "plugins.toml:5:10: plugins.fixture-echo: provides `echo`, and so does `fixture-caller`; disable one of them with enabled = false",
        ]
        .map(|text| text.replace(":5:", ":3:"))
    );
    let place = Place::new(ALL);
    place.patch("caller", rewrite("provides = ['calls', ]", "provides = ['talk']"));
    place.patch("echo", |bytes| {
        rewrite(
            "requires = []\nuses = []\nprefixes = ['/echo', ]",
            "requires = ['talk']\nuses = []\nprefixes = ['/']",
        )(bytes);
    });
    assert_eq!(
        place.problems(&[]),
        [
            "plugins.toml:4:10: plugins.fixture-caller: is part of a cycle: requires `fixture-echo`, which requires `fixture-caller`; none of them can start first"
        ]
    );
}

#[test]
fn two_settings_do_not_take_the_same_address() {
    assert_eq!(
        Place::new(
            "[plugins.fixture-echo]\nlisten = \"127.0.0.1:80\"\nadmin = [\"[::1]:81\", \"0.0.0.0:80\"]\n"
        )
        .problems(&[]),
        [
            "plugins.toml:4:1: plugins.fixture-echo.listen = \"127.0.0.1:80\": listens on 127.0.0.1:80, and plugins.fixture-echo.admin listens on 0.0.0.0:80; give one of them another port"
        ]
    );
}

/// The lines of the one problem with a refused fixture.
fn refusal(fixture: &str) -> Vec<String> {
    let place = Place::new(&format!("[plugins.fixture-{fixture}]\n"));
    place.link(fixture);
    let problems = place.problems(&[]);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    // Nothing runs with it, and other commands state why.
    let plugins = place.output(&["plugins"]);
    assert_eq!(plugins.status.code(), Some(3));
    let said = String::from_utf8(plugins.stderr).unwrap();
    assert!(said.contains("no streamgate runs") && said.contains(&problems[0]), "{said}");
    problems[0].lines().map(str::to_owned).collect()
}

#[test]
fn another_version_of_the_api_is_refused_with_both_sides_and_the_mend() {
    for (fixture, version) in
        [("older", (API_MAJOR - 1, API_MINOR + 9)), ("newer", (API_MAJOR, API_MINOR + 1))]
    {
        let lines = refusal(fixture);
        assert_eq!(
            lines[0],
            format!(
                "plugins.toml:3:10: plugins.fixture-{fixture}: was built for another version of the plugin API"
            )
        );
        let host = format!("  host     streamgate 0.1.0, plugin API {API_MAJOR}.{API_MINOR} (takes ");
        assert!(lines[1].starts_with(&host), "{lines:?}");
        assert_eq!(
            lines[2],
            format!(
                "  plugin   lib/libstreamgate_fixture_{fixture}.so, plugin API {}.{}",
                version.0, version.1
            )
        );
        assert!(lines[3].contains("cargo add streamgate-plugin-api@0.1.0"), "{lines:?}");
        assert_eq!(lines[3].contains("update streamgate"), fixture == "newer", "{lines:?}");
    }
}

#[test]
fn another_layout_of_the_same_version_is_refused_with_both_sides_the_mend_and_the_type() {
    let lines = refusal("layout");
    assert_eq!(
        lines[0],
        "plugins.toml:3:10: plugins.fixture-layout: its types that cross the boundary are laid out differently"
    );
    let host = format!("  host     streamgate 0.1.0, plugin API {API_MAJOR}.{API_MINOR} (takes ");
    assert!(lines[1].starts_with(&host), "{lines:?}");
    assert_eq!(
        lines[2],
        format!("  plugin   lib/libstreamgate_fixture_layout.so, plugin API {API_MAJOR}.{API_MINOR}")
    );
    assert!(lines[3].starts_with("  to mend  in the plugin's crate: cargo add streamgate-plugin-api@0.1.0 "));
    let detail: Vec<_> = lines[4..].iter().map(|line| line.trim()).collect();
    assert_eq!(
        detail,
        ["detail   Error:mismatched type", "Expected:", "PluginModule", "Found:", "OtherModule"]
    );
}

#[test]
fn an_invalid_plugin_is_refused_with_the_loaders_reason() {
    let place = Place::new(
        "[plugins.fixture-echo]\nfile = \"lib/text.so\"\n[plugins.fixture-gate]\nfile = \"libstreamgate_fixture_caller.so\"\n",
    );
    std::fs::write(place.dir.path().join("lib/text.so"), "text").unwrap();
    let problems = place.problems(&[]);
    assert!(problems[0].contains("file = \"lib/text.so\": lib/text.so cannot be loaded"), "{problems:?}");
    assert_eq!(
        problems[1],
        "plugins.toml:6:1: plugins.fixture-gate.file = \"libstreamgate_fixture_caller.so\": lib/libstreamgate_fixture_caller.so is not the plugin `fixture-gate`: it exports no `streamgate_plugin_fixture-gate`; set `file` to the right cdylib, or the table's name to the plugin's"
    );
}

#[test]
fn a_file_that_is_not_toml_or_not_there_is_named_with_its_place() {
    assert_eq!(
        Place::new("[a]\nb = \n").problems(&[]),
        ["plugins.toml:4:5: is not TOML: string values must be quoted, expected literal string"]
    );
    assert_eq!(
        Place::new("").problems(&["--config", "none.toml"]),
        [
            "none.toml: cannot be read: No such file or directory (os error 2); name another file with --config"
        ]
    );
}

#[test]
fn the_schema_of_the_file_has_every_plugin_and_key() {
    let output = Place::new("").output(&["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let echo = &schema["properties"]["plugins"]["properties"]["fixture-echo"]["properties"];
    assert_eq!(echo["greeting"]["default"], "hello");
    assert_eq!(echo["enabled"]["default"], true);
    assert_eq!(schema["properties"]["kernel"]["properties"]["data_dir"]["default"], "./data");
}

#[test]
fn a_library_that_crashes_when_it_is_loaded_is_a_report() {
    let place = Place::new("[plugins.fixture-crash]\n[plugins.fixture-echo]\n");
    place.link("crash");
    for (how, words) in [("abort", "SIGABRT"), ("segfault", "SIGSEGV"), ("exit", "exit status: 0")] {
        let output = place.command(&["check"]).env("CRASH", how).output().unwrap();
        let problems = server::problems_of(&output);
        assert_eq!(problems.len(), 1, "{problems:?}");
        let reason = "libstreamgate_fixture_crash.so is not loaded: a process that loads it ends at once: ";
        assert!(problems[0].contains(reason) && problems[0].contains(words), "{problems:?}");
    }
}

#[test]
fn a_library_that_is_tried_changes_nothing_when_it_is_loaded() {
    let place = Place::new("[plugins.fixture-crash]\n[plugins.fixture-echo]\n");
    place.link("crash");
    let mark = place.dir.path().join("mark");
    let output = place.command(&["check"]).env("CRASH", &mark).output().unwrap();
    let problems = server::problems_of(&output);
    assert!(problems[0].contains("it exports no `streamgate_"), "{problems:?}");
    assert!(!mark.exists());
}

#[test]
fn a_build_with_another_digest_is_refused() {
    let right = |place: &Place| {
        let report = place.run(&[]);
        let plugins = place.wait_for("plugins", |report| report["ready"] == true);
        drop(report);
        plugins["plugins"][0]["sha256"].as_str().unwrap().to_owned()
    };
    let digest = right(&Place::new("[plugins.fixture-echo]\n"));
    let place = Place::new("[plugins.fixture-echo]\n");
    let set = |digest: &str| format!("plugins.fixture-echo.sha256={digest}");
    assert_eq!(place.output(&["check", "--set", &set(&digest.to_uppercase())]).status.code(), Some(0));
    let wrong = "0".repeat(64);
    let problems = place.problems(&["--set", &set(&wrong)]);
    assert!(
        problems[0].contains(&format!("has the SHA-256 {digest}, and sha256 says {wrong}")),
        "{problems:?}"
    );
    let problems = place.problems(&["--set", &set("abc")]);
    assert!(problems[0].contains("plugins.fixture-echo.sha256 = \"abc\""), "{problems:?}");
}
