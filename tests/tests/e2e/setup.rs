//! The first minutes of a new operator: the printed address works, wherever the server listens.

use std::net::TcpListener;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use streamgate_tests::server::{Server, Setup, client};
use streamgate_tests::wait::eventually;

/// The default edition as it is, without the addresses that other tests give it.
fn as_it_is() -> Setup {
    Setup::default().set("plugins.auth.public_url", "").set("plugins.auth.origins", "[]")
}

/// The line with the one-time address, and the address.
async fn printed(server: &Server) -> (String, String) {
    eventually("the one-time address in the log", Duration::from_secs(30), async || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("/#/setup/"))?.to_owned();
        let start = line.find("http://")?;
        let end = line[start..].find(' ')?;
        Some((line.clone(), line[start..start + end].to_owned()))
    })
    .await
}

/// The request that the page at this address sends when its button is pressed.
async fn become_admin(address: &str, origin: &str) -> reqwest::Response {
    let (site, code) = address.split_once("/#/").expect("an address of the console");
    let (_, code) = code.split_once('/').expect("a code");
    let asked = client()
        .post(format!("{site}/api/v1/auth/setup"))
        .header("origin", origin)
        .json(&json!({ "code": code, "cookies": true }));
    asked.send().await.expect("somebody listens at the address that was printed")
}

