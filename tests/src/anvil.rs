//! A real chain (Anvil) on this machine, and the contracts of `tests/chains` and of `registry-evm`.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use serde_json::{Value, json};

use crate::node::Node;
use crate::server::repository;
use crate::tools::{node_project, run};
use crate::wait::eventually;

/// Anvil's own chain id.
pub const CHAIN: u64 = 31337;

const PATIENCE: Duration = Duration::from_secs(60);
const HOW: &str = "this test needs Node.js with npm, which installs Anvil and solc as \
                   tests/chains/package-lock.json names them (Linux on x86-64)";

/// The folder with Anvil and the compiled contracts; installed and compiled once.
fn tools() -> &'static PathBuf {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let folder = node_project("tests/chains").unwrap_or_else(|error| panic!("{HOW}: {error:#}"));
        let turn = File::create(folder.join(".compiling")).expect("a lock file");
        turn.lock().expect("the lock");
        let ours = repository().join("plugins/chain/registry-evm/contracts");
        run(Command::new("node").arg("compile.js").arg(ours).current_dir(&folder))
            .unwrap_or_else(|error| panic!("{HOW}: {error:#}"));
        folder
    })
}

/// A compiled contract: its deployment code, and its code on the chain; hexadecimal.
///
/// # Panics
/// When there is no such contract, or a tool is missing.
pub fn compiled(name: &str) -> (String, String) {
    let text = fs::read_to_string(tools().join(format!("build/{name}.json"))).expect("a contract");
    let built: Value = serde_json::from_str(&text).expect("JSON");
    let part = |name: &str| built[name].as_str().expect("its code").to_owned();
    (part("bytecode"), part("deployed"))
}

/// An Anvil on a free port of this machine; it ends with this value.
///
/// Every method panics when the chain does not do as requested.
#[derive(Debug)]
pub struct Anvil {
    node: Node,
}

impl Deref for Anvil {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Anvil {
    /// Starts one.
    ///
    /// # Panics
    /// When it cannot be installed or does not start.
    pub fn start() -> Self {
        let mut command = Command::new(tools().join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"));
        command.args(["--host", "127.0.0.1", "--port", "0", "--slots-in-an-epoch", "1"]);
        Self { node: Node::start(&mut command, HOW) }
    }

    /// Accounts that it signs for.
    ///
    /// # Panics
    /// As [`Node::rpc`].
    pub async fn accounts(&self) -> Vec<Address> {
        serde_json::from_value(self.rpc("eth_accounts", json!([])).await).expect("addresses")
    }

    /// Sends a transaction and returns its receipt.
    ///
    /// # Panics
    /// When it reverts, or no block comes.
    pub async fn send(&self, from: Address, to: Option<Address>, data: impl Into<Bytes>) -> Value {
        let mut transaction = json!({ "from": from, "data": data.into(), "gas": "0xf00000" });
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        let hash = self.rpc("eth_sendTransaction", json!([transaction])).await;
        let receipt = self.receipt(&hash).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    /// The receipt of a transaction, once it is in a block.
    ///
    /// # Panics
    /// When no block comes.
    pub async fn receipt(&self, hash: &Value) -> Value {
        eventually("a receipt", PATIENCE, async || {
            let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).await;
            (!receipt.is_null()).then_some(receipt)
        })
        .await
    }

    /// Deploys a contract, with its constructor's arguments.
    ///
    /// # Panics
    /// When it cannot be deployed.
    pub async fn deploy(&self, name: &str, arguments: &[u8]) -> Address {
        let code: Bytes = compiled(name).0.parse().expect("hexadecimal");
        let data = [&code[..], arguments].concat();
        let receipt = self.send(self.accounts().await[0], None, data).await;
        serde_json::from_value(receipt["contractAddress"].clone()).expect("an address")
    }

    /// Puts a contract where real chains have it.
    ///
    /// # Panics
    /// As [`Node::rpc`].
    pub async fn stand_in(&self, name: &str, at: &str) {
        self.rpc("anvil_setCode", json!([at, format!("0x{}", compiled(name).1)])).await;
        self.mine(1).await;
    }

    /// Adds empty blocks.
    ///
    /// # Panics
    /// As [`Node::rpc`].
    pub async fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    /// Replaces the last blocks by empty ones.
    ///
    /// # Panics
    /// As [`Node::rpc`].
    pub async fn reorg(&self, depth: u64) {
        self.rpc("anvil_reorg", json!([depth, []])).await;
    }

    /// The number of the last block.
    ///
    /// # Panics
    /// As [`Node::rpc`].
    pub async fn height(&self) -> u64 {
        let text = self.rpc("eth_blockNumber", json!([])).await;
        u64::from_str_radix(text.as_str().expect("a number").trim_start_matches("0x"), 16).expect("a number")
    }
}
