//! A plugin in its own process, through the binary: everything is the same, except that its crash does not
//! affect the others.
#![allow(clippy::unwrap_used)]

mod server;

use std::collections::BTreeSet;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use server::{Place, Server, ask};

struct Scene {
    place: Place,
    server: Server,
    address: String,
}

fn config(echo: &str) -> String {
    format!(
        "restart_budget = 1\nrestart_pause = \"10ms\"\n\
         [plugins.fixture-echo]\nisolation = \"process\"\n{echo}\n\
         [plugins.fixture-caller]\n[plugins.fixture-gate]\nlisten = \"127.0.0.1:0\"\n"
    )
}

fn scene(echo: &str) -> Scene {
    let place = Place::new(&config(echo));
    let mut server = place.run(&[]);
    let address = server.wait_for("listening")["fields"]["address"].as_str().unwrap().to_owned();
    server.wait_for("ready");
    Scene { place, server, address }
}

impl Scene {
    fn echo(&self, right: impl Fn(&Value) -> bool) -> Value {
        let echo = |report: &Value| {
            let plugins = report["plugins"].as_array()?;
            plugins.iter().find(|plugin| plugin["name"] == "fixture-echo").cloned()
        };
        let report = self.place.wait_for("plugins", |report| echo(report).is_some_and(|echo| right(&echo)));
        echo(&report).unwrap()
    }

    fn child(&self) -> Pid {
        let echo = self.echo(|echo| echo["process"].is_u64());
        Pid::from_raw(echo["process"].as_i64().unwrap() as i32).unwrap()
    }
}

fn lives(child: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_plugin_in_its_own_process_behaves_like_any_other() {
    let mut scene = scene("");
    let child = scene.child();
    assert!(lives(child));
    assert_eq!(ask(&scene.address, "/echo/x", "you").body, "hello you");
    // Another plugin calls it through the host.
    assert_eq!(ask(&scene.address, "/caller/x", "").body, "it called");
    let said = scene.server.seen.iter().find(|record| record["message"] == "echo is there").unwrap();
    assert_eq!((&said["plugin"], &said["fields"]["count"]), (&"fixture-echo".into(), &1.into()));
    let voice = scene.echo(|echo| echo["components"].to_string().contains("voice"));
    assert_eq!(voice["status"], "healthy");

    let text = format!("[kernel]\nplugin_dirs = [\"lib\"]\n{}", config("greeting = \"howdy\""));
    std::fs::write(scene.place.dir.path().join("plugins.toml"), text).unwrap();
    assert!(scene.place.output(&["reload"]).status.success());
    assert_eq!(ask(&scene.address, "/echo/x", "you").body, "howdy you");
    assert_eq!(scene.child(), child);
    assert!(scene.place.output(&["swap", "fixture-echo"]).status.success());
    assert_ne!(scene.child(), child);
    assert_eq!(ask(&scene.address, "/echo/x", "you").body, "howdy you");

    let last = scene.child();
    scene.server.signal(Signal::TERM);
    assert_eq!(scene.server.end(), Some(0));
    assert!(!lives(child) && !lives(last));
}

#[test]
fn a_child_that_dies_is_restarted_with_its_reason_shown_and_the_others_continue() {
    let mut scene = scene("");
    let first = scene.child();
    kill_process(first, Signal::SEGV).unwrap();
    let anew = scene.server.wait_for("plugin is restarted");
    let reason = anew["fields"]["reason"].as_str().unwrap();
    assert!(reason.contains("its process was killed by SIGSEGV"), "{reason}");
    let echo =
        scene.echo(|echo| echo["state"] == "running" && echo["process"] != first.as_raw_nonzero().get());
    assert_eq!(echo["status"], "degraded");
    assert!(echo["reason"].as_str().unwrap().contains("SIGSEGV"), "{echo}");
    assert_eq!(ask(&scene.address, "/echo/x", "you").body, "hello you");

    kill_process(scene.child(), Signal::KILL).unwrap();
    let echo = scene.echo(|echo| echo["state"] == "quarantined");
    assert!(echo["reason"].as_str().unwrap().contains("`streamgate restart fixture-echo`"), "{echo}");
    assert_eq!(ask(&scene.address, "/echo/x", "you").status, 503);
    assert_eq!(ask(&scene.address, "/caller/x", "").body, "it called");
    assert!(scene.place.output(&["restart", "fixture-echo"]).status.success());
    assert_eq!(ask(&scene.address, "/echo/x", "you").body, "hello you");
}

#[test]
fn a_child_goes_with_its_host_however_that_ends() {
    let mut scene = scene("");
    let child = scene.child();
    scene.server.signal(Signal::KILL);
    assert_eq!(scene.server.end(), None);
    let began = std::time::Instant::now();
    while lives(child) {
        assert!(began.elapsed().as_secs() < 20, "the child outlives its host");
        std::thread::yield_now();
    }
}

#[test]
fn a_plugin_that_does_not_start_in_its_process_is_reported_like_any_other() {
    let place = Place::new(&config("mode = \"fail\""));
    let mut server = place.run(&[]);
    let failed = server.wait_for("plugin did not start");
    assert_eq!(failed["fields"]["reason"], "the disk is on fire");
    let place = Place::new(&config("mode = \"hang-in-start\"\nstart_deadline = \"300ms\""));
    let mut server = place.run(&[]);
    let failed = server.wait_for("plugin did not start");
    let reason = failed["fields"]["reason"].as_str().unwrap();
    assert!(reason.contains("did not start within 300ms (start_deadline)"), "{reason}");
}

/// The cdylibs that a process has open: copies without a name.
fn opened(pid: u32) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let copies = maps.lines().filter(|line| line.contains(" r-xp ") && line.ends_with("(deleted)"));
    copies.filter_map(|line| line.split_whitespace().nth(4)).collect::<BTreeSet<_>>().len()
}

