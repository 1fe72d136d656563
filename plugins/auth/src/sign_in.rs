//! From a signature to a session, or to a second wallet of a principal. The nonce is taken in the
//! transaction that gives what was asked for: of any number of posts of one signature, one wins.

use alloy_primitives::{B256, eip191_hash_message};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::{DbError, params};
use streamgate_plugin_api::time::{millis, rfc3339};
use uuid::Uuid;

use crate::audit::Entry;
use crate::auth::{Auth, wallet_name};
use crate::contract_wallet::{Verdict, is_of_contract};
use crate::credentials::Credentials;
use crate::endings;
use crate::error::{AuthError, Why};
use crate::secret;
use crate::sessions::Tokens;
use crate::signature;
use crate::siwe::{self, Message, Terms};
use crate::siws::{self, SignIn};
use crate::store::Challenge;
use crate::typed_data;
use crate::warm::Whose;

const STATEMENT: &str = "Sign in to StreamGate. This costs nothing and sends no transaction.";
const LINK_STATEMENT: &str = "Link this wallet to my StreamGate account. This sends no transaction.";
/// Random bytes of a nonce, which is 32 hexadecimal digits.
const NONCE_BYTES: usize = 16;
/// How often a sign-in is tried again because another one of the same wallet came between.
const ATTEMPTS: usize = 3;
const MAX_SIGNATURE_BYTES: usize = 4 * 1024;

/// The kinds of wallets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Ethereum,
    Solana,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ethereum => "ethereum",
            Self::Solana => "solana",
        }
    }
}

/// What a client wants to be asked to sign.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    kind: Kind,
    /// Whose signature it will be. Without it an Ethereum client gets a nonce alone, and writes the
    /// message itself.
    address: Option<String>,
    chain_id: Option<u64>,
    /// Ethereum: whether typed data (EIP-712) is to be signed in the place of a message.
    #[serde(default)]
    typed: bool,
    /// Whether a wallet is to be linked to who is signed in.
    #[serde(default)]
    pub(crate) link: bool,
}

/// What is to be signed.
#[derive(Debug, Serialize)]
pub(crate) struct Asked {
    nonce: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// For `eth_signTypedData_v4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    typed_data: Option<Value>,
    /// For `signIn` of Solana's wallets, which write the same text of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<SignIn>,
}

/// A signature, and what it is said to be of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    kind: Kind,
    /// Ethereum: the message, as it was signed.
    message: Option<String>,
    /// Ethereum: or the `message` of the typed data.
    typed: Option<typed_data::SignIn>,
    /// Solana: the nonce of the challenge.
    nonce: Option<String>,
    /// Ethereum: `0x` and hexadecimal digits. Solana: base58.
    signature: String,
    /// Whether the tokens are wanted as cookies.
    #[serde(default)]
    pub(crate) cookies: bool,
}

/// A wallet that has signed.
struct Signed {
    kind: Kind,
    /// As it is kept: of a contract with its chain before it, `137:0x…`, since another one may stand
    /// at its address on another chain.
    address: String,
    nonce: String,
}

impl Signed {
    fn name(&self) -> String {
        wallet_name(self.kind.name(), &self.address)
    }
}

