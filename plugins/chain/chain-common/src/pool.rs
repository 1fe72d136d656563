//! The endpoints of one chain together: the answer of enough of them is the chain's. If they cannot be
//! reached, or contradict each other, the answer is unknown and never anything else.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use streamgate_contracts::chain::v1::{ChainState, Observation};
use streamgate_plugin_api::Health;

use crate::endpoint::Endpoint;
use crate::rpc::RpcError;
use crate::settings::Limits;

/// The answer is unknown, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(pub String);

/// The default quorum of this many endpoints.
fn usual_quorum(endpoints: usize) -> usize {
    endpoints.clamp(1, 2)
}

/// The endpoints of a chain; `E` is an endpoint with its plugin's state.
pub struct Pool<E> {
    endpoints: Vec<Arc<E>>,
    quorum: usize,
    hedge_after: Duration,
    deadline: Duration,
}

impl<E: AsRef<Endpoint>> Pool<E> {
    /// A pool of at least `quorum` endpoints, of which that many must agree; without a `quorum`, two must if
    /// there are at least two.
    pub fn new(endpoints: Vec<E>, quorum: Option<usize>, limits: &Limits) -> Self {
        Self {
            quorum: quorum.unwrap_or(usual_quorum(endpoints.len())),
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            hedge_after: limits.hedge_after.get(),
            deadline: limits.deadline.get(),
        }
    }

    /// How many must agree.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// How many endpoints there are.
    pub fn size(&self) -> usize {
        self.endpoints.len()
    }

    /// The problems of endpoints that are not in use.
    pub fn troubles(&self) -> Vec<String> {
        let trouble = |endpoint: &Arc<E>| {
            let endpoint = (**endpoint).as_ref();
            endpoint.trouble().map(|trouble| format!("{}: {trouble}", endpoint.label()))
        };
        self.endpoints.iter().filter_map(trouble).collect()
    }

    /// How many are in use, for people.
    pub fn up(&self) -> String {
        format!("{} of {} endpoints are up", self.size() - self.troubles().len(), self.size())
    }

    /// The state of the chain in the contract; `latest` is the last agreed block.
    pub fn state(&self, chain: impl Display, name: &str, latest: Option<Observation>) -> ChainState {
        ChainState {
            chain: chain.to_string(),
            name: name.to_owned(),
            endpoints_up: (self.size() - self.troubles().len()) as u32,
            endpoints: self.size() as u32,
            quorum: self.quorum as u32,
            latest,
        }
    }

    /// Reports the chain's health: unhealthy if it is `unread` for some reason, and degraded while an
    /// endpoint is not in use.
    pub fn show(&self, health: &Health, unread: Option<String>) {
        let troubles = self.troubles();
        match unread {
            Some(reason) => health.unhealthy(reason),
            None if troubles.is_empty() => health.healthy(),
            None => health.degraded(format!("{} ({})", self.up(), troubles.join("; "))),
        }
    }

    /// The answer on which a quorum of endpoints agrees.
    ///
    /// # Errors
    /// Why there is no such answer.
    pub async fn agree<T, F>(&self, ask: impl Fn(Arc<E>) -> F) -> Result<T, Unknown>
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
                self.endpoint(index).contradicted();
            }
        }
        Ok(agreed)
    }

    /// The first answer of any endpoint, for values that differ between endpoints and grant nothing.
    ///
    /// # Errors
    /// Why none answered.
    pub async fn first<T, F>(&self, ask: impl Fn(Arc<E>) -> F) -> Result<T, Unknown>
    where
        T: Clone,
        F: Future<Output = Result<T, RpcError>>,
    {
        let first = |answers: &[(usize, T)], _| answers.first().map(|(_, answer)| answer.clone());
        Ok(self.race(1, ask, first).await?.0)
    }

    /// The answers of all endpoints that are not paused, for messages to all of them.
    pub async fn each<T, F>(&self, ask: impl Fn(Arc<E>) -> F) -> Vec<Result<T, RpcError>>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let usable = self.endpoints.iter().filter(|endpoint| !(***endpoint).as_ref().rests());
        futures_util::future::join_all(usable.map(|endpoint| ask(Arc::clone(endpoint)))).await
    }

    /// The last blocks of a quorum of endpoints, at most `max_lag` apart by their `number`. While one of
    /// those that have answered is ahead of them, the others are awaited first: a lagging endpoint must not
    /// hold the chain back.
    ///
    /// # Errors
    /// Why there are no such blocks.
    pub async fn heads<T, F>(
        &self,
        max_lag: u64,
        number: impl Fn(&T) -> u64,
        ask: impl Fn(Arc<E>) -> F,
    ) -> Result<Vec<T>, Unknown>
    where
        T: Clone,
        F: Future<Output = Result<T, RpcError>>,
    {
        let enough = |answers: &[(usize, T)], exhausted: bool| {
            let mut heads: Vec<&T> = answers.iter().map(|(_, block)| block).collect();
            heads.sort_by_key(|head| std::cmp::Reverse(number(head)));
            let close = |some: &[&T]| number(some[0]) - number(some[self.quorum - 1]) <= max_lag;
            let at = heads.windows(self.quorum).position(close)?;
            let taken = || heads[at..at + self.quorum].iter().map(|head| (*head).clone()).collect::<Vec<_>>();
            (at == 0 || exhausted).then(taken)
        };
        Ok(self.race(self.quorum, ask, enough).await?.0)
    }

    fn endpoint(&self, index: usize) -> &Endpoint {
        (*self.endpoints[index]).as_ref()
    }

    /// Calls `at_once` endpoints, fastest first, and one more whenever one fails, or none has answered for
    /// `hedge_after`, until `done` accepts the answers. `done` is told whether no further one will come.
    async fn race<T, R, F>(
        &self,
        at_once: usize,
        ask: impl Fn(Arc<E>) -> F,
        done: impl Fn(&[(usize, T)], bool) -> Option<R>,
    ) -> Result<(R, Vec<(usize, T)>), Unknown>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let mut usable: Vec<usize> =
            (0..self.endpoints.len()).filter(|index| !self.endpoint(*index).rests()).collect();
        usable.sort_by_key(|index| self.endpoint(*index).latency());
        if usable.len() < at_once {
            let troubles = self.troubles().join("; ");
            return Err(Unknown(format!(
                "{} of {at_once} endpoints are available ({troubles})",
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
                Err(error) => reasons.push(format!("{}: {error}", self.endpoint(index).label())),
            }
            if answers.len() + running.len() < at_once || running.is_empty() {
                running.extend(waiting.pop_front().map(&start));
            }
        }
        if let Some(result) = done(&answers, true) {
            return Ok((result, answers));
        }
        if answers.len() >= at_once {
            reasons.push(format!("{} endpoints answered, and no {at_once} of them agree", answers.len()));
        } else if reasons.is_empty() {
            reasons.push("no endpoint answered in time".into());
        }
        Err(Unknown(reasons.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_endpoints_must_agree_wherever_there_are_two() {
        assert_eq!([0, 1, 2, 3].map(usual_quorum), [1, 1, 2, 2]);
    }
}
