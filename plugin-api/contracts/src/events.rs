//! The subjects and payloads of events. An event reports that something happened; it is never the only record
//! of it.
//!
//! A subject is `<noun>.<id>.<what>`, so that `content.*.changed` matches every change and `content.<id>.>`
//! everything about one content. Ids contain no dot.

use serde::{Deserialize, Serialize};

/// All uploads that completed.
pub const CONTENT_UPLOADED_ANY: &str = "content.*.uploaded";
/// All changes of any content, its renditions or its segments.
pub const CONTENT_CHANGED_ANY: &str = "content.*.changed";
/// All deletions of contents.
pub const CONTENT_DELETED_ANY: &str = "content.*.deleted";
/// All changes of owners and shares of contents.
pub const CONTENT_STANDING_ANY: &str = "content.*.standing";
/// Everything about contents.
pub const CONTENT_ANY: &str = "content.>";
/// A job of any queue became due, or will.
pub const JOB_ENQUEUED_ANY: &str = "job.*.enqueued";
/// A job of any queue changed its state.
pub const JOB_CHANGED_ANY: &str = "job.*.changed";

/// All transfers on any chain, including those undone by a reorganisation.
pub const CHAIN_TRANSFER_ANY: &str = "chain.*.transfer";
/// All [`ChainReorganised`].
pub const CHAIN_REORGANISED_ANY: &str = "chain.*.reorganised";

/// All events of content registries on any chain, including those undone by a reorganisation.
pub const CHAIN_REGISTRY_ANY: &str = "chain.*.registry";

/// All events about access to contents.
pub const ACCESS_ANY: &str = "access.>";

/// All sessions and API keys that ended early.
pub const CREDENTIAL_ENDED_ANY: &str = "credential.*.ended";

/// CloudEvents `type` of [`AccessChanged`].
pub const TYPE_ACCESS_CHANGED: &str = "streamgate.access.changed.v1";
/// CloudEvents `type` of [`AccessRevoked`].
pub const TYPE_ACCESS_REVOKED: &str = "streamgate.access.revoked.v1";
/// CloudEvents `type` of [`ContentUploaded`].
pub const TYPE_CONTENT_UPLOADED: &str = "streamgate.content.uploaded.v1";
/// CloudEvents `type` of [`ContentChanged`].
pub const TYPE_CONTENT_CHANGED: &str = "streamgate.content.changed.v1";
/// CloudEvents `type` of [`ContentDeleted`].
pub const TYPE_CONTENT_DELETED: &str = "streamgate.content.deleted.v1";
/// CloudEvents `type` of [`ContentStanding`].
pub const TYPE_CONTENT_STANDING: &str = "streamgate.content.standing.v1";
/// CloudEvents `type` of [`JobChanged`] on a `job.<queue>.enqueued` subject.
pub const TYPE_JOB_ENQUEUED: &str = "streamgate.job.enqueued.v1";
/// CloudEvents `type` of [`JobChanged`] on a `job.<queue>.changed` subject.
pub const TYPE_JOB_CHANGED: &str = "streamgate.job.changed.v1";
/// CloudEvents `type` of [`ChainTransfer`].
pub const TYPE_CHAIN_TRANSFER: &str = "streamgate.chain.transfer.v1";
/// CloudEvents `type` of [`ChainReorganised`].
pub const TYPE_CHAIN_REORGANISED: &str = "streamgate.chain.reorganised.v1";
/// CloudEvents `type` of [`ChainRegistry`].
pub const TYPE_CHAIN_REGISTRY: &str = "streamgate.chain.registry.v1";
/// CloudEvents `type` of [`CredentialEnded`].
pub const TYPE_CREDENTIAL_ENDED: &str = "streamgate.credential.ended.v1";

/// Subject of [`ContentUploaded`].
pub fn content_uploaded(id: &str) -> String {
    format!("content.{id}.uploaded")
}

/// Subject of [`ContentChanged`].
pub fn content_changed(id: &str) -> String {
    format!("content.{id}.changed")
}

/// Subject of [`ContentDeleted`].
pub fn content_deleted(id: &str) -> String {
    format!("content.{id}.deleted")
}

/// Subject of [`ContentStanding`].
pub fn content_standing(id: &str) -> String {
    format!("content.{id}.standing")
}

/// Subject of [`JobChanged`] when a job is due, or will be at its time.
pub fn job_enqueued(queue: &str) -> String {
    format!("job.{queue}.enqueued")
}

/// Subject of [`JobChanged`] for every other change of state.
pub fn job_changed(queue: &str) -> String {
    format!("job.{queue}.changed")
}

/// Subject of [`ChainTransfer`] on a chain named by CAIP-2.
pub fn chain_transfer(chain: &str) -> String {
    format!("chain.{chain}.transfer")
}

/// Subject of [`ChainReorganised`] on a chain named by CAIP-2.
pub fn chain_reorganised(chain: &str) -> String {
    format!("chain.{chain}.reorganised")
}

