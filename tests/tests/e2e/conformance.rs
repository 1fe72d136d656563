//! The conformance kit on our own plugins.

use std::process::Command;

use serde_json::Value;
use streamgate_tests::server::{binaries, binary};

/// Tests one plugin of this build; the result of each rule.
fn judge(plugin: &str, sets: &[&str]) -> Vec<(String, String, String)> {
    let file = binaries().join(format!("libstreamgate_{}.so", plugin.replace('-', "_")));
    let mut command = Command::new(binary());
    command.arg("conformance").arg(file).arg("--json");
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    let output = command.output().expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |rule: &Value, key: &str| rule[key].as_str().expect("text").to_owned();
    let rules = report["rules"].as_array().expect("rules").iter();
    rules.map(|rule| (text(rule, "rule"), text(rule, "outcome"), text(rule, "detail"))).collect()
}

#[test]
fn a_plugin_without_dependencies_meets_every_rule() {
    for (plugin, sets) in [
        ("chain-solana", &[][..]),
        ("console", &[]),
        ("gateway", &["listen=\"127.0.0.1:0\""]),
        ("sqlite", &[]),
        ("storage-fs", &[]),
        ("system", &[]),
    ] {
        let rules = judge(plugin, sets);
        let broken: Vec<_> = rules.iter().filter(|(_, outcome, _)| outcome == "not-met").collect();
        assert!(broken.is_empty(), "{plugin}: {broken:#?}");
        assert!(rules.iter().any(|(rule, outcome, _)| rule == "leak.none" && outcome == "met"), "{rules:#?}");
    }
}

#[test]
fn a_plugin_that_needs_others_breaks_no_rule_without_them() {
    for plugin in [
        "access",
        "auth",
        "chain-evm",
        "metadata",
        "registry-evm",
        "streaming",
        "transcoder",
        "upload",
        "worker",
    ] {
        let rules = judge(plugin, &[]);
        let broken: Vec<_> = rules.iter().filter(|(_, outcome, _)| outcome == "not-met").collect();
        assert!(broken.is_empty(), "{plugin}: {broken:#?}");
    }
}
