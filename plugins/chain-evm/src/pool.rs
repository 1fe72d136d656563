//! The endpoints of one chain together: what enough of them say is what the chain says. When they
//! cannot be reached, or contradict each other, the answer is unknown and never anything else.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::endpoint::{At, Endpoint, Limits};
use crate::rpc::{Block, RpcError};
use crate::settings::{Chain, Finality, Settings};

/// Nobody can say now, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unknown(pub(crate) String);

/// The endpoints of a chain.
pub(crate) struct Pool {
    endpoints: Vec<Arc<Endpoint>>,
    quorum: usize,
    hedge_after: Duration,
    deadline: Duration,
    max_lag: u64,
    max_age: Option<Duration>,
    /// The highest blocks that were agreed on: latest, safe, finalized.
    highest: [AtomicU64; 3],
}

impl Pool {
    /// The pool of a chain with at least one endpoint.
    ///
    /// # Errors
    /// What is wrong with an endpoint.
    pub(crate) fn new(settings: &Settings, chain: &Chain) -> Result<Self, String> {
        let limits = Limits::new(settings);
        let endpoints =
            chain.endpoints.iter().map(|url| Endpoint::new(url, chain.id, limits.clone()).map(Arc::new));
        Ok(Self {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            quorum: chain.quorum(),
            hedge_after: settings.hedge_after.get(),
            deadline: settings.deadline.get(),
            max_lag: chain.max_lag,
            max_age: Some(chain.max_age.get()).filter(|age| !age.is_zero()),
            highest: Default::default(),
        })
    }

    pub(crate) fn quorum(&self) -> usize {
        self.quorum
    }

    pub(crate) fn size(&self) -> usize {
        self.endpoints.len()
    }

    /// The highest block that was ever agreed on.
    pub(crate) fn highest(&self) -> u64 {
        self.highest[0].load(Ordering::Relaxed)
    }

    /// What is wrong with those endpoints that are not in use.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let trouble = |endpoint: &Arc<Endpoint>| {
            endpoint.trouble().map(|trouble| format!("{}: {trouble}", endpoint.label()))
        };
        self.endpoints.iter().filter_map(trouble).collect()
    }

    /// What a quorum of endpoints answers alike.
    pub(crate) async fn agree<T, F>(&self, ask: impl Fn(Arc<Endpoint>) -> F) -> Result<T, Unknown>
    where
        T: Clone + PartialEq,
        F: Future<Output = Result<T, RpcError>>,
    {
        let agreed = |answers: &[(usize, T)], _| {
            answers
                .iter()
                .find(|(_, answer)| {
                    answers.iter().filter(|(_, other)| other == answer).count() >= self.quorum
                })
                .map(|(_, answer)| answer.clone())
        };
        let (agreed, answers) = self.race(self.quorum, ask, agreed).await?;
        for (index, answer) in answers {
            if answer != agreed {
                self.endpoints[index].contradicted();
            }
        }
        Ok(agreed)
    }

    /// What any endpoint answers first, for what differs from one to the next and grants nothing.
    pub(crate) async fn first<T, F>(&self, ask: impl Fn(Arc<Endpoint>) -> F) -> Result<T, Unknown>
    where
        T: Clone,
        F: Future<Output = Result<T, RpcError>>,
    {
        let first = |answers: &[(usize, T)], _| answers.first().map(|(_, answer)| answer.clone());
        Ok(self.race(1, ask, first).await?.0)
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
        // As many as must agree, and close together. While one of those that have answered is ahead
        // of them, the others are heard first: who lags must not hold the chain back.
        let enough = |answers: &[(usize, Block)], exhausted: bool| {
            let mut heads: Vec<&Block> = answers.iter().map(|(_, block)| block).collect();
            heads.sort_by_key(|head| std::cmp::Reverse(head.number));
            let close = |some: &[&Block]| some[0].number - some[self.quorum - 1].number <= self.max_lag;
            let at = heads.windows(self.quorum).position(close)?;
            let taken = || heads[at..at + self.quorum].iter().map(|head| (*head).clone()).collect::<Vec<_>>();
            (at == 0 || exhausted).then(taken)
        };
        let ask = |endpoint: Arc<Endpoint>| async move { endpoint.head(tag, floor, max_age).await };
        let (heads, _) = self.race(self.quorum, ask, enough).await?;
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

    /// Asks `at_once` endpoints, fastest first, and one more whenever one fails, or none has
    /// answered for `hedge_after`, until `done` is content with the answers. It is told whether
    /// no further one will come.
    async fn race<T, R, F>(
        &self,
        at_once: usize,
        ask: impl Fn(Arc<Endpoint>) -> F,
        done: impl Fn(&[(usize, T)], bool) -> Option<R>,
    ) -> Result<(R, Vec<(usize, T)>), Unknown>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let mut usable: Vec<usize> =
            (0..self.endpoints.len()).filter(|index| !self.endpoints[*index].rests()).collect();
        usable.sort_by_key(|index| self.endpoints[*index].latency());
        if usable.len() < at_once {
            let troubles = self.troubles().join("; ");
            return Err(Unknown(format!(
                "{} of {at_once} endpoints can be asked now ({troubles})",
                usable.len()
            )));
        }
        let mut waiting = VecDeque::from(usable);
        let start = |index: usize| {
            let asked = ask(Arc::clone(&self.endpoints[index]));
            async move { (index, asked.await) }
        };
        let mut running: FuturesUnordered<_> = waiting.drain(..at_once).map(&start).collect();
        let (mut answers, mut reasons) = (Vec::new(), Vec::new());
        let most =
            self.deadline.saturating_mul(2) + self.hedge_after.saturating_mul(self.endpoints.len() as u32);
        let end = tokio::time::sleep(most);
        tokio::pin!(end);
        loop {
            let hedge = tokio::time::sleep(self.hedge_after);
            let answered = tokio::select! {
                answered = running.next() => answered,
                () = hedge, if !waiting.is_empty() => {
                    running.extend(waiting.pop_front().map(&start));
                    continue;
                }
                () = &mut end => None,
            };
            let Some((index, answer)) = answered else { break };
            match answer {
                Ok(answer) => {
                    answers.push((index, answer));
                    if let Some(result) = done(&answers, false) {
                        return Ok((result, answers));
                    }
                }
                Err(error) => reasons.push(format!("{}: {error}", self.endpoints[index].label())),
            }
            if answers.len() + running.len() < at_once || running.is_empty() {
                running.extend(waiting.pop_front().map(&start));
            }
        }
        if let Some(result) = done(&answers, true) {
            return Ok((result, answers));
        }
        if answers.len() >= at_once {
            reasons.push(format!("{} endpoints answered, and no {at_once} of them alike", answers.len()));
        } else if reasons.is_empty() {
            reasons.push("no endpoint answered in time".into());
        }
        Err(Unknown(reasons.join("; ")))
    }
}