#[test]
fn the_host_does_not_open_what_runs_in_a_process_of_its_own() {
    let apart = scene("");
    assert_eq!(ask(&apart.address, "/echo/x", "you").body, "hello you");
    assert_eq!(opened(apart.server.id()), 2);
    let child = apart.child().as_raw_nonzero().get();
    assert_eq!(opened(child.try_into().unwrap()), 1);
    let text = format!("[kernel]\nplugin_dirs = [\"lib\"]\n{}", config("").replace("process", "none"));
    std::fs::write(apart.place.dir.path().join("plugins.toml"), text).unwrap();
    assert!(apart.place.output(&["reload"]).status.success());
    assert_eq!(ask(&apart.address, "/echo/x", "you").body, "hello you");
    assert_eq!(opened(apart.server.id()), 3);
}

#[test]
fn a_misspelt_isolation_is_a_problem_and_opens_nothing_in_the_host() {
    let scene = scene("");
    let before = opened(scene.server.id());
    let text = format!("[kernel]\nplugin_dirs = [\"lib\"]\n{}", config("").replace("process", "proces"));
    std::fs::write(scene.place.dir.path().join("plugins.toml"), text).unwrap();
    // Another build, so that it is inspected again.
    scene.place.patch("echo", |_| {});
    let refused = scene.place.output(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("plugins.fixture-echo.isolation"), "{said}");
    assert_eq!(opened(scene.server.id()), before);
}

#[test]
fn a_plugin_checks_its_settings_in_a_process_of_its_own() {
    for isolation in ["process", "none"] {
        let place = Place::new(&config("greeting = \"goodbye\"").replace("process", isolation));
        let problems = place.problems(&[]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("is no greeting; say hello"), "{problems:?}");
    }
}

#[test]
fn check_names_wrong_limits_of_a_process() {
    let place = Place::new(&config("process = { memory = \"much\", network = 1, cores = 2 }"));
    let problems = place.problems(&[]);
    assert_eq!(problems.len(), 3, "{problems:#?}");
    for (key, problem) in ["process.memory", "process.network", "process.cores"].iter().zip(&problems) {
        assert!(problem.contains(&format!("plugins.fixture-echo.{key}")), "{problem}");
    }
}

#[test]
fn the_quarantine_of_a_plugin_in_its_own_process_ends_automatically_and_retry_after_says_when() {
    let config = config("").replace("restart_budget = 1", "restart_budget = 0\nquarantine = \"2s\"");
    let place = Place::new(&config);
    let mut server = place.run(&[]);
    let address = server.wait_for("listening")["fields"]["address"].as_str().unwrap().to_owned();
    server.wait_for("ready");
    let scene = Scene { place, server, address };
    kill_process(scene.child(), Signal::KILL).unwrap();
    let echo = scene.echo(|echo| echo["state"] == "quarantined");
    assert!(echo["reason"].as_str().unwrap().contains("started again in 2s"), "{echo}");
    let head = ask(&scene.address, "/echo/x", "you").head;
    assert!(head.contains("retry-after: 2") || head.contains("retry-after: 1"), "{head}");
    scene.echo(|echo| echo["state"] == "running");
    assert_eq!(ask(&scene.address, "/echo/x", "you").body, "hello you");
    // The next one is longer.
    kill_process(scene.child(), Signal::KILL).unwrap();
    let echo = scene.echo(|echo| echo["state"] == "quarantined");
    assert!(echo["reason"].as_str().unwrap().contains("started again in 4s"), "{echo}");
}
