//! Changes that meet another change, a stop, or a plugin that does not start, through the binary.
#![allow(clippy::unwrap_used)]

mod server;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use server::{Place, Server, ask};

const PATIENCE: Duration = Duration::from_secs(20);
const ECHO: &str = "[plugins.fixture-echo]\n";
const CALLER: &str = "[plugins.fixture-caller]\n";
const GATE: &str = "[plugins.fixture-gate]\nlisten = \"127.0.0.1:0\"\n";
/// The first panic is a failure, and any number of failures is followed by another start.
const KERNEL: &str = "panic_budget = 0\nrestart_budget = 1000\nrestart_pause = \"10ms\"\n";

struct Scene {
    place: Place,
    server: Server,
    address: String,
}

/// A command in progress.
struct Given(Receiver<(i32, String, String)>);

impl Given {
    /// Its exit code, standard output and standard error.
    fn end(self) -> (i32, String, String) {
        self.0.recv_timeout(PATIENCE).expect("the command comes to an end")
    }
}

/// Echo, the gate, and what `plugins` say, with these lines in the kernel's table.
fn scene(kernel: &str, plugins: &str) -> Scene {
    let place = Place::new("");
    place.link("only");
    write(&place, kernel, plugins);
    let mut server = place.run(&[]);
    let address = server.wait_for("listening")["fields"]["address"].as_str().unwrap().to_owned();
    server.wait_for("ready");
    Scene { place, server, address }
}

fn write(place: &Place, kernel: &str, plugins: &str) {
    let text = format!("[kernel]\nplugin_dirs = [\"lib\"]\n{kernel}\n{ECHO}{plugins}{GATE}");
    std::fs::write(place.dir.path().join("plugins.toml"), text).unwrap();
}

/// The table of the fixture with these files, which are in the server's directory.
fn only(files: &[(&str, &str)]) -> String {
    let lines = files.iter().map(|(key, name)| format!("{key} = \"{name}\"\n"));
    format!("[plugins.fixture-only]\nstart_deadline = \"1h\"\n{}", lines.collect::<String>())
}

impl Scene {
    fn file(&self, name: &str) -> PathBuf {
        self.place.dir.path().join(name)
    }

    fn touch(&self, name: &str) {
        std::fs::write(self.file(name), "").unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.file(name)).unwrap();
    }

    fn give(&self, args: &[&str]) -> Given {
        let mut command = self.place.command(args);
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let output = command.output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
            let _ = sender.send((output.status.code().unwrap(), text(output.stdout), text(output.stderr)));
        });
        Given(receiver)
    }

    fn plugin(&self, name: &str) -> Value {
        let report = self.place.wait_for("plugins", |report| report.is_object());
        let plugins = report["plugins"].as_array().unwrap();
        plugins.iter().find(|plugin| plugin["name"] == name).cloned().unwrap_or_default()
    }

    fn wait_until(&self, what: &str, right: impl Fn() -> bool) {
        let began = Instant::now();
        while !right() {
            assert!(began.elapsed() < PATIENCE, "not {what}; {:#}", self.plugin("fixture-only"));
        }
    }

    fn wait_for_file(&self, name: &str) {
        self.wait_until(name, || self.file(name).exists());
    }

    fn only_is(&self, state: &str) {
        self.wait_until(state, || self.plugin("fixture-only")["state"] == state);
    }

    fn only_answers(&self) {
        self.wait_until("answering", || ask(&self.address, "/only", "").body == "only");
    }

    /// Crashes the plugin, and the runs after it.
    fn fail(&self) {
        assert_eq!(ask(&self.address, "/only/fail", "").status, 200);
    }
}

#[test]
fn a_reload_does_not_undo_another_one_that_was_made_while_it_looked_at_the_configuration() {
    let scene = scene("", "");
    write(&scene.place, "", &only(&[("judged_once", "go")]));
    let first = scene.give(&["reload"]);
    scene.wait_for_file("go.awaited");
    write(&scene.place, "", CALLER);
    let (code, _, error) = scene.give(&["reload"]).end();
    scene.touch("go");
    let (first, ..) = first.end();
    assert_eq!((first, code), (0, 1), "one of both is refused");
    assert!(error.contains("another change is in progress; try again when it is done"), "{error}");
    assert_eq!(scene.give(&["reload"]).end().1, "started fixture-caller\nstopped fixture-only");
    assert_eq!(ask(&scene.address, "/caller/x", "").body, "it called");
    assert_eq!(ask(&scene.address, "/only", "").status, 404);
}

