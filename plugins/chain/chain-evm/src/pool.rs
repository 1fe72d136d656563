//! The endpoints of one chain together, and their agreed blocks.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use streamgate_chain_common::RpcError;
pub(crate) use streamgate_chain_common::Unknown;

use crate::endpoint::{At, Endpoint};
use crate::rpc::Block;
use crate::settings::{Chain, Finality, Settings};

/// The endpoints of a chain.
pub(crate) struct Pool {
    endpoints: streamgate_chain_common::Pool<Endpoint>,
    max_lag: u64,
    max_age: Option<Duration>,
    /// The highest agreed blocks: latest, safe, finalized.
    highest: [AtomicU64; 3],
}

impl Deref for Pool {
    type Target = streamgate_chain_common::Pool<Endpoint>;

    fn deref(&self) -> &Self::Target {
        &self.endpoints
    }
}

impl Pool {
    /// The pool of a chain with at least one endpoint.
    ///
    /// # Errors
    /// The problem of an endpoint.
    pub(crate) fn new(settings: &Settings, chain: &Chain) -> Result<Self, String> {
        let endpoints = chain.endpoints.iter().map(|url| Endpoint::new(url, chain.id, settings));
        Ok(Self {
            endpoints: streamgate_chain_common::Pool::new(
                endpoints.collect::<Result<_, _>>()?,
                chain.quorum,
                &settings.limits(),
            ),
            max_lag: chain.max_lag,
            max_age: Some(chain.max_age.get()).filter(|age| !age.is_zero()),
            highest: Default::default(),
        })
    }

    /// The highest block that was ever agreed on.
    pub(crate) fn highest(&self) -> u64 {
        self.highest[0].load(Ordering::Relaxed)
    }

    /// The block of this finality that a quorum knows under one hash, not below `least`.
    pub(crate) async fn head(&self, finality: Finality, least: u64) -> Result<Block, Unknown> {
        let (tag, highest) = match finality {
            Finality::Latest => ("latest", &self.highest[0]),
            Finality::Safe => ("safe", &self.highest[1]),
            Finality::Finalized => ("finalized", &self.highest[2]),
        };
        let floor = highest.load(Ordering::Relaxed).saturating_sub(self.max_lag).max(least);
        let max_age = self.max_age.filter(|_| finality == Finality::Latest);
        let ask = |endpoint: Arc<Endpoint>| async move { endpoint.head(tag, floor, max_age).await };
        let heads = self.heads(self.max_lag, |head| head.number, ask).await?;
        let lowest = heads.iter().min_by_key(|head| head.number).cloned();
        let lowest = lowest.ok_or_else(|| Unknown("no endpoint has a block".into()))?;
        let agreed =
            if heads.iter().all(|head| *head == lowest) { lowest } else { self.block(lowest.number).await? };
        highest.fetch_max(agreed.number, Ordering::Relaxed);
        Ok(agreed)
    }

    /// The block of this number that a quorum knows under one hash.
    pub(crate) async fn block(&self, number: u64) -> Result<Block, Unknown> {
        self.agree(|endpoint| async move {
            let block = endpoint.block(At::Number(number)).await?;
            block.ok_or_else(|| RpcError::Behind(format!("it does not know block {number}")))
        })
        .await
    }
}
