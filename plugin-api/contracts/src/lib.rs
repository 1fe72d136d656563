//! The typed calls between StreamGate plugins: clients and servers generated from the
//! protobuf files in `proto/`, the SQL client [`db::Db`], the client of objects [`storage::Client`], the outbox of
//! the audit log ([`audit::Outbox`]), the event subjects, the outbox of events ([`outbox::Outbox`]), what is
//! asked before a deletion is believed ([`deletions::Deletions`]), where [`renditions`] are, how a write of
//! an earlier lease is refused ([`fence`]), what [`scopes`] let somebody do, names of chains, accounts and
//! assets ([`caip`]), and addresses and digests of [`ethereum`].
//!
//! This crate contains contracts only. It never decides anything: the plugin that provides a capability
//! implements it.
//!
//! ```no_run
//! use streamgate_contracts::catalogue::v1::{GetRequest, catalogue_client::CatalogueClient};
//!
//! # async fn example(host: streamgate_plugin_api::Host) -> Result<(), Box<dyn std::error::Error>> {
//! let mut catalogue = CatalogueClient::new(host.service("catalogue"));
//! let content = catalogue.get(GetRequest { id: "0190…".into() }).await?.into_inner();
//! # drop(content);
//! # Ok(())
//! # }
//! ```

/// The `access` capability: who may play which content.
pub mod access {
    /// `streamgate.access.v1`, generated from `access.proto`.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::unwrap_used)]
    pub mod v1 {
        tonic::include_proto!("streamgate.access.v1");
    }
}

/// The `auth` capability: authentication, the audit log, and revocation.
pub mod auth {
    /// `streamgate.auth.v1`, generated from `auth.proto`.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::unwrap_used)]
    pub mod v1 {
        tonic::include_proto!("streamgate.auth.v1");
    }
}

/// The `catalogue` capability: contents, renditions and segments.
pub mod catalogue {
    /// `streamgate.catalogue.v1`, generated from `catalogue.proto`.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::unwrap_used)]
    pub mod v1 {
        tonic::include_proto!("streamgate.catalogue.v1");
    }
}

/// The `chain` capability: what accounts own on chains.
pub mod chain {
    /// `streamgate.chain.v1`, generated from `chain.proto`.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::unwrap_used)]
    pub mod v1 {
        tonic::include_proto!("streamgate.chain.v1");
    }
}

/// The `database` capability: batches, queries and migrations. Plugins use it through [`crate::db`].
pub mod database {
    /// `streamgate.database.v1`, generated from `database.proto`.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::unwrap_used)]
    pub mod v1 {
        tonic::include_proto!("streamgate.database.v1");
    }
}

/// The `jobs` capability: durable work.
pub mod jobs {
    /// `streamgate.jobs.v1`, generated from `jobs.proto`.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::unwrap_used)]
    pub mod v1 {
        tonic::include_proto!("streamgate.jobs.v1");
    }
}

/// The `upload` capability: what unfinished uploads take.
pub mod upload {
    /// `streamgate.upload.v1`, generated from `upload.proto`.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::unwrap_used)]
    pub mod v1 {
        tonic::include_proto!("streamgate.upload.v1");
    }
}

pub mod audit;
pub mod caip;
pub mod db;
pub mod deletions;
pub mod ethereum;
pub mod events;
pub mod fence;
pub mod outbox;
pub mod renditions;
pub mod scopes;
mod states;
pub mod storage;

pub use states::UnknownState;

/// Largest gRPC message that internal calls send or accept, in bytes (32 MiB). Bulk data
/// goes over plain HTTP through the `storage` capability instead.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;
