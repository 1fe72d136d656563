//! Contents in a registry on a real chain, by the default edition with a key: registered once, over `kill
//! -9`, and read through the gateway.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};
use streamgate_tests::anvil::{Anvil, CHAIN};
use streamgate_tests::server::{Server, Setup, client};
use streamgate_tests::wait::eventually;
use streamgate_tests::{clips, tus};

const PATIENCE: Duration = Duration::from_secs(60);
/// The key of the last of Anvil's accounts.
const KEY: &str = "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";
const ACCOUNT: usize = 9;

/// Waits until the content is in this state.
async fn until(server: &Server, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/registry/eip155:{CHAIN}/{id}");
    eventually(what, PATIENCE, async || server.json(&path).await.ok().filter(&is)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_content_is_registered_once_over_a_kill_with_its_policy() {
    let anvil = Anvil::start();
    let account = anvil.accounts().await[ACCOUNT];
    let registry = anvil.deploy("ContentRegistry", account.into_word().as_slice()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    fs::write(&key, KEY).expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("closed");
    let chain = format!("{{ id = {CHAIN}, endpoints = [\"{}\"], max_age = \"0s\" }}", anvil.url);
    let contract = format!(
        "{{ registry = \"eip155:{CHAIN}:{registry}\", signer_file = \"{}\", confirmations = 2, publish = true, \
         publish_pause = \"0s\", policy_uri = \"https://video.example.org/{{id}}\" }}",
        key.display()
    );
    let mut server = Setup::default()
        .set("plugins.access.enabled", true)
        .set("plugins.chain-evm.enabled", true)
        .set("plugins.chain-evm.allow_private", true)
        .set("plugins.chain-evm.chains", format!("[{chain}]"))
        .set("plugins.registry-evm.enabled", true)
        .set("plugins.registry-evm.process", format!("{{ read = [\"{}\"] }}", folder.path().display()))
        .set("plugins.registry-evm.idle_poll", "\"1s\"")
        .set("plugins.registry-evm.chains", format!("[{contract}]"))
        .start()
        .await;
    let id = tus::upload_file(&server, &clips::plain("320x180", "25", 2.0)).await.expect("uploaded");
    server.finished(&id).await;
    let first = until(&server, &id, "an entry", |entry| !entry["registered"].is_null()).await;
    assert_eq!(first["registered"]["owner"], format!("eip155:{CHAIN}:{account:#x}"));

    server.kill().await;
    server.restart().await;
    anvil.mine(2).await;
    let known = until(&server, &id, "a confirmed entry", |entry| entry["state"] == "confirmed").await;
    assert_eq!(known["transaction"]["hashes"], first["transaction"]["hashes"]);

    let policy = server.url(&format!("/api/v1/access/contents/{id}"));
    let put = server.http().put(policy).json(&json!({ "openness": "public" })).send().await;
    assert_eq!(put.expect("an answer").status(), 200);
    let told = |entry: &Value| entry["registered"]["policy"] != first["registered"]["policy"];
    let changed = until(&server, &id, "another policy", told).await;
    assert_eq!((&changed["attempt"], &changed["action"]), (&json!(2), &json!("update")));
    let used = anvil.rpc("eth_getTransactionCount", json!([account, "latest"])).await;
    assert_eq!(used, "0x2");

    let path = server.url("/api/v1/registry");
    assert_eq!(client().get(path).send().await.expect("an answer").status(), 401);
    let health = server.control(&["health", "--json"]).await;
    assert!(health.contains(&format!("eip155-{CHAIN}-publication")), "{health}");
    server.stop().await;
}
