//! Restart, swap and reload, through the binary.
#![allow(clippy::unwrap_used)]

mod server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::process::Signal;
use serde_json::Value;
use server::{Answer, Place, Server, ask};

const KERNEL: &str = "panic_budget = 2\nrestart_budget = 1\nrestart_pause = \"10ms\"\n";
const CALLER: &str = "[plugins.fixture-caller]\n";
const GATE: &str = "[plugins.fixture-gate]\nlisten = \"127.0.0.1:0\"\n";

struct Scene {
    place: Place,
    server: Server,
    address: String,
}

/// The three plugins at work, echo with these lines in its table.
fn scene(echo: &str) -> Scene {
    let place = Place::new("");
    write(&place, echo, CALLER);
    let mut server = place.run(&[]);
    let address = server.wait_for("listening")["fields"]["address"].as_str().unwrap().to_owned();
    server.wait_for("ready");
    Scene { place, server, address }
}

fn write(place: &Place, echo: &str, others: &str) {
    let kernel = format!("[kernel]\nplugin_dirs = [\"lib\"]\n{KERNEL}");
    let text = format!("{kernel}[plugins.fixture-echo]\n{echo}\n{others}{GATE}");
    std::fs::write(place.dir.path().join("plugins.toml"), text).unwrap();
}

impl Scene {
    fn say(&self, body: &str) -> String {
        ask(&self.address, "/echo/x", body).body
    }

    fn plugin(&self, name: &str) -> Value {
        let report = self.place.wait_for("plugins", |report| report.is_object());
        let plugins = report["plugins"].as_array().unwrap();
        plugins.iter().find(|plugin| plugin["name"] == name).cloned().unwrap_or_default()
    }

    fn runs(&self) -> [Value; 3] {
        ["fixture-echo", "fixture-caller", "fixture-gate"].map(|name| self.plugin(name)["run"].clone())
    }

    /// Exit code, standard output and standard error.
    fn command(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.place.output(args);
        let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs `work` while requests come one after the other; all of them must succeed.
    fn under_load(&self, paths: &[&str], work: impl FnOnce()) {
        let (stop, address) = (AtomicBool::new(false), &self.address);
        std::thread::scope(|scope| {
            let loads: Vec<_> = paths
                .iter()
                .map(|path| {
                    let stop = &stop;
                    scope.spawn(move || {
                        let mut answers = 0;
                        while !stop.load(Relaxed) {
                            let Answer { status, head, body } = ask(address, path, "load");
                            assert_eq!(status, 200, "{path}: {head}\n{body}");
                            answers += 1;
                        }
                        answers
                    })
                })
                .collect();
            work();
            stop.store(true, Relaxed);
            for load in loads {
                assert!(load.join().unwrap() > 0);
            }
        });
    }
}

#[test]
fn a_swap_fails_no_request_and_cuts_no_stream() {
    let scene = scene("");
    let [echo, caller, gate] = scene.runs();
    let mut stream = TcpStream::connect(&scene.address).unwrap();
    write!(stream, "POST /echo/back HTTP/1.0\r\nHost: x\r\nContent-Length: 8\r\n\r\nbefo").unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    scene.under_load(&["/echo/x", "/caller/x"], || {
        for _ in 0..3 {
            assert_eq!(scene.command(&["swap", "fixture-echo"]).1, "fixture-echo is swapped");
        }
    });
    let runs = scene.runs();
    assert!(runs[0].as_u64() > echo.as_u64());
    assert_eq!(runs[1..], [caller, gate]);
    write!(stream, "re-").unwrap();
    write!(stream, "!").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("\r\n\r\nbefore-!"), "{rest}");
}

#[test]
fn requests_wait_while_a_plugin_is_exchanged_of_which_there_may_be_only_one() {
    let scene = scene("");
    let before = scene.plugin("fixture-caller")["run"].as_u64();
    scene.under_load(&["/caller/x"], || {
        for _ in 0..3 {
            assert_eq!(scene.command(&["swap", "fixture-caller"]).0, 0);
        }
    });
    assert!(scene.plugin("fixture-caller")["run"].as_u64() > before);
}

