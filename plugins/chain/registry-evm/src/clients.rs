//! Facts about contents for a registry, from the plugins that have them: which are ready, their owners, the
//! hashes of their files, and their policies.

use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::access::v1::access_client::AccessClient;
use streamgate_contracts::access::v1::{Openness, PolicyRequest, PolicyResponse};
use streamgate_contracts::auth::v1::FindRequest;
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::catalogue::v1::catalogue_client::CatalogueClient;
use streamgate_contracts::catalogue::v1::{Content, ContentState, GetRequest, ListRequest};
use streamgate_contracts::storage;
use streamgate_plugin_api::Client;
use tonic::{Code, Response, Status};

use crate::caip::{Account, ChainId};

/// How long a plugin may take to answer, and storage for the next bytes of a file.
const DEADLINE: Duration = Duration::from_secs(30);
/// Contents that are requested at once.
const PAGE: u32 = 100;
/// The prefix of a CID: version 1, raw bytes, SHA-256, 32 bytes of it.
const CID: [u8; 4] = [0x01, 0x55, 0x12, 0x20];

/// The plugins that know about contents, and the one that keeps the audit log, by capability.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Which contents there are.
    pub catalogue: Client,
    /// Their files.
    pub storage: Client,
    /// Their policies.
    pub access: Client,
    /// The audit log, and the wallets of principals.
    pub auth: Client,
}

/// A plugin did not answer as required.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{capability}` does not answer: {reason}")]
pub(crate) struct Silent {
    capability: &'static str,
    reason: String,
}

impl Silent {
    fn because(capability: &'static str, reason: impl ToString) -> Self {
        Self { capability, reason: reason.to_string() }
    }
}

impl Clients {
    /// None: whatever is asked is not answered.
    pub fn none() -> Self {
        let nobody = || Client::from_service(axum::Router::new());
        Self { catalogue: nobody(), storage: nobody(), access: nobody(), auth: nobody() }
    }

    fn catalogue(&self) -> CatalogueClient<Client> {
        CatalogueClient::new(self.catalogue.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The ids of ready contents, in order, after this one; empty when there are no more.
    pub(crate) async fn ready(&self, after: &str) -> Result<Vec<String>, Silent> {
        let state = ContentState::Ready.into();
        let request = ListRequest { state, after: after.into(), limit: PAGE };
        let list = answered("catalogue", self.catalogue().list(request)).await?;
        let list = list.map_err(|status| Silent::because("catalogue", status.message()))?;
        Ok(list.contents.into_iter().map(|content| content.id).collect())
    }

    /// A content; `None` if it does not exist, or no longer does.
    pub(crate) async fn content(&self, id: &str) -> Result<Option<Content>, Silent> {
        match answered("catalogue", self.catalogue().get(GetRequest { id: id.into() })).await? {
            Ok(content) => Ok(Some(content)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(Silent::because("catalogue", status.message())),
        }
    }

    /// The CID of a content's uploaded file; `None` if it is not in storage. It reads the whole file.
    pub(crate) async fn cid(&self, id: &str) -> Result<Option<Bytes>, Silent> {
        let silent = |reason: &dyn ToString| Silent::because("storage", reason.to_string());
        let late = |_| silent(&"it takes too long");
        let media = storage::Client::new(self.storage.clone()).below("media/").within(DEADLINE);
        let source = media.open(&format!("{id}/source"), 0).await.map_err(|error| silent(&error))?;
        let Some(source) = source else { return Ok(None) };
        let mut hash = Sha256::new();
        let mut bytes = axum::body::Body::new(source).into_data_stream();
        while let Some(some) = tokio::time::timeout(DEADLINE, bytes.next()).await.map_err(late)? {
            hash.update(some.map_err(|error| silent(&error))?);
        }
        Ok(Some([&CID[..], &hash.finalize()].concat().into()))
    }

    /// The account of a principal on a chain, by the first of their wallets with one there; `None`: they have
    /// no such wallet.
    pub(crate) async fn account(&self, principal: &str, chain: ChainId) -> Result<Option<String>, Silent> {
        let mut auth = AuthClient::new(self.auth.clone());
        let found = answered("auth", auth.find(FindRequest { names: vec![principal.to_owned()] })).await?;
        let found = found.map_err(|status| Silent::because("auth", status.message()))?;
        let wallets = found.people.into_iter().flat_map(|person| person.wallets);
        let account = |wallet: String| match wallet.strip_prefix("eip155:")? {
            // A contract is a wallet only on its own chain.
            rest if rest.contains(':') => Account::parse(&wallet).ok(),
            address => Account::parse(&format!("{chain}:{address}")).ok(),
        };
        let mut accounts = wallets.filter_map(account).filter(|account| account.chain == chain);
        Ok(accounts.next().map(|account| account.to_string()))
    }

    /// The hash that represents a content's current policy.
    pub(crate) async fn policy(&self, id: &str) -> Result<B256, Silent> {
        let mut access = AccessClient::new(self.access.clone());
        let policy = answered("access", access.policy(PolicyRequest { content: id.into() })).await?;
        Ok(policy_hash(id, &policy.map_err(|status| Silent::because("access", status.message()))?))
    }
}

/// An answer in time. A missing provider has no status of its own.
async fn answered<T>(
    capability: &'static str,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Result<T, Status>, Silent> {
    let answer = tokio::time::timeout(DEADLINE, call).await;
    Ok(answer.map_err(|_| Silent::because(capability, "it takes too long"))?.map(Response::into_inner))
}

/// SHA-256 of the content's id, its openness and the revision of its policy, separated by spaces: what is
/// public at `/api/v1/access/contents/{id}`.
fn policy_hash(id: &str, policy: &PolicyResponse) -> B256 {
    let openness = match policy.openness() {
        Openness::Public => "public",
        Openness::Gated => "gated",
        Openness::Unlisted => "unlisted",
        Openness::Private | Openness::Unspecified => "private",
    };
    let text = format!("{id} {openness} {}", policy.revision);
    B256::from_slice(&Sha256::digest(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    #[test]
    fn a_policy_has_the_hash_that_others_make_of_it() {
        let policy = PolicyResponse { openness: Openness::Gated.into(), revision: 3 };
        // printf '%s' '0190163d-8694-739b-aea5-966c26f8ad91 gated 3' | sha256sum
        let expected = "4fef156eb2c73769ea66d69c94f3bb5e31d28ff1d9d2b1a698f6d4071c2fdcd8";
        let hash = policy_hash("0190163d-8694-739b-aea5-966c26f8ad91", &policy);
        assert_eq!(hex::encode(hash), expected);
    }

    #[tokio::test]
    async fn a_neighbour_that_is_not_there_is_no_content_that_is_not_there() {
        let nobody = Clients::none();
        assert!(nobody.ready("").await.is_err() && nobody.content("x").await.is_err());
        assert!(nobody.policy("x").await.is_err());
    }
}