impl Auth {
    /// Makes a nonce, and the message around it if it is known whose it is. `principal` is who links a
    /// wallet; empty: a sign-in.
    pub(crate) async fn challenge(
        &self,
        wanted: Wanted,
        credentials: &Credentials,
        principal: &str,
    ) -> Result<Asked, AuthError> {
        self.limit_address(&credentials.address)?;
        let (now_ms, settings) = (self.now_ms(), self.settings());
        let nonce = alloy_primitives::hex::encode(secret::random::<NONCE_BYTES>());
        let expires_at_ms = now_ms.saturating_add(millis(settings.challenge_ttl.get()));
        let statement = if principal.is_empty() { STATEMENT } else { LINK_STATEMENT };
        let origins = &self.shared.origins;
        // Of the sites that are ours, that of the page that asks.
        let origin = origins.iter().find(|origin| origin.text() == credentials.origin).or(origins.first());
        let origin = origin.ok_or_else(|| Why::InvalidRequest.because("There is no site to sign for."))?;
        let invalid = |reason: String| Why::InvalidRequest.because(format!("{reason}."));
        let mut challenge = Challenge {
            nonce: nonce.clone(),
            kind: wanted.kind.name().into(),
            principal: principal.into(),
            expires_at_ms,
            ..Challenge::default()
        };
        let (mut input, mut typed) = (None, None);
        let message = match (wanted.kind, wanted.address) {
            (Kind::Ethereum, None) => None,
            (Kind::Ethereum, Some(address)) => {
                let address = siwe::address(&address).map_err(invalid)?;
                let chain_id = wanted.chain_id.or(settings.chain_ids.first().copied()).unwrap_or_default();
                if !settings.chain_ids.contains(&chain_id) {
                    return Err(Why::WrongChain.because(format!("The chain {chain_id} is not accepted.")));
                }
                let message = Message {
                    scheme: None,
                    domain: origin.authority.clone(),
                    address,
                    address_text: address.to_checksum(None),
                    statement: Some(statement.into()),
                    uri: origin.text(),
                    chain_id,
                    nonce: nonce.clone(),
                    issued_at: rfc3339(now_ms),
                    expiration_time: Some(rfc3339(expires_at_ms)),
                    not_before: None,
                    request_id: None,
                    resources: None,
                };
                if wanted.typed {
                    typed = Some(typed_data::SignIn::of(&message).request());
                    None
                } else {
                    Some(message.to_string())
                }
            }
            (Kind::Solana, _) if wanted.typed => {
                return Err(invalid("Typed data is signed by wallets of Ethereum only".into()));
            }
            (Kind::Solana, address) => {
                let address = address.ok_or_else(|| invalid("`address` is missing".into()))?;
                siws::address(&address).map_err(invalid)?;
                let chain_id = settings.solana_chains.first().cloned();
                let chain_id = chain_id.ok_or_else(|| Why::WrongChain.because("Solana is not accepted."))?;
                let sign_in = SignIn {
                    domain: origin.authority.clone(),
                    address: address.clone(),
                    statement: statement.into(),
                    uri: origin.text(),
                    version: "1",
                    chain_id,
                    nonce: nonce.clone(),
                    issued_at: rfc3339(now_ms),
                    expiration_time: rfc3339(expires_at_ms),
                };
                challenge.address = address;
                challenge.message = sign_in.text();
                input = Some(sign_in);
                Some(challenge.message.clone())
            }
        };
        if !self.store().put_challenge(&challenge, settings.max_challenges).await? {
            let full = "As many sign-ins are open as there may be. Try again in a moment.";
            return Err(Why::Busy.because(full));
        }
        Ok(Asked { nonce, expires_at: rfc3339(expires_at_ms), message, typed_data: typed, input })
    }

    /// A session for whoever signed. A wallet that is new becomes a new principal.
    pub(crate) async fn sign_in(&self, proof: &Proof, from: &Credentials) -> Result<Tokens, AuthError> {
        self.limit_address(&from.address)?;
        if proof.cookies {
            from.same_site(&self.shared.origins)?;
        }
        let outcome = match self.verified(proof).await {
            Ok(signed) => self.begin(&signed, from).await.map_err(|error| (error, signed.name())),
            Err(error) => Err((error, String::new())),
        };
        match outcome {
            Ok(tokens) => Ok(tokens),
            Err((error, wallet)) => {
                self.record_refusal("sign-in", &wallet, &from.address, &error).await;
                Err(error)
            }
        }
    }

