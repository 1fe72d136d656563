//! A real chain (Anvil), real contracts, and the plugin's service over them.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use serde_json::{Value, json};
use streamgate_chain_evm::{Settings, Standalone};
use streamgate_contracts::chain::v1::chain_client::ChainClient;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{Answer, Holding, Question, Verdict};
use streamgate_contracts::events::ChainTransfer;
use streamgate_plugin_api::Client;
use streamgate_sqlite::Engine;
use streamgate_tests::tools::{node_project, run};
use streamgate_tests::wait::eventually;
use tempfile::TempDir;

/// Anvil's own chain id.
pub const CHAIN: u64 = 31337;

const HOW: &str = "this test needs Node.js with npm, which installs Anvil and solc as \
                   tests/chains/package-lock.json names them (Linux on x86-64)";

/// The folder with Anvil and the compiled contracts; installed and compiled once.
fn tools() -> &'static PathBuf {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let folder = node_project("tests/chains").unwrap_or_else(|error| panic!("{HOW}: {error:#}"));
        let turn = std::fs::File::create(folder.join(".compiling")).unwrap();
        turn.lock().unwrap();
        let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/contracts");
        run(Command::new("node").args(["compile.js", ours]).current_dir(&folder))
            .unwrap_or_else(|error| panic!("{HOW}: {error:#}"));
        folder
    })
}

/// A compiled contract: what deploys it, and what stands on the chain then.
pub fn compiled(name: &str) -> (String, String) {
    let text = std::fs::read_to_string(tools().join(format!("build/{name}.json"))).unwrap();
    let built: Value = serde_json::from_str(&text).unwrap();
    (built["bytecode"].as_str().unwrap().into(), built["deployed"].as_str().unwrap().into())
}

/// An Anvil on a free port of this machine; it ends with this value.
pub struct Anvil {
    child: Child,
    pub url: String,
    http: reqwest::Client,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Anvil {
    pub fn start() -> Self {
        let program = tools().join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
        let mut child = Command::new(&program)
            .args(["--host", "127.0.0.1", "--port", "0", "--slots-in-an-epoch", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{HOW}: {}: {error}", program.display()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("Anvil listens");
        // It must not stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://{address}"), http: reqwest::Client::new() }
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer: Value = self.http.post(&self.url).json(&call).send().await.unwrap().json().await.unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Accounts that Anvil signs for.
    pub async fn accounts(&self) -> Vec<Address> {
        serde_json::from_value(self.rpc("eth_accounts", json!([])).await).unwrap()
    }

    pub async fn send(&self, from: Address, to: Option<Address>, data: impl Into<Bytes>) -> Value {
        let mut transaction = json!({ "from": from, "data": data.into(), "gas": "0xf00000" });
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        let hash = self.rpc("eth_sendTransaction", json!([transaction])).await;
        let receipt = eventually("a receipt", PATIENCE, async || {
            let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).await;
            (!receipt.is_null()).then_some(receipt)
        })
        .await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    /// Deploys a contract, with its constructor's arguments.
    pub async fn deploy(&self, name: &str, arguments: &[u8]) -> Address {
        let code: Bytes = compiled(name).0.parse().unwrap();
        let data = [&code[..], arguments].concat();
        let receipt = self.send(self.accounts().await[0], None, data).await;
        serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
    }

    /// Puts a contract where real chains have it.
    pub async fn stand_in(&self, name: &str, at: &str) {
        self.rpc("anvil_setCode", json!([at, format!("0x{}", compiled(name).1)])).await;
        self.mine(1).await;
    }

    pub async fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    /// Replaces the last blocks by empty ones.
    pub async fn reorg(&self, depth: u64) {
        self.rpc("anvil_reorg", json!([depth, []])).await;
    }

    pub async fn height(&self) -> u64 {
        let text = self.rpc("eth_blockNumber", json!([])).await;
        u64::from_str_radix(text.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The plugin's service, and what it published.
pub struct Service {
    pub chain: ChainClient<Client>,
    pub told: Arc<Mutex<Vec<ChainTransfer>>>,
    running: Standalone,
}

impl Service {
    /// Over a database in the folder.
    pub async fn start(folder: &TempDir, settings: Settings) -> Self {
        let engine = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let running = Standalone::start(Client::from_service(engine.router()), settings, move |event| {
            assert_eq!(event.subject, format!("chain.eip155:{CHAIN}.transfer"));
            heard.lock().unwrap().push(event.parse().unwrap());
        })
        .await
        .unwrap();
        let chain = ChainClient::new(Client::from_service(running.router()));
        Self { chain, told, running }
    }

    pub fn reconfigure(&self, settings: Settings) {
        self.running.reconfigure(settings);
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }

    pub async fn holds(&self, account: Address, asset: &str) -> Answer {
        self.ask(holding(account, asset, "")).await
    }

    pub async fn ask(&self, question: Question) -> Answer {
        self.chain.clone().balance(question).await.unwrap().into_inner()
    }

    /// The event that fits, once it has been told.
    pub async fn heard(&self, what: &str, fits: impl Fn(&ChainTransfer) -> bool) -> ChainTransfer {
        eventually(what, PATIENCE, async || {
            self.told.lock().unwrap().iter().find(|event| fits(event)).cloned()
        })
        .await
    }
}

/// Settings for one chain at these endpoints, which are trusted to be on this machine.
pub fn settings(endpoints: &[&str], more: Value) -> Settings {
    let mut chain =
        json!({ "id": CHAIN, "name": "Anvil", "endpoints": endpoints, "max_age": "0s", "max_lag": 2 });
    let mut settings = json!({
        "allow_private": true, "deadline": "1s", "hedge_after": "200ms", "head_ttl": "0s", "poll": "50ms",
        "idle_poll": "50ms", "breaker_failures": 3, "breaker_pause": "100ms", "max_answer": "64KiB",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        let target = if ["quorum", "max_lag", "max_age", "finality", "reorg_depth"].contains(&&**key) {
            &mut chain
        } else {
            &mut settings
        };
        target[key] = value.clone();
    }
    settings["chains"] = json!([chain]);
    let settings: Settings = serde_json::from_value(settings).unwrap();
    assert_eq!(settings.problems(), []);
    settings
}

pub fn name(account: Address) -> String {
    format!("eip155:{CHAIN}:{account:#x}")
}

pub fn asset(kind: &str, contract: Address, id: Option<u64>) -> String {
    let id = id.map(|id| format!("/{id}")).unwrap_or_default();
    format!("eip155:{CHAIN}/{kind}:{contract:#x}{id}")
}

pub fn holding(account: Address, asset: &str, at_least: &str) -> Question {
    let holding = Holding { account: name(account), asset: asset.into(), at_least: at_least.into() };
    Question { about: Some(About::Holding(holding)), ..Question::default() }
}

pub fn verdict(answer: &Answer) -> Verdict {
    answer.verdict()
}