#[test]
fn a_plan_that_was_made_before_another_change_is_not_carried_out() {
    let scene = scene("", "");
    let plan = |version: u64| {
        format!(
            "start fixture-only\n`streamgate reload --if-version {version}` applies it unless something else changes before"
        )
    };
    write(&scene.place, "", &only(&[]));
    assert_eq!(scene.give(&["reload", "--dry-run"]).end().1, plan(1));
    write(&scene.place, "", CALLER);
    assert_eq!(scene.give(&["reload"]).end().1, "started fixture-caller");
    write(&scene.place, "", &format!("{CALLER}{}", only(&[])));
    let (code, _, error) = scene.give(&["reload", "--if-version", "1"]).end();
    assert_eq!(code, 1);
    assert!(
        error.contains("its version was 1 and is 2; plan again") && error.contains("nothing has changed"),
        "{error}"
    );
    assert_eq!(ask(&scene.address, "/only", "").status, 404);
    assert_eq!(ask(&scene.address, "/caller/x", "").body, "it called");
    assert_eq!(scene.give(&["swap", "fixture-echo"]).end().0, 0);
    assert_eq!(scene.give(&["reload", "--dry-run"]).end().1, plan(3));
    assert_eq!(scene.give(&["reload", "--if-version", "3"]).end().1, "started fixture-only");
    assert_eq!(scene.give(&["reload", "--dry-run"]).end().1, "nothing differs");
}

#[test]
fn a_stop_stops_what_a_reload_is_starting() {
    let mut scene = scene("", "");
    write(&scene.place, "", &only(&[("starts_once", "go"), ("holds", "held")]));
    let reload = scene.give(&["reload"]);
    scene.wait_for_file("go.awaited");
    assert!(scene.file("held").exists());
    scene.server.signal(Signal::TERM);
    scene.server.wait_for("stopping; a second signal ends the process at once");
    scene.touch("go");
    assert_eq!(scene.server.end(), Some(0));
    assert!(!scene.file("held").exists(), "it ended in good order: {:#?}", scene.server.seen);
    drop(reload);
}

#[test]
fn a_stop_does_not_wait_for_a_reload_that_hangs() {
    for file in ["judged_once", "starts_once"] {
        let mut scene = scene("", "");
        write(&scene.place, "", &only(&[(file, "go")]));
        let reload = scene.give(&["reload"]);
        scene.wait_for_file("go.awaited");
        scene.server.signal(Signal::TERM);
        assert_eq!(scene.server.end(), Some(0));
        let (code, _, error) = reload.end();
        assert!(code != 0 && !error.is_empty(), "{error}");
    }
}

#[test]
fn a_fix_does_not_wait_for_the_pause_of_a_plugin_that_fails_repeatedly() {
    let pause = KERNEL.replace("10ms", "1m");
    for cure in ["restart", "swap", "reload"] {
        let table = only(&[("fails_if", "fire")]);
        let scene = scene(&pause, &table);
        scene.touch("fire");
        scene.fail();
        scene.only_is("restarting");
        scene.cured_by(cure, "fire", &pause);
    }
}

#[test]
fn a_fix_does_not_wait_for_a_start_that_hangs() {
    for cure in ["restart", "swap", "reload"] {
        let table = only(&[("hangs_if", "swamp")]);
        let mut scene = scene(KERNEL, &table);
        scene.touch("swamp");
        scene.fail();
        scene.server.wait_for("only hangs");
        scene.cured_by(cure, "swamp", KERNEL);
    }
}

#[test]
fn a_restart_that_hangs_gives_way_to_a_fix() {
    let mut scene = scene(KERNEL, &only(&[("hangs_if", "swamp")]));
    scene.touch("swamp");
    let restart = scene.give(&["restart", "fixture-only"]);
    scene.server.wait_for("only hangs");
    assert_eq!(scene.give(&["swap", "fixture-echo"]).end().0, 0);
    scene.cured_by("reload", "swamp", KERNEL);
    let (code, _, error) = restart.end();
    assert_eq!(code, 1);
    assert!(
        error.contains("fixture-only did not start: it was cancelled, because a change of it was requested"),
        "{error}"
    );
}

