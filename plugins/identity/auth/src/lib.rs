//! Authentication: sign-in by wallet (EIP-4361, EIP-712, and the equivalent for Solana), sessions, API keys,
//! roles and the audit log.
//!
//! It provides the `auth` capability to other plugins, the filters `authenticate` and `authorize` to the
//! ingress, and `/api/v1/auth` to clients. It knows principals and their roles, and nothing of contents:
//! access to those is decided elsewhere.

mod audit;
mod auth;
mod base;
mod by_hand;
mod check;
mod commands;
mod cors;
mod error;
mod filters;
#[doc(hidden)]
pub mod fuzz;
mod ingress;
mod origin;
mod people;
mod principal;
mod routes;
mod secret;
mod service;
mod session;
mod settings;
mod sign_in;
mod sites;
mod store;

use std::sync::Arc;
use std::time::Duration;

use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::changes::HOST_CHANGED;
use streamgate_plugin_api::{Host, Plugin, SettingsProblem, StartError, export_plugin};

pub use auth::Auth;
pub use error::OpenError;
pub use filters::rules::{Need, Rule};
pub use people::bootstrap::Bootstrap;
pub use settings::{RoleQuota, Settings};
pub use sign_in::contract_wallet::{ChainWallets, ContractWallets, NoContractWallets, Verdict};

/// How often expired data is removed.
const TIDY: Duration = Duration::from_secs(60);

/// The plugin.
struct Running {
    tasks: [tokio::task::JoinHandle<()>; 4],
}

impl Plugin for Running {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        check::check(settings)
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        if settings.plain_http {
            tracing::warn!(
                "`plain_http` is set: anyone who can read the network traffic can take over sessions"
            );
        }
        let database = host.service("database");
        let wallets = Arc::new(ChainWallets::new(host.service("chain")));
        let auth = Auth::open(
            database,
            host.data_dir(),
            settings,
            streamgate_plugin_api::time::Clock::system(),
            wallets,
            Bus::of(&host),
        )
        .await?;
        let first = auth.bootstrap(host.data_dir()).await?;
        host.provide("auth", auth.internal())?;
        host.provide("authenticate", auth.authentication())?;
        host.provide("authorize", auth.authorization())?;
        host.provide("command-admin", auth.commands())?;
        host.serve(auth.public());
        let changes = host.subscribe(HOST_CHANGED)?;
        let keeping = host.spawn(by_hand::keep(auth.clone(), host.clone(), changes));
        let events = auth.clone();
        let publishing = host.spawn(async move { events.publish().await });
        let health = host.health("tidying");
        health.healthy();
        let announced = auth.clone();
        let tidying = host.spawn(async move {
            let mut rounds = tokio::time::interval(TIDY);
            rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                rounds.tick().await;
                match auth.tidy().await {
                    Ok(()) => health.healthy(),
                    Err(reason) => health.degraded(reason),
                }
            }
        });
        let following = host.spawn(ingress::follow(host.clone(), announced, first));
        Ok(Self { tasks: [keeping, publishing, tidying, following] })
    }

    async fn stop(self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

export_plugin! {
    Running {
        name: "auth",
        description: "Sign-in by wallet, sessions, API keys, roles and the audit log",
        provides: ["auth", "authenticate", "authorize", "command-admin"],
        requires: ["database"],
        uses: ["chain", "ingress"],
        prefixes: ["/api/v1/auth", "/.well-known/jwks.json"],
        publishes: ["credential.*.ended", "host.changed.*.kept"],
        subscribes: ["host.changed"],
    }
}
