//! A chain whose answers and their timing are set by the test.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, U256};
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::chain::v1::question::About;
use streamgate_plugin_api::Client;
use tokio::sync::Semaphore;
use tonic::Status;

use super::made_up::{MadeUp, block};

/// A chain that answers when the test releases it.
#[derive(Clone)]
pub struct Slow {
    pub asked: Arc<AtomicUsize>,
    /// How many watches of transfers were requested.
    pub watched: Arc<AtomicUsize>,
    pub may: Arc<Semaphore>,
    pub holds: Arc<AtomicUsize>,
    /// It was reorganised too deeply, and reports no transfers.
    pub broken: Arc<AtomicBool>,
    /// It has no transfer events, as on Solana.
    pub mute: Arc<AtomicBool>,
    /// Who has delegated to everyone and holds everything, and how many have.
    pub vault: Arc<Mutex<Option<(Address, u64)>>>,
}

impl MadeUp for Slow {
    async fn answers(&self, questions: Vec<wire::Question>) -> Result<Vec<wire::Answer>, Status> {
        self.asked.fetch_add(1, SeqCst);
        // Its answer is read before it is returned.
        let holds = self.holds.load(SeqCst) == 1;
        let _may = self.may.acquire().await;
        let vault = *self.vault.lock().unwrap();
        Ok(questions.into_iter().map(|question| answer(question.about, holds, vault)).collect())
    }

    fn tells_from(&self) -> Result<wire::Observation, Status> {
        self.watched.fetch_add(1, SeqCst);
        if self.broken.load(SeqCst) {
            return Err(Status::failed_precondition("the chain was reorganised too long ago"));
        }
        if self.mute.load(SeqCst) {
            return Err(Status::unimplemented("transfers are not reported"));
        }
        Ok(block(1))
    }
}

fn answer(about: Option<About>, holds: bool, vault: Option<(Address, u64)>) -> wire::Answer {
    let number = |number: U256| (true, Some(number.to_string()));
    let (yes, amount) = match about {
        // The registry of delegations: how many, and who.
        Some(About::Call(call)) if call.word == 1 => number(U256::from(vault.map_or(0, |(_, count)| count))),
        Some(About::Call(_)) => number(vault.map_or(U256::ZERO, |(vault, _)| vault.into_word().into())),
        Some(About::Delegation(_)) => (true, None),
        Some(About::Holding(holding)) => {
            let of_vault = vault.is_some_and(|(vault, _)| holding.account.ends_with(&format!("{vault:#x}")));
            (holds || of_vault, None)
        }
        None => (false, None),
    };
    let verdict = if yes { wire::Verdict::Yes } else { wire::Verdict::No };
    let at = wire::Observation { finality: 1, ..block(5) };
    wire::Answer { verdict: verdict.into(), amount, at: Some(at), ..Default::default() }
}

impl Slow {
    pub fn new(may: usize) -> Self {
        let (may, holds) = (Arc::new(Semaphore::new(may)), Arc::new(AtomicUsize::new(1)));
        let (asked, watched) = (Arc::default(), Arc::default());
        let (broken, mute, vault) = Default::default();
        Self { asked, watched, may, holds, broken, mute, vault }
    }

    pub fn client(&self) -> Client {
        MadeUp::client(self.clone())
    }
}