#[test]
fn a_hundred_swaps_of_the_same_build_leave_nothing_and_those_of_others_their_libraries() {
    let scene = scene("");
    let swap = |other: bool| {
        let lib = scene.place.dir.path().join("lib/libstreamgate_fixture_echo.so");
        let copy = lib.with_extension("new");
        std::fs::copy(&lib, &copy).unwrap();
        if other {
            let mut build = std::fs::OpenOptions::new().append(true).open(&copy).unwrap();
            build.write_all(b"another build").unwrap();
        }
        std::fs::rename(&copy, &lib).unwrap();
        assert_eq!(scene.command(&["swap", "fixture-echo"]).1, "fixture-echo is swapped");
    };
    // The first ones fill one-time caches: also each thread's share of the allocator.
    (0..25).for_each(|_| swap(false));
    let before = scene.server.used();
    (0..100).for_each(|_| swap(false));
    let after = scene.server.used();
    assert_eq!(after.mapped, before.mapped);
    assert!(after.resident - before.resident < 5 << 20, "{} became {}", before.resident, after.resident);
    assert!(after.files <= before.files + 4, "{} files became {}", before.files, after.files);
    let before = after;
    (0..20).for_each(|_| swap(true));
    let after = scene.server.used();
    assert_eq!(scene.say("you"), "hello you");
    let (resident, mapped) = (after.resident - before.resident, after.mapped - before.mapped);
    assert!(mapped > 0, "each swap maps another library");
    assert!(resident <= mapped, "{resident} bytes more are resident, {mapped} of libraries are mapped");
    assert!(after.threads <= before.threads + 2, "{} threads became {}", before.threads, after.threads);
    let files = after.files - before.files;
    assert!(files <= 70, "{files} files more are open");
}

#[test]
fn swaps_and_restarts_of_a_plugin_in_a_process_of_its_own_leave_nothing_in_the_server() {
    let scene = scene("isolation = \"process\"");
    let change = |word: &str| assert_eq!(scene.command(&[word, "fixture-echo"]).0, 0, "{word}");
    (0..10).for_each(|_| change("swap"));
    let before = scene.server.used();
    for _ in 0..25 {
        change("swap");
        change("restart");
    }
    assert_eq!(scene.say("you"), "hello you");
    // The last one's process may not have been reaped yet.
    let after = scene.server.used();
    assert_eq!(after.mapped, before.mapped);
    assert!(after.resident - before.resident < 5 << 20, "{} became {}", before.resident, after.resident);
    assert!(after.files <= before.files + 4, "{} files became {}", before.files, after.files);
    assert!(after.threads <= before.threads + 4, "{} threads became {}", before.threads, after.threads);
}

