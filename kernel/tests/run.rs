//! `streamgate run`: order, deadlines, health, signals, through the binary.
#![allow(clippy::unwrap_used)]

mod server;

use rustix::process::Signal;
use server::Place;

const ALL: &str = "[plugins.fixture-echo]\n[plugins.fixture-caller]\n[plugins.fixture-gate]\n";

fn plugin<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    report["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap()
}

#[test]
fn plugins_start_in_order_talk_and_stop_in_reverse() {
    let place = Place::new(ALL);
    let mut server = place.run(&[]);
    assert_eq!(server.wait_for("called")["fields"]["heard"], "hello world");
    assert_eq!(server.wait_for("ready")["fields"]["status"], "healthy");
    assert_eq!(server.plugins("plugin started"), ["fixture-echo", "fixture-caller", "fixture-gate"]);
    let mounted: Vec<_> = server.seen.iter().filter(|record| record["message"] == "mounted").collect();
    assert_eq!(mounted[0]["fields"], serde_json::json!({ "prefix": "/caller", "status": 200 }));
    assert_eq!(mounted[1]["fields"], serde_json::json!({ "prefix": "/echo", "status": 200 }));
    assert_eq!(mounted[1]["plugin"], "fixture-gate");

    assert_eq!(place.output(&["health"]).status.code(), Some(0));
    let table = String::from_utf8(place.output(&["plugins"]).stdout).unwrap();
    assert_eq!(
        table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["fixture-caller", "0.1.0", "running", "healthy", "calls", "/caller"]
    );
    let report = place.wait_for("plugins", |report| report["ready"] == true);
    assert_eq!(report["bus"]["published"], 1);
    assert_eq!(plugin(&report, "fixture-caller")["requires"], serde_json::json!(["echo"]));

    let second = place.output(&["run"]);
    assert_eq!(second.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&second.stderr).contains("data is in use by another streamgate"));

    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(0));
    assert_eq!(server.plugins("plugin stopped"), ["fixture-gate", "fixture-caller", "fixture-echo"]);
    assert_eq!(place.output(&["health"]).status.code(), Some(3));
}

#[test]
fn a_plugin_that_does_not_start_is_reported_and_takes_only_its_dependents_along() {
    for (mode, reason) in [
        ("fail", "the disk is on fire"),
        ("panic", "it panicked: echo panics on purpose"),
        ("hang-in-start", "it did not start within 100ms (start_deadline)"),
        ("block-in-start", "it blocks its thread and did not start within 100ms (start_deadline)"),
    ] {
        let place = Place::new(ALL);
        let mode = format!("plugins.fixture-echo.mode={mode}");
        let deadline = if reason.contains("100ms") { "100ms" } else { "1h" };
        let deadline = format!("plugins.fixture-echo.start_deadline={deadline}");
        let mut server = place.run(&["--set", &mode, "--set", &deadline]);
        server.wait_for("started, but some plugins are not healthy");
        let report = place.wait_for("plugins", |report| report["ready"] == true);
        let echo = plugin(&report, "fixture-echo");
        assert_eq!((&echo["state"], &echo["status"]), (&"failed".into(), &"unhealthy".into()));
        assert!(echo["reason"].as_str().unwrap().starts_with(reason), "{echo}");
        let caller = plugin(&report, "fixture-caller");
        assert_eq!(caller["state"], "blocked");
        let expected = format!("it requires `echo`, and fixture-echo does not run: {reason}");
        assert!(caller["reason"].as_str().unwrap().starts_with(&expected), "{caller}");
        assert_eq!(plugin(&report, "fixture-gate")["state"], "running");
        assert_eq!(report["status"], "degraded");
        assert_eq!(place.output(&["health"]).status.code(), Some(1));
        server.signal(Signal::TERM);
        assert_eq!(server.end(), Some(0));
    }
}

