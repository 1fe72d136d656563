//! One bad plugin beside good ones: the host stays up and reports the problem, and the good ones answer
//! throughout.
#![allow(clippy::unwrap_used)]

mod server;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::process::Signal;
use serde_json::Value;
use server::{Place, Server, asked, problems_of};

const GATE: &str = "[plugins.fixture-gate]\nlisten = \"127.0.0.1:0\"\n";
const ONCE: &str = "panic_budget = 2\nrestart_budget = 0\nrestart_pause = \"10ms\"\n";

struct Scene {
    place: Place,
    server: Server,
    address: String,
}

fn place(bad: &str) -> Place {
    let place = Place::new(&format!("{ONCE}[plugins.fixture-bad]\n{bad}\n[plugins.fixture-echo]\n{GATE}"));
    place.link("bad");
    place
}

/// The bad plugin beside echo, with these lines in its table.
fn scene(bad: &str) -> Scene {
    let place = place(bad);
    let mut server = place.run(&[]);
    let address = server.wait_for("listening")["fields"]["address"].as_str().unwrap().to_owned();
    Scene { place, server, address }
}

/// The status of a response; `None` if it was interrupted.
fn status(address: &str, path: &str) -> Option<u16> {
    asked(address, path, "").map(|answer| answer.status)
}