#[test]
fn an_invalid_build_or_one_that_does_not_start_changes_nothing() {
    let scene = scene("");
    let runs = scene.runs();
    let junk = scene.place.dir.path().join("junk.so");
    std::fs::write(&junk, "not a library").unwrap();
    let (code, _, error) = scene.command(&["swap", "fixture-echo", junk.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(error.contains("nothing has changed") && error.contains("junk.so"), "{error}");
    let (code, _, error) = scene.command(&["swap", "fixture-ecko"]);
    assert_eq!(
        (code, error.as_str()),
        (1, "error: no plugin `fixture-ecko` runs; did you mean `fixture-echo`?")
    );
    let missing = scene.place.dir.path().join("nope.so");
    let (code, _, error) = scene.command(&["swap", "fixture-echo", missing.to_str().unwrap()]);
    let said = format!("error: there is no file {}; nothing has changed", missing.display());
    assert_eq!((code, error), (1, said));
    write(&scene.place, "mode = \"fail\"", CALLER);
    let (code, _, error) = scene.command(&["swap", "fixture-echo"]);
    assert_eq!(code, 1);
    assert_eq!(error, "error: fixture-echo: the disk is on fire; nothing has changed");
    assert_eq!(scene.runs(), runs);
    assert_eq!(scene.say("you"), "hello you");
}

#[test]
fn a_reload_touches_only_what_differs() {
    let mut scene = scene("");
    let [echo, caller, gate] = scene.runs();
    write(&scene.place, "greeting = \"howdy\"", CALLER);
    let plan = scene.command(&["reload", "--dry-run"]).1;
    let step = "give fixture-echo its new settings, or swap it if it cannot apply them";
    assert_eq!(plan.lines().next(), Some(step));
    assert_eq!(scene.say("you"), "hello you");
    // Settings that it applies while it runs.
    assert_eq!(scene.command(&["reload"]).1, "gave fixture-echo its new settings");
    assert_eq!(scene.say("you"), "howdy you");
    assert_eq!(scene.runs(), [echo.clone(), caller.clone(), gate.clone()]);
    assert_eq!(scene.command(&["reload"]).1, "nothing differs");
    // Settings that it does not.
    write(&scene.place, "mode = \"sick\"", CALLER);
    scene.server.signal(Signal::HUP);
    scene.server.wait_for("reloaded");
    let runs = scene.runs();
    assert_ne!(runs[0], echo);
    assert_eq!(runs[1..], [caller, gate.clone()]);
    assert_eq!(scene.say("you"), "hello you");
    // A plugin less, and one more.
    write(&scene.place, "", "");
    assert_eq!(scene.command(&["reload"]).1, "swapped fixture-echo\nstopped fixture-caller");
    assert_eq!(ask(&scene.address, "/caller/x", "").status, 404);
    write(&scene.place, "", CALLER);
    assert_eq!(scene.command(&["reload"]).1, "started fixture-caller");
    assert_eq!(ask(&scene.address, "/caller/x", "").body, "it called");
    assert_eq!(scene.plugin("fixture-gate")["run"], gate);
}

#[test]
fn a_level_of_the_log_is_taken_while_all_run() {
    let mut scene = scene("log = \"info\"");
    let [echo, ..] = scene.runs();
    let path = scene.place.dir.path().join("plugins.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}[kernel.log]\nlevel = \"debug,streamgate_kernel=trace\"\n"))
        .unwrap();
    assert_eq!(scene.command(&["reload"]).1, "swapped fixture-caller\nswapped fixture-gate");
    // A plugin with its own level is unaffected.
    assert_eq!(scene.runs()[0], echo);
    std::fs::write(&path, format!("{text}[kernel.log]\nlevel = \"off\"\n")).unwrap();
    assert_eq!(scene.command(&["reload"]).0, 0);
    scene.server.signal(Signal::TERM);
    scene.server.end();
    let kernels = scene.server.seen.iter().filter(|record| record["message"] == "changed").count();
    assert_eq!(kernels, 1, "the second change is not logged any more: {:#?}", scene.server.seen);
}

#[test]
fn a_reload_that_fails_half_way_is_undone() {
    let scene = scene("");
    let [echo, caller, gate] = scene.runs();
    for (line, reason) in [
        ("mode = \"fail\"", "fixture-echo: the disk is on fire; nothing has changed"),
        ("greeting = \"later\"", "fixture-echo: not that greeting; nothing has changed"),
        ("mood = 1", "nothing has changed"),
    ] {
        write(&scene.place, line, CALLER);
        let (code, _, error) = scene.command(&["reload"]);
        assert_eq!(code, 1);
        assert!(error.contains(reason), "{error}");
        assert_eq!(scene.runs(), [echo.clone(), caller.clone(), gate.clone()]);
    }
    // The first step succeeds, the second one does not.
    write(&scene.place, "mode = \"sick\"", CALLER);
    let text = std::fs::read_to_string(scene.place.dir.path().join("plugins.toml")).unwrap();
    let text = text.replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{}\"", scene.address));
    std::fs::write(scene.place.dir.path().join("plugins.toml"), text).unwrap();
    let (code, _, error) = scene.command(&["reload"]);
    assert_eq!(code, 1);
    assert!(error.contains("fixture-gate: ") && error.contains("nothing has changed"), "{error}");
    assert_eq!(scene.runs()[0], echo);
    assert_eq!(scene.say("you"), "hello you");
    assert_eq!(ask(&scene.address, "/caller/x", "").body, "it called");
}

#[test]
fn a_plugin_past_its_panic_budget_is_restarted_then_quarantined_until_an_operator_restarts_it() {
    let mut scene = scene("");
    let first = scene.plugin("fixture-echo")["run"].clone();
    let panic = |times: usize| {
        for _ in 0..times {
            assert_eq!(ask(&scene.address, "/echo/x", "panic-in-task").status, 200);
        }
    };
    panic(2);
    assert_eq!(scene.plugin("fixture-echo")["run"], first);
    panic(1);
    scene.server.wait_for("plugin is restarted");
    scene.place.wait_for("plugins", |report| {
        let echo =
            report["plugins"].as_array().and_then(|all| all.iter().find(|it| it["name"] == "fixture-echo"));
        echo.is_some_and(|echo| echo["run"] != first && echo["state"] == "running")
    });
    assert_eq!(scene.say("you"), "hello you");
    panic(3);
    scene.server.wait_for("plugin quarantined");
    let Answer { status, head, body } = ask(&scene.address, "/echo/x", "you");
    assert_eq!(status, 503);
    assert!(!head.contains("retry-after") && body.contains("fixture-echo"), "{head}\n{body}");
    let echo = scene.plugin("fixture-echo");
    assert_eq!(echo["state"], "quarantined");
    let reason = echo["reason"].as_str().unwrap();
    assert!(reason.contains("it panicked 3 times within a minute"), "{reason}");
    assert!(reason.contains("`streamgate restart fixture-echo`"), "{reason}");
    assert_eq!(scene.plugin("fixture-caller")["status"], "degraded");
    assert_eq!(ask(&scene.address, "/caller/x", "").body, "it called");

    assert_eq!(scene.command(&["restart", "fixture-echo"]).1, "fixture-echo runs");
    assert_eq!(scene.say("you"), "hello you");
    assert_eq!(scene.plugin("fixture-caller")["status"], "healthy");
}