    /// Links a wallet to who is signed in.
    pub(crate) async fn link(&self, proof: &Proof, from: &Credentials) -> Result<(), AuthError> {
        self.limit_address(&from.address)?;
        let (identity, _) = self.with_session(from).await?;
        let linked = match self.verified(proof).await {
            Ok(signed) => self.add_wallet(&identity.principal, &signed, from).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &linked {
            self.record_refusal("wallet.link", &identity.principal, &from.address, error).await;
        }
        linked
    }

    /// Takes a wallet off who is signed in.
    pub(crate) async fn unlink(
        &self,
        kind: &str,
        address: &str,
        from: &Credentials,
    ) -> Result<(), AuthError> {
        let (identity, _) = self.with_session(from).await?;
        let wallets = self.store().wallets(&identity.principal).await?;
        let Some(wallet) = wallets.iter().find(|wallet| {
            wallet.kind == kind
                && (wallet.address == address
                    || kind == "ethereum" && wallet.address.eq_ignore_ascii_case(address))
        }) else {
            return Err(Why::NotFound.because("No such wallet is linked to you."));
        };
        let name = wallet_name(kind, &wallet.address);
        let now_ms = self.now_ms();
        let batch = self
            .store()
            .db
            .batch()
            .push_expect(
                "DELETE FROM wallets WHERE kind = $1 AND address = $2 AND principal = $3 \
                 AND (SELECT COUNT(*) FROM wallets WHERE principal = $3) > 1",
                params![kind, &wallet.address, &identity.principal],
                1,
            )
            // What was begun with a wallet that is lost may be in other hands.
            .push(&endings::sessions("principal = $1 AND wallet = $2"), params![&identity.principal, &name]);
        let entry =
            Entry::new("wallet.unlink", AuditOutcome::Changed, &identity.principal, &from.address).on(&name);
        match self.ending(entry.push(batch, now_ms), Whose::Principal(&identity.principal)).await {
            Ok(_) => Ok(()),
            Err(DbError::Conflict { .. }) => {
                Err(Why::LastWallet
                    .because("Without it you could not sign in again. Link another one first."))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Who signed, and under which nonce; whether that is good is for the transaction that takes it.
    async fn verified(&self, proof: &Proof) -> Result<Signed, AuthError> {
        let signed = match proof.kind {
            Kind::Ethereum => self.verified_ethereum(proof).await?,
            Kind::Solana => self.verified_solana(proof).await?,
        };
        // Only now: else anybody could use up the attempts of a wallet that is not theirs.
        self.limit_wallet(&signed.name())?;
        Ok(signed)
    }

    async fn verified_ethereum(&self, proof: &Proof) -> Result<Signed, AuthError> {
        let (message, digest) = said(proof)?;
        let settings = self.settings();
        message.check(&Terms {
            origins: &self.shared.origins,
            chain_ids: &settings.chain_ids,
            now_ms: self.now_ms(),
            skew_ms: millis(settings.clock_skew.get()),
            max_age_ms: millis(settings.challenge_ttl.get()),
        })?;
        if proof.signature.len() > 2 + 2 * MAX_SIGNATURE_BYTES {
            return Err(Why::InvalidSignature.because("It is longer than any signature."));
        }
        let signature = signature::bytes(&proof.signature)
            .map_err(|reason| Why::InvalidSignature.because(reason.to_string()))?;
        let signed = Signed {
            kind: Kind::Ethereum,
            address: message.address.to_checksum(None),
            nonce: message.nonce.clone(),
        };
        let recovered = match is_of_contract(&signature) {
            true => None,
            false => Some(signature::recover(&digest, &signature)),
        };
        if recovered == Some(Ok(message.address)) {
            return Ok(signed);
        }
        if let Some(Err(reason)) = recovered {
            return Err(Why::InvalidSignature.because(reason.to_string()));
        }
        // Nobody makes us ask a chain without a nonce of ours.
        if self.store().challenge(&signed.nonce, self.now_ms()).await?.is_none() {
            return Err(unknown_nonce());
        }
        let chain = &self.shared.contract_wallets;
        match chain.verify(message.chain_id, message.address, digest, &signature).await {
            Verdict::Valid => {
                Ok(Signed { address: format!("{}:{}", message.chain_id, signed.address), ..signed })
            }
            Verdict::Unknown if recovered.is_none() => {
                let detail = format!(
                    "A contract signed this (EIP-1271, EIP-6492), and the chain {} gives no answer about it. Try \
                     again later, or sign in with a wallet that has a key of its own.",
                    message.chain_id
                );
                Err(Why::ContractWallet.because(detail))
            }
            Verdict::Invalid | Verdict::Unknown => {
                Err(Why::InvalidSignature.because("Another wallet signed this message."))
            }
        }
    }

    async fn verified_solana(&self, proof: &Proof) -> Result<Signed, AuthError> {
        let nonce = proof.nonce.as_deref();
        let nonce = nonce.ok_or_else(|| Why::InvalidRequest.because("`nonce` is missing."))?;
        let challenge = self.store().challenge(nonce, self.now_ms()).await?;
        let challenge = challenge.filter(|challenge| challenge.kind == Kind::Solana.name());
        let challenge = challenge.ok_or_else(unknown_nonce)?;
        siws::verify(&challenge.address, &challenge.message, &proof.signature)?;
        Ok(Signed { kind: Kind::Solana, address: challenge.address, nonce: challenge.nonce })
    }

    async fn begin(&self, signed: &Signed, from: &Credentials) -> Result<Tokens, AuthError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let now_ms = self.now_ms();
            let owner = self.store().owner(signed.kind.name(), &signed.address).await?;
            let is_new = owner.is_none();
            let principal = owner.unwrap_or_else(|| Uuid::now_v7().to_string());
            let mut batch = self.taking(signed, "", now_ms);
            if is_new {
                batch = batch
                    .push(
                        "INSERT INTO principals (id, name, created_at_ms) VALUES ($1, '', $2)",
                        params![&principal, now_ms],
                    )
                    .push(
                        "INSERT INTO wallets (kind, address, principal, linked_at_ms) VALUES ($1, $2, $3, $4)",
                        params![signed.kind.name(), &signed.address, &principal, now_ms],
                    );
            } else {
                // It may be taken off between the look and the transaction.
                batch = batch.push_expect(
                    "UPDATE wallets SET principal = principal WHERE kind = $1 AND address = $2 AND principal = $3",
                    params![signed.kind.name(), &signed.address, &principal],
                    1,
                );
            }
            let roles = self.store().roles(&principal).await?;
            let (batch, tokens) = self.new_session(batch, &principal, &signed.name(), roles, from)?;
            let entry = Entry::new("sign-in", AuditOutcome::Granted, &principal, &from.address)
                .on(signed.name())
                .detail(if is_new { "new principal" } else { "" });
            match self.ending(entry.push(batch, now_ms), Whose::Principal(&principal)).await {
                Ok(_) => return Ok(tokens),
                Err(DbError::Conflict { statement: 0, .. }) => return Err(unknown_nonce()),
                Err(DbError::Conflict { .. } | DbError::UniqueViolation { .. }) if attempts < ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn add_wallet(
        &self,
        principal: &str,
        signed: &Signed,
        from: &Credentials,
    ) -> Result<(), AuthError> {
        match self.store().owner(signed.kind.name(), &signed.address).await? {
            Some(owner) if owner != principal => return Err(taken()),
            _ => {}
        }
        let _forgetting = self.shared.warm.forgetting(Whose::Principal(principal));
        let now_ms = self.now_ms();
        let batch = self.taking(signed, principal, now_ms).push_expect(
            "INSERT INTO wallets (kind, address, principal, linked_at_ms) SELECT $1, $2, $3, $4 \
                 WHERE (SELECT COUNT(*) FROM wallets WHERE principal = $3) < $5",
            params![signed.kind.name(), &signed.address, principal, now_ms, self.settings().max_wallets],
            1,
        );
        let entry =
            Entry::new("wallet.link", AuditOutcome::Changed, principal, &from.address).on(signed.name());
        match entry.push(batch, now_ms).run().await {
            Ok(_) => Ok(()),
            Err(DbError::Conflict { statement: 0, .. }) => Err(unknown_nonce()),
            Err(DbError::Conflict { .. }) => Err(Why::LimitReached.because(format!(
                "You have {} wallets, the most that may be linked.",
                self.settings().max_wallets
            ))),
            Err(DbError::UniqueViolation { .. }) => {
                match self.store().owner(signed.kind.name(), &signed.address).await? {
                    Some(owner) if owner != principal => Err(taken()),
                    _ => Ok(()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A batch that fails at its first statement unless the nonce is open, and ours.
    fn taking(&self, signed: &Signed, principal: &str, now_ms: i64) -> streamgate_contracts::db::Batch {
        self.store().db.batch().push_expect(
            "DELETE FROM challenges WHERE nonce = $1 AND kind = $2 AND principal = $3 AND expires_at_ms > $4",
            params![&signed.nonce, signed.kind.name(), principal, now_ms],
            1,
        )
    }
}

/// What a wallet of Ethereum is said to have signed, and its digest.
fn said(proof: &Proof) -> Result<(Message, B256), AuthError> {
    let departs = |standard: &str, reason: String| {
        Why::InvalidMessage.because(format!("It departs from {standard}: {reason}."))
    };
    match (&proof.message, &proof.typed) {
        (Some(text), None) => {
            let message = Message::parse(text).map_err(|reason| departs("EIP-4361", reason))?;
            Ok((message, eip191_hash_message(text)))
        }
        (None, Some(typed)) => {
            let departs = |reason| departs("what a message of EIP-4361 may say", reason);
            Ok((typed.message().map_err(departs)?, typed.digest().map_err(departs)?))
        }
        _ => Err(Why::InvalidRequest.because("It needs one of `message` and `typed`.")),
    }
}

fn unknown_nonce() -> AuthError {
    Why::UnknownNonce.because("Ask for a new challenge, and sign that.")
}

fn taken() -> AuthError {
    Why::WalletTaken.because("Sign in with it, and take it off there first.")
}
