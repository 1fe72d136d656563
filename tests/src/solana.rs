//! A Solana cluster on this machine.
//!
//! It is not a validator: none can be installed from a package. The token programs are the real ones, run by
//! LiteSVM, and Metaplex's accounts are written by Metaplex's own serializer; the JSON-RPC server in front is
//! our own (`tests/chains-solana/front.js`).

use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::node::Node;
use crate::tools::node_project;

const HOW: &str = "this test needs Node.js with npm, which installs LiteSVM as \
                   tests/chains-solana/package-lock.json names it";

/// The folder with LiteSVM and its server; installed once.
fn tools() -> &'static PathBuf {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        node_project("tests/chains-solana").unwrap_or_else(|error| panic!("{HOW}: {error:#}"))
    })
}

/// A cluster on a free port of this machine; it ends with this value.
///
/// Keys, mints and accounts are addresses in base58. Every method panics when the cluster does not do as
/// requested.
#[derive(Debug)]
pub struct Cluster {
    node: Node,
    /// The hash of its genesis.
    pub genesis: String,
}

impl Deref for Cluster {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Cluster {
    /// Starts one.
    ///
    /// # Panics
    /// When it cannot be installed or does not start.
    pub async fn start() -> Self {
        let node = Node::start(Command::new("node").arg("front.js").current_dir(tools()), HOW);
        let mut it = Self { node, genesis: String::new() };
        it.genesis = it.text("getGenesisHash", json!([])).await;
        it
    }

    async fn text(&self, method: &str, params: Value) -> String {
        self.rpc(method, params).await.as_str().expect("a text").into()
    }

    /// A new key pair, which the cluster signs for.
    pub async fn key(&self) -> String {
        self.text("test_key", json!([])).await
    }

    /// The key pair whose secret key is 32 times this byte, which the cluster signs for.
    pub async fn key_of(&self, seed: u8) -> String {
        self.text("test_key", json!([seed])).await
    }

    /// A new mint of `token` or `token-2022`; the latter has an extension.
    pub async fn mint(&self, program: &str, decimals: u8) -> String {
        let extended = program == "token-2022";
        let wanted = json!({ "program": program, "decimals": decimals, "extended": extended });
        self.text("test_mint", json!([wanted])).await
    }

    /// The owner's associated token account, which is created. That of Token-2022 has an extension.
    pub async fn associated(&self, mint: &str, owner: &str) -> String {
        self.text("test_associated", json!([mint, owner])).await
    }

    /// One more token account of the owner.
    pub async fn account(&self, mint: &str, owner: &str) -> String {
        self.text("test_account", json!([mint, owner])).await
    }

    /// Mints an amount, in the smallest unit, into a token account.
    pub async fn give(&self, account: &str, amount: u64) {
        self.rpc("test_mint_to", json!([account, amount])).await;
    }

    /// Transfers an amount, in the smallest unit, from a token account of the owner to another one.
    pub async fn transfer(&self, from: &str, to: &str, owner: &str, amount: u64) {
        self.rpc("test_transfer", json!([from, to, owner, amount])).await;
    }

    /// An NFT of a collection, held by the owner: its mint and the token account.
    pub async fn nft(&self, program: &str, owner: &str, collection: &str) -> (String, String) {
        let mint = self.mint(program, 0).await;
        let account = self.associated(&mint, owner).await;
        self.give(&account, 1).await;
        self.metadata(&mint, json!({ "collection": collection, "verified": true })).await;
        self.rpc("test_edition", json!([mint])).await;
        (mint, account)
    }

    /// Sets the metadata of a mint: `collection`, `verified`, another mint that it is `of`, another owning
    /// `program`.
    pub async fn metadata(&self, mint: &str, what: Value) {
        let mut what = what;
        what["mint"] = mint.into();
        self.rpc("test_metadata", json!([what])).await;
    }

    /// The last slot.
    pub async fn slot(&self) -> u64 {
        self.rpc("getSlot", json!([{}])).await.as_u64().expect("a number")
    }

    /// Its name in CAIP-2.
    #[must_use]
    pub fn chain(&self) -> String {
        format!("solana:{}", &self.genesis[..32])
    }

    /// An asset on it in CAIP-19, such as of the kind `token` by its mint.
    #[must_use]
    pub fn asset(&self, kind: &str, reference: &str) -> String {
        format!("{}/{kind}:{reference}", self.chain())
    }
}