#[test]
fn the_process_ends_with_a_code_of_its_own_when_a_required_plugin_does_not_start() {
    let place = Place::new(ALL);
    let args = ["--set", "plugins.fixture-echo.mode=fail", "--set", "plugins.fixture-caller.required=true"];
    let mut server = place.run(&args);
    assert_eq!(server.end(), Some(4));
    let last = server.seen.iter().find(|record| record["message"] == "stopping").unwrap();
    assert!(
        last["fields"]["error"].as_str().unwrap().starts_with("fixture-caller is required and did not start")
    );
}

#[test]
fn a_plugin_that_no_longer_answers_becomes_unhealthy() {
    let place = Place::new(&format!("ping_interval = \"50ms\"\nping_deadline = \"100ms\"\n{ALL}"));
    let mut server = place.run(&[
        "--set",
        "plugins.fixture-echo.mode=deaf",
        "--set",
        "plugins.fixture-caller.enabled=false",
    ]);
    let report = place.wait_for("health", |report| {
        report["plugins"][0]["reason"].as_str().is_some_and(|r| r.starts_with("ping"))
    });
    assert_eq!(
        plugin(&report, "fixture-echo")["reason"],
        "ping: it does not answer within 100ms (kernel.ping_deadline)"
    );
    server.signal(Signal::TERM);
    server.wait_for("stopping; a second signal ends the process at once");
}

#[test]
fn the_reported_health_of_a_plugin_degrades_its_dependents_and_counts_if_it_is_required() {
    let place = Place::new(ALL);
    let mut server = place.run(&["--set", "plugins.fixture-echo.mode=sick"]);
    server.wait_for("started, but some plugins are not healthy");
    let report = place.wait_for("health", |report| report["ready"] == true);
    assert_eq!(report["status"], "degraded");
    assert_eq!(plugin(&report, "fixture-echo")["reason"], "voice: a sore throat");
    let caller = plugin(&report, "fixture-caller");
    assert_eq!(caller["status"], "degraded");
    assert_eq!(caller["reason"], "requirements: fixture-echo is unhealthy (voice: a sore throat)");
    assert_eq!(plugin(&report, "fixture-gate")["status"], "healthy");
    drop(server);

    let args = ["--set", "plugins.fixture-echo.mode=sick", "--set", "plugins.fixture-echo.required=true"];
    let _server = place.run(&args);
    let report = place.wait_for("health", |report| !report["plugins"][1]["components"].is_null());
    assert_eq!((&report["status"], &report["ready"]), (&"unhealthy".into(), &false.into()));
}

#[test]
fn a_subscriber_that_takes_nothing_is_degraded_with_its_subject() {
    let place = Place::new(ALL);
    let mut server = place.run(&["--set", "plugins.fixture-echo.mode=slow"]);
    server.wait_for("ready");
    let report = place.wait_for("health", |report| report["status"] == "degraded");
    assert_eq!(report["ready"], true);
    let echo = plugin(&report, "fixture-echo");
    assert_eq!(echo["status"], "degraded");
    assert_eq!(
        echo["reason"],
        "events: the subscription to flood.> is full (1 events); publishers waiting: 1"
    );
    assert_eq!(plugin(&report, "fixture-gate")["status"], "healthy");
}

#[test]
fn a_hangup_reloads_and_ends_nothing() {
    let place = Place::new(ALL);
    let mut server = place.run(&[]);
    server.wait_for("ready");
    server.signal(Signal::HUP);
    assert_eq!(server.wait_for("reloaded")["fields"]["steps"], "nothing differs");
    place.wait_for("health", |report| report["status"] == "healthy");
    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn stopping_has_a_deadline_for_each_plugin() {
    let place = Place::new(&format!("stop_deadline = \"100ms\"\n{ALL}"));
    let mut server = place.run(&["--set", "plugins.fixture-echo.mode=hang-in-stop"]);
    server.wait_for("ready");
    server.signal(Signal::INT);
    assert_eq!(server.end(), Some(0));
    assert_eq!(server.plugins("plugin stopped"), ["fixture-gate", "fixture-caller"]);
    assert_eq!(server.plugins("plugin did not stop"), ["fixture-echo"]);
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let place = Place::new(&format!("stop_deadline = \"1h\"\n{ALL}"));
    let mut server = place.run(&["--set", "plugins.fixture-echo.mode=hang-in-stop"]);
    server.wait_for("ready");
    server.signal(Signal::TERM);
    server.wait_for("stopping; a second signal ends the process at once");
    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(143));
}