impl Scene {
    /// Does something while echo is called continuously; all responses must be good. Afterwards the server
    /// still stops cleanly.
    fn while_echo_answers<T>(mut self, work: impl FnOnce(&Self) -> T) -> T {
        let stop = AtomicBool::new(false);
        let (stop, address) = (&stop, self.address.as_str());
        let done = std::thread::scope(|scope| {
            let asking = scope.spawn(move || {
                let mut answers = 0;
                while !stop.load(Relaxed) || answers == 0 {
                    assert_eq!(status(address, "/echo/x"), Some(200));
                    answers += 1;
                }
            });
            // Also when it panics, or the other thread would continue forever.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&self)));
            stop.store(true, Relaxed);
            asking.join().unwrap();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        self.server.signal(Signal::TERM);
        assert_eq!(self.server.end(), Some(0));
        done
    }

    /// Waits until the bad plugin is in this state, for a reason that contains this.
    fn bad_is(&self, state: &str, reason: &str) {
        let right = |plugin: &Value| {
            plugin["state"] == state && plugin["reason"].as_str().unwrap_or_default().contains(reason)
        };
        let bad = |report: &Value| {
            let plugins = report["plugins"].as_array()?;
            plugins.iter().find(|plugin| plugin["name"] == "fixture-bad").cloned()
        };
        self.place.wait_for("plugins", |report| bad(report).is_some_and(|bad| right(&bad)));
    }
}

#[test]
fn a_panic_in_start_is_the_reason_of_a_failed_plugin() {
    scene("mode = \"panic-in-start\"").while_echo_answers(|scene| {
        scene.bad_is("failed", "it panicked: bad panics in start");
        assert_eq!(status(&scene.address, "/bad"), Some(503));
    });
}

#[test]
fn a_hang_in_start_ends_at_its_deadline() {
    scene("mode = \"hang-in-start\"\nstart_deadline = \"100ms\"").while_echo_answers(|scene| {
        scene.bad_is("failed", "it did not start within 100ms (start_deadline)");
    });
}

#[test]
fn a_panic_that_a_request_runs_into_is_counted_and_ends_that_request_alone_in_either_kind_of_process() {
    for (isolation, mode) in
        [("none", "panic-in-handler"), ("none", "panic-in-poll"), ("process", "panic-in-handler")]
    {
        let table = format!("isolation = \"{isolation}\"\nmode = \"{mode}\"");
        scene(&table).while_echo_answers(|scene| {
            scene.bad_is("running", "");
            // Far more than the budget, which is 2.
            for _ in 0..20 {
                let expected = if mode == "panic-in-handler" { Some(500) } else { None };
                assert_eq!(status(&scene.address, "/bad"), expected);
            }
            scene.place.wait_for("plugins", |report| {
                let plugins = report["plugins"].as_array().unwrap();
                let bad = plugins.iter().find(|plugin| plugin["name"] == "fixture-bad").unwrap();
                assert_eq!(bad["state"], "running", "{bad}");
                bad["panics"] == 20
            });
        });
    }
}

#[test]
fn a_panic_in_a_task_is_logged_and_the_plugin_continues() {
    scene("mode = \"panic-in-task\"").while_echo_answers(|scene| {
        scene.bad_is("running", "");
        assert_eq!(status(&scene.address, "/bad"), Some(200));
    });
}

/// The log after the server was told to stop with this plugin in it.
fn log_of_its_end(bad: &str) -> Vec<Value> {
    let mut scene = scene(bad);
    scene.server.wait_for("ready");
    scene.bad_is("running", "");
    assert_eq!(status(&scene.address, "/echo/x"), Some(200));
    scene.server.signal(Signal::TERM);
    assert_eq!(scene.server.end(), Some(0));
    std::mem::take(&mut scene.server.seen)
}

#[test]
fn a_plugin_that_panics_or_hangs_at_its_end_is_reported_and_the_others_end_cleanly() {
    for (bad, said) in [
        ("mode = \"panic-in-stop\"", "bad panics in stop"),
        ("mode = \"panic-in-drop\"", "bad panics in a drop"),
        ("mode = \"hang-in-stop\"\nstop_deadline = \"100ms\"", "stop_deadline"),
    ] {
        let log = log_of_its_end(bad);
        let told = log.iter().any(|record| record.to_string().contains(said));
        assert!(told, "{said}: {log:#?}");
        assert!(log.iter().any(|record| record["message"] == "stopped"), "{log:#?}");
    }
}

#[test]
fn a_swap_ends_a_plugin_that_panics_or_hangs_when_it_stops() {
    for bad in [
        "mode = \"panic-in-stop\"",
        "mode = \"panic-in-drop\"",
        "mode = \"hang-in-stop\"\nstop_deadline = \"100ms\"",
    ] {
        scene(bad).while_echo_answers(|scene| {
            scene.bad_is("running", "");
            assert!(scene.place.output(&["swap", "fixture-bad"]).status.success());
            scene.bad_is("running", "");
            assert_eq!(status(&scene.address, "/bad"), Some(200));
        });
    }
}

#[test]
fn floods_of_logs_and_of_events_leave_the_others_their_time() {
    for bad in ["mode = \"log-flood\"", "mode = \"event-flood\""] {
        scene(bad).while_echo_answers(|scene| {
            scene.bad_is("running", "");
            for _ in 0..100 {
                assert_eq!(status(&scene.address, "/bad"), Some(200));
            }
        });
    }
}

#[test]
fn an_exit_and_a_segfault_end_the_process_of_the_plugin_alone() {
    for (mode, how) in [("exit", "code 0"), ("segfault", "SIGSEGV")] {
        scene(&format!("isolation = \"process\"\nmode = \"{mode}\"")).while_echo_answers(|scene| {
            scene.bad_is("failed", how);
            assert_eq!(status(&scene.address, "/bad"), Some(503));
        });
    }
}

#[test]
fn a_request_that_ends_the_process_of_its_plugin_ends_nothing_else() {
    for (mode, how) in [("exit-in-handler", "code 0"), ("segfault-in-handler", "SIGSEGV")] {
        scene(&format!("isolation = \"process\"\nmode = \"{mode}\"")).while_echo_answers(|scene| {
            scene.bad_is("running", "");
            assert_ne!(status(&scene.address, "/bad"), Some(200));
            scene.bad_is("quarantined", how);
        });
    }
}

/// The output of `streamgate run` for a file with such a plugin, which it does not start.
fn refused(fixtures: &[&str], table: &str) -> Vec<String> {
    let place = Place::new(&format!("[plugins.fixture-echo]\n{GATE}{table}"));
    for fixture in fixtures {
        place.link(fixture);
    }
    problems_of(&place.output(&["run"]))
}

#[test]
fn what_can_be_known_before_the_start_is_a_problem_of_the_configuration() {
    for (fixtures, table, words) in [
        (&["twin"][..], "[plugins.fixture-twin]\n", ["fixture-twin", "/echo"]),
        (&["ring_a", "ring_b"], "[plugins.fixture-ring-a]\n[plugins.fixture-ring-b]\n", ["ring-a", "ring-b"]),
        (&["older"], "[plugins.fixture-older]\n", ["fixture-older", "another version of the plugin API"]),
        (&["newer"], "[plugins.fixture-newer]\n", ["fixture-newer", "update streamgate"]),
        (&["layout"], "[plugins.fixture-layout]\n", ["fixture-layout", "laid out differently"]),
    ] {
        let problems = refused(fixtures, table);
        assert!(
            problems.iter().any(|problem| words.iter().all(|word| problem.contains(word))),
            "{words:?}: {problems:#?}"
        );
    }
}

#[test]
fn a_reload_that_brings_a_bad_plugin_changes_nothing() {
    for (fixtures, table) in [
        (&["twin"][..], "[plugins.fixture-twin]\n"),
        (&["ring_a", "ring_b"], "[plugins.fixture-ring-a]\n[plugins.fixture-ring-b]\n"),
        (&["older"], "[plugins.fixture-older]\n"),
        (&["newer"], "[plugins.fixture-newer]\n"),
        (&["layout"], "[plugins.fixture-layout]\n"),
    ] {
        scene("").while_echo_answers(|scene| {
            for fixture in fixtures {
                scene.place.link(fixture);
            }
            let file = scene.place.dir.path().join("plugins.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, format!("{text}{table}")).unwrap();
            let output = scene.place.output(&["reload"]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("nothing has changed"), "{said}");
            scene.bad_is("running", "");
        });
    }
}
