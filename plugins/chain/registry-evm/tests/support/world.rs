//! A real chain with a content registry, and the key of the server's account.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use alloy_primitives::Address;
use alloy_sol_types::SolValue as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Anvil, name};

/// The key of the last of Anvil's accounts.
const KEY: &str = "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";
/// That account.
pub const SERVER: usize = 9;

/// A chain with a registry, and the server's folder.
pub struct World {
    pub anvil: Anvil,
    pub folder: TempDir,
    pub registry: Address,
}

impl World {
    pub async fn new() -> Self {
        let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
        let server = anvil.accounts().await[SERVER];
        let registry = anvil.deploy("ContentRegistry", &server.abi_encode()).await;
        let file = folder.path().join("key");
        fs::write(&file, KEY).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        Self { anvil, folder, registry }
    }

    /// The settings of the chain, with more.
    pub fn settings(&self, more: Value) -> Value {
        let mut all = json!({
            "registry": name(self.registry),
            "signer_file": self.folder.path().join("key"),
            "confirmations": 2,
            "replace_after": "1h",
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    }

    /// The account of the server's key.
    pub async fn server(&self) -> Address {
        self.anvil.accounts().await[SERVER]
    }

    /// The number of the server's transactions on the chain.
    pub async fn used(&self) -> u64 {
        let count = self.anvil.rpc("eth_getTransactionCount", json!([self.server().await, "latest"])).await;
        u64::from_str_radix(count.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }
}