#[test]
fn a_signal_before_all_have_started_stops_those_that_have() {
    let place = Place::new(ALL);
    let mut server =
        place.run(&["--set", "plugins.fixture-echo.mode=hang-in-start", "--set", "kernel.start_deadline=1s"]);
    place.wait_for("plugins", |report| report["kernel"]["phase"] == "starting");
    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(0));
    assert!(server.plugins("plugin started").is_empty());
}

#[test]
fn a_server_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let place = Place::new(ALL);
    let mut server = place.run(&[]);
    server.wait_for("ready");
    server.signal(Signal::KILL);
    assert_eq!(server.end(), None);
    assert_eq!(place.output(&["plugins"]).status.code(), Some(3));
    place.run(&[]).wait_for("ready");
}

#[test]
fn a_running_plugin_does_not_mind_that_its_file_is_overwritten() {
    let place = Place::new(ALL);
    place.patch("echo", |_| {});
    let mut server = place.run(&[]);
    server.wait_for("ready");
    std::fs::write(place.dir.path().join("lib/libstreamgate_fixture_echo.so"), "half a build").unwrap();
    place.wait_for("health", |report| report["status"] == "healthy");
    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(0));
    assert_eq!(server.plugins("plugin stopped").len(), 3);
}

#[test]
fn each_plugin_logs_at_its_own_level_and_no_setting_is_logged() {
    let place = Place::new(ALL);
    let args = ["--set", "plugins.fixture-echo.log=warn", "--set", "kernel.log.level=trace"];
    let mut server = place.run(&[&args[..], &["--set", "plugins.fixture-echo.key=hunter2"]].concat());
    server.wait_for("ready");
    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(0));
    assert!(server.seen.iter().any(|record| record["plugin"] == "fixture-caller"));
    assert!(server.seen.iter().all(|record| record["plugin"] != "fixture-echo"));
    assert!(server.seen.iter().all(|record| !record.to_string().contains("hunter2")));
}

#[test]
fn a_plugin_whose_first_start_fails_is_tried_again_and_what_waits_for_it_follows() {
    let place = Place::new(&format!("restart_pause = \"10ms\"\n{ALL}"));
    // The location of its data directory.
    let data = place.dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("fixture-echo"), "").unwrap();
    let mut server = place.run(&[]);
    server.wait_for("started, but some plugins are not healthy");
    let report = place.wait_for("plugins", |report| plugin(report, "fixture-echo")["state"] == "failed");
    assert_eq!(plugin(&report, "fixture-caller")["state"], "blocked");
    std::fs::remove_file(data.join("fixture-echo")).unwrap();
    place.wait_for("plugins", |report| report["status"] == "healthy");
    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn the_control_socket_answers_when_all_descriptors_are_taken() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let place = Place::new("[plugins.fixture-gate]\nlisten = \"127.0.0.1:0\"\n");
    let mut server = place.run(&[]);
    let address = server.wait_for("listening")["fields"]["address"].as_str().unwrap().to_owned();
    server.wait_for("ready");
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count() as u64;
    let highest = std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
    let highest = highest.filter_map(|it| it.unwrap().file_name().to_str()?.parse::<u64>().ok()).max();
    let limit = highest.unwrap() + 1;
    let pid = Pid::from_raw(server.id() as i32).unwrap();
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
    let mut taken = Vec::new();
    while open() < limit {
        taken.push(std::net::TcpStream::connect(&address).unwrap());
    }
    for _ in 0..3 {
        let health = place.output(&["health"]);
        assert_eq!(health.status.code(), Some(0), "{}", String::from_utf8_lossy(&health.stderr));
    }
    drop(taken);
    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(0));
}
