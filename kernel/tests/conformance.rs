//! `streamgate conformance`: good plugins pass, and each bad one fails the rule that it violates.
#![allow(clippy::unwrap_used)]

mod server;

use serde_json::Value;
use server::Place;

/// Checks a fixture; its exit code and the finding of each rule.
fn judge(fixture: &str, more: &[&str]) -> (i32, Value) {
    let place = Place::new("");
    if !["echo", "caller", "gate"].contains(&fixture) {
        place.link(fixture);
    }
    let file = format!("lib/libstreamgate_fixture_{fixture}.so");
    let output = place.output(&[&["conformance", file.as_str(), "--json", "--cycles", "30"], more].concat());
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

fn rule<'a>(report: &'a Value, id: &str) -> (&'a str, &'a str) {
    let rule = report["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == id).unwrap();
    (rule["outcome"].as_str().unwrap(), rule["detail"].as_str().unwrap())
}

#[test]
fn a_good_plugin_meets_every_rule() {
    let (code, report) = judge("echo", &["--set", "greeting=\"hi\""]);
    assert_eq!(code, 0, "{report:#}");
    for rule in report["rules"].as_array().unwrap() {
        assert_eq!(rule["outcome"], "met", "{rule}");
    }
}

#[test]
fn what_a_plugin_cannot_show_without_its_neighbours_is_not_held_against_it() {
    let (code, report) = judge("ring_a", &[]);
    let (outcome, detail) = rule(&report, "start.deadline");
    assert_eq!(outcome, "not-shown", "{report:#}");
    assert!(
        detail.starts_with("needs `ring-b`, without which it does not start: ring-b answers 503"),
        "{detail}"
    );
    assert_eq!(rule(&report, "leak.none").0, "not-shown");
    assert_eq!(code, 0);
}

/// The rule that a mode violates, and words of the finding.
fn breaks(mode: &str, id: &str, words: &str) {
    let (code, report) = judge("bad", &["--deadline", "2s", "--set", &format!("mode=\"{mode}\"")]);
    let (outcome, detail) = rule(&report, id);
    assert_eq!((code, outcome), (1, "not-met"), "{mode}: {report:#}");
    assert!(detail.contains(words), "{mode}: {detail}");
}

#[test]
fn a_plugin_that_does_not_start_breaks_that_rule() {
    breaks("panic-in-start", "start.deadline", "bad panics in start");
    breaks("hang-in-start", "start.deadline", "its start did not end within 2s");
    breaks("exit", "start.deadline", "it ended its process, with exit code 0");
    breaks("segfault", "start.deadline", "SIGSEGV");
}

#[test]
fn a_request_that_is_not_survived_breaks_the_rule_about_requests() {
    breaks("panic-in-handler", "requests.answered", "bad panics in a handler");
    breaks("panic-in-poll", "requests.answered", "bad panics in a poll");
    breaks("exit-in-handler", "requests.answered", "exit code 0");
    breaks("segfault-in-handler", "requests.answered", "SIGSEGV");
}

#[test]
fn a_panic_anywhere_breaks_the_rule_about_panics() {
    breaks("panic-in-task", "panics.none", "bad panics in a task");
    breaks("panic-in-stop", "panics.none", "bad panics in stop");
    breaks("panic-in-drop", "panics.none", "bad panics in a drop");
}

#[test]
fn a_hang_at_the_end_breaks_the_rule_about_the_stop() {
    breaks("hang-in-stop", "stop.deadline", "its stop did not end within 2s");
}

#[test]
fn floods_prints_and_leaks_are_counted() {
    breaks("log-flood", "log.bounded", "log records");
    breaks("event-flood", "events.bounded", "events");
    breaks("print", "log.bounded", "it prints");
    breaks("leak", "leak.none", "threads");
}

#[test]
fn what_the_manifest_promises_and_what_start_gives_are_compared() {
    breaks("silent", "health.component", "it reports no health");
    breaks("undeclared", "services.declared", "uses: [\"other\"]");
    breaks("undeclared-events", "events.declared", "subscribes: [\"content.*.deleted\"]");
    breaks("undeclared-mounts", "mounts.declared", "ingress: true");
    breaks("absent", "start.serves", "nothing answers under /bad");
}

#[test]
fn a_cdylib_that_does_not_load_breaks_the_first_rule_and_shows_no_other() {
    for (fixture, words) in [
        ("older", "another version of the plugin API"),
        ("newer", "update streamgate"),
        ("layout", "laid out differently"),
        ("crash", "fixture-crash"),
    ] {
        let (code, report) = judge(fixture, &[]);
        let (outcome, detail) = rule(&report, "load.opens");
        assert_eq!((code, outcome), (1, "not-met"), "{report:#}");
        assert!(detail.contains(words), "{detail}");
        assert_eq!(rule(&report, "leak.none"), ("not-shown", "it does not load"));
    }
}

#[test]
fn a_file_that_is_not_a_plugin_has_only_that_finding() {
    let place = Place::new("");
    let output = place.output(&["conformance", "lib/nope.so"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: there is no file lib/nope.so\n");
    std::fs::write(place.dir.path().join("lib/text.so"), "text").unwrap();
    let output = place.output(&["conformance", "lib/text.so"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("NOT MET    load.opens") && !text.contains("it does not load"), "{text}");
}

#[test]
fn people_read_a_line_for_each_rule_and_the_reason_below() {
    let place = Place::new("");
    place.link("bad");
    let file = "lib/libstreamgate_fixture_bad.so";
    let output =
        place.output(&["conformance", file, "--cycles", "2", "--set", "mode=\"silent\"", "--deadline", "2s"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("NOT MET    health.component   reports the health"), "{text}");
    assert!(text.contains("it reports no health; call host.health"), "{text}");
    assert!(text.trim_end().ends_with(", 1 not met, 1 not shown"), "{text}");
}
