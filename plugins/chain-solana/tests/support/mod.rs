//! A Solana cluster for tests, and the plugin's service over it.
//!
//! It is no validator: there is none that installs from a package. The token programs are the real
//! ones, run by LiteSVM, and Metaplex's accounts are written by Metaplex's own serializer; the
//! JSON-RPC in front of them is the test's own (`tests/chains-solana/front.js`).
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use streamgate_chain_solana::{Settings, Standalone};
use streamgate_contracts::chain::v1::chain_client::ChainClient;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{Answer, Holding, Question, Verdict};
use streamgate_plugin_api::Client;
use streamgate_tests::tools::node_project;

const HOW: &str = "this test needs Node.js with npm, which installs LiteSVM as \
                   tests/chains-solana/package-lock.json names it";

/// The folder with LiteSVM and its front; installed once.
fn tools() -> &'static PathBuf {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        node_project("tests/chains-solana").unwrap_or_else(|error| panic!("{HOW}: {error:#}"))
    })
}

/// A cluster on a free port of this machine; it ends with this value.
pub struct Cluster {
    child: Child,
    pub url: String,
    /// The hash of its genesis.
    pub genesis: String,
    http: reqwest::Client,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cluster {
    pub async fn start() -> Self {
        let mut child = Command::new("node")
            .arg("front.js")
            .current_dir(tools())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{HOW}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("the cluster listens");
        // It must not stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("http://{address}");
        let mut it = Self { child, url, genesis: String::new(), http: reqwest::Client::new() };
        it.genesis = it.text("getGenesisHash", json!([])).await;
        it
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer: Value = self.http.post(&self.url).json(&call).send().await.unwrap().json().await.unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    async fn text(&self, method: &str, params: Value) -> String {
        self.rpc(method, params).await.as_str().unwrap().into()
    }

    /// A new key pair, which the cluster signs for.
    pub async fn key(&self) -> String {
        self.text("test_key", json!([])).await
    }

    /// A new mint of `token` or `token-2022`; the latter has an extension.
    pub async fn mint(&self, program: &str, decimals: u8) -> String {
        let extended = program == "token-2022";
        let wanted = json!({ "program": program, "decimals": decimals, "extended": extended });
        self.text("test_mint", json!([wanted])).await
    }

    /// The owner's associated token account, which is made. That of Token-2022 has an extension.
    pub async fn associated(&self, mint: &str, owner: &str) -> String {
        self.text("test_associated", json!([mint, owner])).await
    }

    /// One more token account of the owner.
    pub async fn account(&self, mint: &str, owner: &str) -> String {
        self.text("test_account", json!([mint, owner])).await
    }

    pub async fn give(&self, account: &str, amount: u64) {
        self.rpc("test_mint_to", json!([account, amount])).await;
    }

    pub async fn transfer(&self, from: &str, to: &str, owner: &str, amount: u64) {
        self.rpc("test_transfer", json!([from, to, owner, amount])).await;
    }

    /// An NFT of a collection in the owner's hands: its mint and the token account.
    pub async fn nft(&self, program: &str, owner: &str, collection: &str) -> (String, String) {
        let mint = self.mint(program, 0).await;
        let account = self.associated(&mint, owner).await;
        self.give(&account, 1).await;
        self.metadata(&mint, json!({ "collection": collection, "verified": true })).await;
        self.rpc("test_edition", json!([mint])).await;
        (mint, account)
    }

    /// Sets the metadata of a mint: `collection`, `verified`, another mint that it is `of`, another
    /// `program` that it belongs to.
    pub async fn metadata(&self, mint: &str, what: Value) {
        let mut what = what;
        what["mint"] = mint.into();
        self.rpc("test_metadata", json!([what])).await;
    }

    pub async fn slot(&self) -> u64 {
        self.rpc("getSlot", json!([{}])).await.as_u64().unwrap()
    }

    /// Its name in CAIP-2.
    pub fn chain(&self) -> String {
        format!("solana:{}", &self.genesis[..32])
    }

    pub fn asset(&self, kind: &str, reference: &str) -> String {
        format!("{}/{kind}:{reference}", self.chain())
    }

    pub fn holding(&self, owner: &str, asset: &str, at_least: &str) -> Question {
        let account = format!("{}:{owner}", self.chain());
        let holding = Holding { account, asset: asset.into(), at_least: at_least.into() };
        Question { about: Some(About::Holding(holding)), ..Question::default() }
    }

    /// Settings for these endpoints, which are trusted to be on this machine.
    pub fn settings(&self, endpoints: &[&str], more: Value) -> Settings {
        let mut chain =
            json!({ "genesis": self.genesis, "name": "LiteSVM", "endpoints": endpoints, "max_lag": 2 });
        let mut settings = json!({
            "allow_private": true, "deadline": "2s", "hedge_after": "200ms", "head_ttl": "0s",
            "idle_poll": "1h", "breaker_failures": 3, "breaker_pause": "100ms", "max_answer": "256KiB",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            let of_chain = ["quorum", "max_lag", "max_age", "finality", "genesis"].contains(&&**key);
            let target = if of_chain { &mut chain } else { &mut settings };
            target[key] = value.clone();
        }
        settings["chains"] = json!([chain]);
        let settings: Settings = serde_json::from_value(settings).unwrap();
        assert_eq!(settings.problems(), []);
        settings
    }

    pub fn service(&self, endpoints: &[&str], more: Value) -> Service {
        Service::start(self.settings(endpoints, more))
    }
}

/// The plugin's service.
pub struct Service {
    pub chain: ChainClient<Client>,
    running: Standalone,
}

impl Service {
    pub fn start(settings: Settings) -> Self {
        let running = Standalone::start(settings).unwrap();
        Self { chain: ChainClient::new(Client::from_service(running.router())), running }
    }

    pub fn reconfigure(&self, settings: Settings) {
        self.running.reconfigure(settings).unwrap();
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }

    pub async fn ask(&self, question: Question) -> Answer {
        self.chain.clone().balance(question).await.unwrap().into_inner()
    }
}

#[track_caller]
pub fn assert_unknown(answer: &Answer, why: &str) {
    assert_eq!(answer.verdict(), Verdict::Unknown, "{why}: {answer:?}");
    assert!(!answer.reason.is_empty());
}