/// Subject of [`ChainRegistry`] on a chain named by CAIP-2.
pub fn chain_registry(chain: &str) -> String {
    format!("chain.{chain}.registry")
}

/// Subject of [`AccessChanged`].
pub fn access_changed(content: &str) -> String {
    format!("access.{content}.changed")
}

/// Subject of [`AccessRevoked`].
pub fn access_revoked(content: &str) -> String {
    format!("access.{content}.revoked")
}

/// Subject of [`CredentialEnded`].
pub fn credential_ended(credential: &str) -> String {
    format!("credential.{credential}.ended")
}

/// The policy of a content changed: all its decisions have to be requested again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessChanged {
    /// Content id.
    pub content: String,
    /// Generation of the policy.
    pub revision: u64,
}

/// Grants of a smaller generation than this are revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRevoked {
    /// Content id.
    pub content: String,
    /// The principal; empty: all principals.
    pub principal: String,
    /// The new generation of this principal and content.
    pub generation: u64,
    /// The principal was blocked from the content, or is not any more.
    #[serde(default)]
    pub bar: bool,
    /// For people: a transfer, a reorganisation, a decision of an admin.
    pub reason: String,
}

/// A session or an API key ended early: a sign-out, a revocation, a refresh token that was used twice.
/// Everything started with it ends too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialEnded {
    /// `session:` or `key:` and an id, see [`crate::auth::v1::Identity`]. Not secret.
    pub credential: String,
    /// Its principal.
    pub principal: String,
}

/// The last byte of an upload is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentUploaded {
    /// Content id.
    pub id: String,
    /// Size of the source, bytes.
    pub bytes: u64,
}

/// A content, its renditions or its segments changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContentChanged {
    /// Content id.
    pub id: String,
    /// Grows with every change.
    pub revision: u64,
    /// Lower-case name, see [`crate::catalogue::v1::ContentState::name`].
    pub state: String,
    /// Progress within the state, 0 to 1.
    pub progress: f64,
}

/// A principal's rights on a content may have changed, because of its owner or its shares: earlier answers of
/// `Catalogue.Standing` are no longer valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentStanding {
    /// Content id.
    pub id: String,
}

/// A content was removed from the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentDeleted {
    /// Content id.
    pub id: String,
}

/// A job was enqueued or changed its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobChanged {
    /// Job id.
    pub id: String,
    /// Its queue.
    pub queue: String,
    /// Lower-case name, see [`crate::jobs::v1::JobState::name`].
    pub state: String,
}

/// A token of a watched contract was transferred, or a reorganisation undid a transfer. A transfer concerns
/// the whole contract, whatever kind of token is watched; one without a token id concerns all its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainTransfer {
    /// CAIP-2.
    pub chain: String,
    /// CAIP-19, with the token's id where it has one and the contract states it.
    pub asset: String,
    /// CAIP-10; the zero address when the token was minted.
    pub from: String,
    /// CAIP-10; the zero address when the token was burnt.
    pub to: String,
    /// Decimal, in the smallest unit; 1 for a non-fungible token.
    pub amount: String,
    /// The block's number.
    pub block: u64,
    /// The block's hash.
    pub block_hash: String,
    /// The index of the log in its block.
    pub log_index: u64,
    /// The transaction's hash.
    pub transaction: String,
    /// The block is no longer part of the chain: earlier reports about it are void.
    pub removed: bool,
}

/// A watched chain was reorganised: reads above this block may be invalid, even if nothing was reported about
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainReorganised {
    /// CAIP-2.
    pub chain: String,
    /// The last block that is still known to be part of the chain.
    pub block: u64,
    /// Its hash.
    pub block_hash: String,
}

/// A content registry published something about a content, or a reorganisation undid it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainRegistry {
    /// CAIP-2.
    pub chain: String,
    /// CAIP-10 of the contract.
    pub registry: String,
    /// Content id, a UUID.
    pub content: String,
    /// What it published.
    #[serde(flatten)]
    pub change: RegistryChange,
    /// The block's number.
    pub block: u64,
    /// The block's hash.
    pub block_hash: String,
    /// The index of the log in its block.
    pub log_index: u64,
    /// The transaction's hash.
    pub transaction: String,
    /// The block is no longer part of the chain: earlier reports about it are void.
    pub removed: bool,
}

/// What a content registry states about a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum RegistryChange {
    /// The content and its policy.
    Set {
        /// A CID or a hash of the content; hexadecimal with `0x`.
        cid: String,
        /// A hash of the policy; hexadecimal with `0x`.
        policy: String,
        /// The location of the policy.
        policy_uri: String,
    },
    /// The content's new owner.
    Moved {
        /// CAIP-10; the zero address when the content was registered.
        from: String,
        /// CAIP-10.
        to: String,
    },
}