impl Scene {
    /// An operator fixes the cause and requests a change; or, where the file names the change, leaves the
    /// cause.
    fn cured_by(&self, cure: &str, cause: &str, kernel: &str) {
        match cure {
            "reload" => write(&self.place, kernel, &only(&[])),
            _ => self.remove(cause),
        }
        let words: &[&str] = if cure == "reload" { &["reload"] } else { &[cure, "fixture-only"] };
        let (code, _, error) = self.give(words).end();
        assert_eq!(code, 0, "{cure}: {error}");
        assert_eq!(ask(&self.address, "/only", "").body, "only", "{cure}");
        // The interrupted start has left nothing behind.
        let run = self.plugin("fixture-only")["run"].clone();
        assert_eq!(self.give(&["swap", "fixture-echo"]).end().0, 0);
        assert_eq!(self.plugin("fixture-only")["run"], run);
    }
}

#[test]
fn a_fix_that_fails_leaves_a_plugin_that_is_restarted_automatically() {
    let table = only(&[("hangs_if", "swamp"), ("fails_if", "fire")]);
    let mut scene = scene(KERNEL, &table);
    scene.touch("swamp");
    scene.fail();
    scene.server.wait_for("only hangs");
    scene.touch("fire");
    let (code, _, error) = scene.give(&["swap", "fixture-only"]).end();
    assert_eq!((code, error.as_str()), (1, "error: fixture-only: the disk is on fire; nothing has changed"));
    scene.remove("swamp");
    scene.remove("fire");
    scene.only_answers();
}

#[test]
fn an_exclusive_plugin_whose_new_and_old_build_do_not_start_recovers_automatically() {
    let table = only(&[("fails_if", "fire")]);
    let scene = scene(KERNEL, &table);
    scene.touch("fire");
    let (code, _, error) = scene.give(&["swap", "fixture-only"]).end();
    assert_eq!(code, 1);
    assert!(error.contains("and the old one does not start again: the disk is on fire"), "{error}");
    assert_eq!(ask(&scene.address, "/only", "").status, 503);
    scene.remove("fire");
    scene.only_answers();
}

#[test]
fn a_plugin_that_a_reload_had_started_and_rolled_back_is_restarted_automatically() {
    let table = only(&[("fails_if", "fire")]);
    let scene = scene(KERNEL, &table);
    scene.touch("fire");
    scene.fail();
    scene.only_is("failed");
    // Fixes it, and then cannot listen because the port is taken.
    write(&scene.place, KERNEL, &only(&[]));
    let config = scene.file("plugins.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("127.0.0.1:0", &scene.address)).unwrap();
    let (code, _, error) = scene.give(&["reload"]).end();
    assert_eq!(code, 1);
    assert!(error.contains("fixture-gate: ") && error.contains("nothing has changed"), "{error}");
    assert_ne!(scene.plugin("fixture-only")["state"], "running");
    assert_eq!(ask(&scene.address, "/only", "").status, 503);
    scene.remove("fire");
    scene.only_answers();
}

#[test]
fn the_event_streams_of_a_plugin_that_was_swapped_end_at_once() {
    use std::io::{Read, Write};
    let echo = "[plugins.fixture-echo]\nisolation = \"process\"\n";
    for isolated in [false, true] {
        let scene = scene("drain_deadline = \"1h\"", "");
        if isolated {
            let config = scene.file("plugins.toml");
            let text = std::fs::read_to_string(&config).unwrap();
            std::fs::write(&config, text.replace(ECHO, echo)).unwrap();
            assert_eq!(scene.give(&["reload"]).end().1, "swapped fixture-echo");
        }
        let mut stream = std::net::TcpStream::connect(&scene.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /echo/events HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
        let mut text = String::new();
        while !text.contains("data: first") {
            let mut piece = [0; 512];
            let read = stream.read(&mut piece).unwrap();
            text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
        assert_eq!(scene.give(&["swap", "fixture-echo"]).end().0, 0);
        // It would continue forever.
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("the stream ends, and in good order");
        assert_eq!(rest, "");
    }
}