fn cookies(answer: &reqwest::Response) -> String {
    let all = answer.headers().get_all("set-cookie").iter();
    let pairs = all.filter_map(|value| value.to_str().ok()?.split(';').next().map(str::to_owned));
    pairs.collect::<Vec<_>>().join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_address_works_wherever_the_server_listens() {
    for host in ["127.0.0.1", "0.0.0.0"] {
        let server = as_it_is();
        let listen = streamgate_tests::server::free_port();
        let server = server.set("plugins.gateway.listen", format!("{host}:{listen}")).start_at(listen).await;
        let (line, address) = printed(&server).await;
        let site = format!("http://localhost:{listen}");
        assert!(address.starts_with(&format!("{site}/#/setup/")), "{line}");
        // Users look for it: it is the last line, after the server is ready.
        let log = server.log();
        let place = |what: &str| log.find(what).unwrap_or_else(|| panic!("no {what:?} in {log}"));
        assert!(place("\"ready\"").max(place("listening on")) < place("/#/setup/"), "{log}");
        assert!(!log.contains("degraded"), "all is well: {log}");

        let refused = become_admin(&address, "https://evil.example").await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        let made = become_admin(&address, &site).await;
        assert_eq!(made.status(), StatusCode::OK);
        let made_key = client()
            .post(format!("{site}/api/v1/auth/keys"))
            .header("origin", &site)
            .header("cookie", cookies(&made))
            .json(&json!({ "name": "first", "scopes": ["admin"] }));
        assert_eq!(made_key.send().await.expect("an answer").status(), StatusCode::CREATED);
        // A client that uses another name of this machine gets the name under which users sign in.
        let nobody = client().get(server.url("/api/v1/auth/me")).send().await.expect("an answer");
        assert_eq!(nobody.status(), StatusCode::OK);
        let nobody: Value = nobody.json().await.expect("JSON");
        assert_eq!((&nobody["principal"], &nobody["site"]), (&Value::Null, &json!(site)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_in_a_network_needs_one_word_and_is_warned_of() {
    let port = streamgate_tests::server::free_port();
    let site = format!("http://server.lan:{port}");
    let server = as_it_is()
        .set("plugins.gateway.listen", format!("0.0.0.0:{port}"))
        .set("plugins.auth.public_url", &site)
        .set("plugins.auth.plain_http", true)
        .start_at(port)
        .await;
    server.logged("`plain_http` is set").await;
    let (_, address) = printed(&server).await;
    let here = address.replacen(&site, &format!("http://127.0.0.1:{port}"), 1);
    assert_ne!(here, address);
    let refused = become_admin(&here, &format!("http://localhost:{port}")).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "the address is the one of the settings alone");
    let made = become_admin(&here, &site).await;
    assert_eq!(made.status(), StatusCode::OK);
    assert!(!cookies(&made).contains("__Host-"), "browsers keep no such cookie without TLS");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_port_there_is_no_address_to_open() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let mut server = as_it_is().set("plugins.gateway.listen", format!("127.0.0.1:{port}")).spawned();
    assert_eq!(server.ended().await.code(), Some(4));
    let log = server.log();
    assert!(log.contains("gateway is required and did not start"), "{log}");
    assert!(!log.contains("/#/setup/"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_compares_the_address_of_people_with_where_the_server_listens() {
    let said = async |url: &str, listen: &str| {
        let url = format!("plugins.auth.public_url={url}");
        let listen = format!("plugins.gateway.listen={listen}");
        let (code, _, text) = Setup::default().command(&["check", "--set", &url, "--set", &listen]).await;
        (code, text)
    };
    let (code, text) = said("http://localhost:8080", "127.0.0.1:18472").await;
    assert_eq!(code, Some(0), "a proxy may forward it: {text}");
    assert!(text.contains("warning: --set plugins.auth.public_url: plugins.auth.public_url = "), "{text}");
    assert!(text.contains("leads to port 8080 of this machine, and the server listens on 127.0.0.1:18472"));
    assert_eq!(said("http://localhost:18472", "127.0.0.1:18472").await, (Some(0), String::new()));
    assert_eq!(said("https://video.example.org", "127.0.0.1:18472").await, (Some(0), String::new()));
    let (code, text) = said("http://192.168.1.5:8080", "0.0.0.0:8080").await;
    assert_eq!(code, Some(1));
    assert!(text.contains("plain_http = true"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_who_is_locked_out_gets_an_address_in_the_servers_shell() {
    let mut server = as_it_is().start().await;
    let site = format!("http://localhost:{}", server.port());
    let listen = format!("{site}/#/link/");
    // Once the server knows where it listens.
    let older = eventually("an address", Duration::from_secs(30), async || {
        let (code, address, _) = server.try_control(&["admin", "link"]).await;
        (code == Some(0)).then_some(address)
    })
    .await;
    let (code, address, note) = server.try_control(&["admin", "link"]).await;
    assert_eq!(code, Some(0), "{note}");
    assert!(address.starts_with(&listen) && !address.contains('\n'), "for scripts, alone: {address}");
    assert!(note.contains("15 minutes"), "{note}");
    assert_eq!(become_admin(&older, &site).await.status(), StatusCode::UNAUTHORIZED);
    let made = become_admin(&address, &site).await;
    assert_eq!(made.status(), StatusCode::OK);
    let me = client().get(format!("{site}/api/v1/auth/me")).header("cookie", cookies(&made)).send();
    let me: Value = me.await.expect("an answer").json().await.expect("JSON");
    assert_eq!(me["roles"], json!(["viewer", "creator", "admin"]));
    assert_eq!(become_admin(&address, &site).await.status(), StatusCode::UNAUTHORIZED);
    assert!(!server.log().contains("/#/link/"), "what lets somebody in is not in the log");

    let (code, _, error) = server.try_control(&["admin", "lnik"]).await;
    assert_eq!(code, Some(2));
    assert!(error.contains("streamgate admin link"), "{error}");
    // The kernel's options also count after the words; the plugin's follow `--`.
    let behind = ["admin", "--config=none.toml", "link", "--set", "kernel.log.level=warn"];
    let (code, _, error) = server.try_control(&behind).await;
    assert_eq!(code, Some(0), "{error}");
    let (code, _, error) =
        server.try_control(&["admin", "link", "--", "--set", "kernel.log.level=warn"]).await;
    assert_eq!(code, Some(2), "{error}");
    let (code, _, error) = server.try_control(&["admin", "link", "--config"]).await;
    assert_eq!((code, error.as_str()), (Some(2), "error: `--config` lacks its value"));
    let (code, _, error) = server.try_control(&["admin", "link", "--set", "kernel.data_dir=/nowhere"]).await;
    assert!(code == Some(3) && error.contains("/nowhere"), "{error}");
    let (code, _, error) = server.try_control(&["amdin", "link"]).await;
    assert_eq!(code, Some(2));
    assert!(error.contains("no such command `amdin`") && error.contains("admin"), "{error}");
    assert_eq!(server.stop().await.code(), Some(0));
    assert_eq!(server.try_control(&["admin", "link"]).await.0, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typing_error_is_distinguished_from_a_command_of_a_plugin_without_a_server() {
    let (code, _, error) = Setup::default().command(&["chekc"]).await;
    assert_eq!(code, Some(2));
    assert!(error.contains("did you mean `check`?"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_is_shown_with_where_it_comes_from_and_without_keys_of_endpoints() {
    let endpoint = "https://rpc.example.org/v3/SECRETKEY123";
    let chains = format!("[{{ id = 1, endpoints = [{endpoint:?}] }}]");
    let set = |chains: &str| Setup::default().set("plugins.chain-evm.chains", chains);
    let (code, shown, error) = set(&chains).command(&["config", "show"]).await;
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let line = |key: &str| {
        let line = shown.lines().find(|line| line.starts_with(&format!("{key} = ")));
        line.unwrap_or_else(|| panic!("no {key} in {shown}"))
    };
    assert!(line("plugins.gateway.listen").ends_with("# --set plugins.gateway.listen"), "{shown}");
    assert!(line("plugins.gateway.max_connections").ends_with("# default"), "{shown}");
    assert!(line("plugins.gateway.filters").contains("plugins.toml:"), "{shown}");
    let endpoints = "endpoints = [\"https://rpc.example.org/…\"]";
    assert!(line("plugins.chain-evm.chains").contains(endpoints), "{shown}");
    let (code, output, error) = set("[]").command(&["config", "show", "plugins.chain-evm.chains"]).await;
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(output.starts_with("plugins.chain-evm.chains = [] "), "{output}");
    let (code, output, error) = set("[]").command(&["config", "show", "plugins.chain-evm.chain"]).await;
    assert_eq!((code, output.as_str()), (Some(2), ""));
    assert_eq!(error, "error: plugins.chain-evm.chain: unknown key; did you mean `chains`?");
    let broken = chains.replace("https://", "http://");
    let two = format!("[{{ id = 1, quorum = 9, endpoints = [{endpoint:?}] }}]");
    for chains in [broken.as_str(), &two, &chains.replace("endpoints", "endpoint"), "[{ id = 0 }]"] {
        let (code, output, error) = set(chains).command(&["check"]).await;
        assert_eq!(code, Some(1), "{error}");
        let from = "error: --set plugins.chain-evm.chains: plugins.chain-evm.chains";
        assert!(error.starts_with(from), "it is not in the file: {error}");
        assert!(!format!("{shown}{output}{error}").contains("SECRETKEY123"), "{error}");
    }
}
