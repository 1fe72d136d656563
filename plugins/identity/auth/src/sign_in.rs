//! From a challenge to a signature, and from that to a session, or to a second wallet of a principal. The
//! nonce is used up in the same transaction: of any number of requests with one signature, one succeeds.

pub(crate) mod contract_wallet;
mod envelope;
pub(crate) mod nonce;
pub(crate) mod signature;
pub(crate) mod siwe;
pub(crate) mod siws;
pub(crate) mod typed_data;

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::{DbError, params};
use streamgate_contracts::ethereum::{Hash, message_hash};
use streamgate_plugin_api::time::{Clock, millis, rfc3339};
use uuid::Uuid;

use crate::audit::Entry;
use crate::base::Base;
use crate::error::{AuthError, Why};
use crate::filters::Filters;
use crate::origin::Origin;
use crate::principal::wallet_name;
use crate::session::credentials::Credentials;
use crate::session::sessions::Tokens;
use crate::session::warm::Whose;
use crate::session::{Sessions, endings};
use crate::settings::Settings;
use crate::sign_in::contract_wallet::{ContractWallets, Verdict};
use crate::sign_in::nonce::{Nonce, Nonces, Purpose};
use crate::sign_in::siwe::{Message, Terms};
use crate::sign_in::siws::SignIn as Input;
use crate::sites::Sites;
use crate::store::Store;

const STATEMENT: &str = "Sign in to StreamGate. This costs nothing and sends no transaction.";
const LINK_STATEMENT: &str = "Link this wallet to my StreamGate account. This sends no transaction.";
/// How often a sign-in is retried after a concurrent one of the same wallet.
const ATTEMPTS: usize = 3;

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

/// A client's request for a challenge.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    kind: Kind,
    /// The address that will sign. Without it an Ethereum client gets only a nonce, and builds the message
    /// itself.
    address: Option<String>,
    chain_id: Option<u64>,
    /// Ethereum: whether to sign typed data (EIP-712) instead of a message.
    #[serde(default)]
    typed: bool,
    /// Whether to link a wallet to the signed-in principal.
    #[serde(default)]
    pub(crate) link: bool,
}

/// What to sign.
#[derive(Debug, Serialize)]
pub(crate) struct Asked {
    nonce: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// For `eth_signTypedData_v4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    typed_data: Option<Value>,
    /// For `signIn` of Solana wallets, which build the same text from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Input>,
}

/// A signature, and its claimed message.
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
    /// Solana: the signed bytes, in base64, if the wallet put the text into an envelope.
    signed_message: Option<String>,
    /// Ethereum: `0x` and hexadecimal digits. Solana: base58.
    signature: String,
    /// Whether to return the tokens as cookies.
    #[serde(default)]
    pub(crate) cookies: bool,
}

/// A wallet that has signed.
struct Signed {
    kind: Kind,
    /// In stored form: a contract with its chain before it, `137:0x…`, because another one may have its
    /// address on another chain.
    address: String,
    nonce: Nonce,
}

impl Signed {
    fn name(&self) -> String {
        wallet_name(self.kind.name(), &self.address)
    }
}

/// See the module. It owns the key of the nonces.
pub(crate) struct SignIn {
    store: Store,
    settings: Arc<Settings>,
    clock: Clock,
    sessions: Arc<Sessions>,
    filters: Arc<Filters>,
    sites: Arc<Sites>,
    nonces: Nonces,
    contract_wallets: Arc<dyn ContractWallets>,
}

impl SignIn {
    /// Reads the key of the nonces in this directory, or creates it.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) async fn open(
        directory: &Path,
        base: Base,
        sessions: Arc<Sessions>,
        filters: Arc<Filters>,
        sites: Arc<Sites>,
        contract_wallets: Arc<dyn ContractWallets>,
    ) -> io::Result<Self> {
        let folder = directory.to_owned();
        let nonces = tokio::task::spawn_blocking(move || Nonces::open(&folder)).await;
        let nonces = nonces.map_err(io::Error::other)??;
        let Base { store, settings, clock } = base;
        Ok(Self { store, settings, clock, sessions, filters, sites, nonces, contract_wallets })
    }

    /// New tokens for a refresh token. Only refused ones count as attempts: however many people share an
    /// address, they stay signed in.
    pub(crate) async fn refresh(&self, token: &str, from: &Credentials) -> Result<Tokens, AuthError> {
        let refreshed = self.sessions.refresh(token, from).await;
        if matches!(refreshed, Err(AuthError::Refused { .. })) {
            self.filters.limit_address(&from.address)?;
        }
        refreshed
    }

    /// Creates a nonce, and the message around it if the address is known. `principal` links a wallet; empty:
    /// a sign-in. Nothing is stored, so clients of one network do not compete for challenges.
    pub(crate) fn challenge(
        &self,
        wanted: Wanted,
        credentials: &Credentials,
        principal: &str,
    ) -> Result<Asked, AuthError> {
        self.filters.limit_challenges(&credentials.address)?;
        let (now_ms, settings) = (self.clock.now_ms(), &self.settings);
        let expires_at_ms = now_ms.saturating_add(millis(settings.challenge_ttl.get()));
        let expires_at = rfc3339(expires_at_ms);
        let origins = self.sites.all();
        // Of the sites that may be signed for, that of the calling page.
        let site = origins.iter().position(|origin| origin.text() == credentials.origin).unwrap_or(0);
        let origin = origins.get(site);
        let origin = origin.ok_or_else(|| Why::InvalidRequest.because("There is no site to sign for."))?;
        let invalid = |reason: String| Why::InvalidRequest.because(format!("{reason}."));
        if wanted.kind == Kind::Solana {
            if wanted.typed {
                return Err(invalid("Typed data is signed by wallets of Ethereum only".into()));
            }
            let address = wanted.address.ok_or_else(|| invalid("`address` is missing".into()))?;
            let key = siws::address(&address).map_err(invalid)?;
            let known = siws::Known { site: u16::try_from(site).unwrap_or(0), key: key.to_bytes() };
            let terms = self.solana_terms()?;
            let purpose = Purpose { kind: wanted.kind.name(), principal, terms: &terms };
            let nonce = self.nonces.make(purpose, &known.bytes(), expires_at_ms);
            let input = self.solana_input(&known, &nonce, principal)?;
            let message = Some(input.text());
            return Ok(Asked {
                nonce: nonce.text,
                expires_at,
                message,
                typed_data: None,
                input: Some(input),
            });
        }
        let nonce = self.nonces.make(ethereum(principal), &[], expires_at_ms).text;
        let Some(address) = wanted.address else {
            return Ok(Asked { nonce, expires_at, message: None, typed_data: None, input: None });
        };
        let address = siwe::address(&address).map_err(invalid)?;
        let chain_id = wanted.chain_id.or(settings.chain_ids.first().copied()).unwrap_or_default();
        if !settings.chain_ids.contains(&chain_id) {
            return Err(Why::WrongChain.because(format!("The chain {chain_id} is not accepted.")));
        }
        let message = Message {
            scheme: None,
            domain: origin.authority.clone(),
            address,
            address_text: address.to_string(),
            statement: Some(statement(principal).into()),
            uri: origin.text(),
            chain_id,
            chain_text: chain_id.to_string(),
            nonce: nonce.clone(),
            issued_at: rfc3339(now_ms),
            expiration_time: Some(expires_at.clone()),
            not_before: None,
            request_id: None,
            resources: None,
        };
        let (message, typed_data) = match wanted.typed {
            true => (None, Some(typed_data::SignIn::of(&message).request())),
            false => (Some(message.to_string()), None),
        };
        Ok(Asked { nonce, expires_at, message, typed_data, input: None })
    }

    /// The text for a Solana wallet to sign under this nonce.
    fn solana_input(&self, known: &siws::Known, nonce: &Nonce, principal: &str) -> Result<Input, AuthError> {
        let origins = self.sites.all();
        let origin = origins.get(usize::from(known.site)).ok_or_else(unknown_nonce)?;
        let issued_at_ms = nonce.expires_at_ms.saturating_sub(millis(self.settings.challenge_ttl.get()));
        Ok(Input {
            domain: origin.authority.clone(),
            address: known.address(),
            statement: statement(principal).into(),
            uri: origin.text(),
            version: "1",
            chain_id: self.solana_chain()?.into(),
            nonce: nonce.text.clone(),
            issued_at: rfc3339(issued_at_ms),
            expiration_time: rfc3339(nonce.expires_at_ms),
        })
    }

    fn solana_chain(&self) -> Result<&str, AuthError> {
        let chain = self.settings.solana_chains.first();
        chain.map(String::as_str).ok_or_else(|| Why::WrongChain.because("Solana is not accepted."))
    }

    /// The settings that the text depends on: nonces from before a change are invalid.
    fn solana_terms(&self) -> Result<String, AuthError> {
        let sites: Vec<_> = self.sites.all().iter().map(Origin::text).collect();
        let ttl_ms = millis(self.settings.challenge_ttl.get());
        Ok(format!("{} {ttl_ms} {}", self.solana_chain()?, sites.join(" ")))
    }

    /// A session for the signer. A new wallet becomes a new principal.
    pub(crate) async fn sign_in(&self, proof: &Proof, from: &Credentials) -> Result<Tokens, AuthError> {
        self.filters.limit_address(&from.address)?;
        if proof.cookies {
            from.same_site(&self.sites.ours())?;
        }
        let outcome = match self.verified(proof, "").await {
            Ok(signed) => self.begin(&signed, from).await.map_err(|error| (error, signed.name())),
            Err(error) => Err((error, String::new())),
        };
        match outcome {
            Ok(tokens) => Ok(tokens),
            Err((error, wallet)) => {
                self.record_refusal("sign-in", &wallet, from, &error).await;
                Err(error)
            }
        }
    }

    /// Links a wallet to the signed-in principal.
    pub(crate) async fn link(&self, proof: &Proof, from: &Credentials) -> Result<(), AuthError> {
        self.filters.limit_address(&from.address)?;
        let (identity, _) = self.filters.with_session(from).await?;
        let principal = &identity.principal;
        let linked = match self.verified(proof, principal).await {
            Ok(signed) => self.add_wallet(principal, &signed, from).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &linked {
            self.record_refusal("wallet.link", principal, from, error).await;
        }
        linked
    }

    /// Unlinks a wallet from the signed-in principal.
    pub(crate) async fn unlink(
        &self,
        kind: &str,
        address: &str,
        from: &Credentials,
    ) -> Result<(), AuthError> {
        let (identity, _) = self.filters.with_session(from).await?;
        let wallets = self.store.wallets(&identity.principal).await?;
        let Some(wallet) = wallets.iter().find(|wallet| {
            wallet.kind == kind
                && (wallet.address == address
                    || kind == "ethereum" && wallet.address.eq_ignore_ascii_case(address))
        }) else {
            return Err(Why::NotFound.because("No such wallet is linked to you."));
        };
        let name = wallet_name(kind, &wallet.address);
        let now_ms = self.clock.now_ms();
        let batch = self.store.db.batch().push_expect(
            "DELETE FROM wallets WHERE kind = $1 AND address = $2 AND principal = $3 \
                 AND (SELECT COUNT(*) FROM wallets WHERE principal = $3) > 1",
            params![kind, &wallet.address, &identity.principal],
            1,
        );
        // Sessions of a lost wallet may be in other hands.
        let wallet = params![&identity.principal, &name];
        let batch = endings::sessions(batch, "principal = $1 AND wallet = $2", wallet);
        let entry =
            Entry::new("wallet.unlink", AuditOutcome::Changed, &identity.principal, &from.address).on(&name);
        match self.sessions.ending(entry.push(batch, now_ms), Whose::Principal(&identity.principal)).await {
            Ok(_) => Ok(()),
            Err(DbError::Conflict { .. }) => {
                Err(Why::LastWallet
                    .because("Without it you could not sign in again. Link another one first."))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn record_refusal(&self, action: &str, subject: &str, from: &Credentials, error: &AuthError) {
        self.store.record_refusal(action, subject, &from.address, error, self.clock.now_ms()).await;
    }

    /// The signer, and the nonce; the transaction that uses it ensures that it counts once. `principal` links
    /// a wallet; empty: a sign-in.
    async fn verified(&self, proof: &Proof, principal: &str) -> Result<Signed, AuthError> {
        let signed = match proof.kind {
            Kind::Ethereum => self.verified_ethereum(proof, principal).await?,
            Kind::Solana => self.verified_solana(proof, principal)?,
        };
        // Only now: otherwise anyone could use up the attempts of another's wallet.
        self.filters.limit_wallet(&signed.name())?;
        Ok(signed)
    }

    async fn verified_ethereum(&self, proof: &Proof, principal: &str) -> Result<Signed, AuthError> {
        let (message, digest) = said(proof)?;
        let settings = &self.settings;
        message.check(&Terms {
            origins: &self.sites.all(),
            chain_ids: &settings.chain_ids,
            now_ms: self.clock.now_ms(),
            skew_ms: millis(settings.clock_skew.get()),
            max_age_ms: millis(settings.challenge_ttl.get()),
        })?;
        let invalid = |detail: String| Why::InvalidSignature.because(detail);
        let signature = signature::bytes(&proof.signature).map_err(|reason| invalid(reason.to_string()))?;
        if signature.len() as u64 > settings.max_signature.get() {
            let (length, most) = (signature.len(), settings.max_signature);
            return Err(invalid(format!("It has {length} bytes, more than {most} (`max_signature`).")));
        }
        let nonce = self.nonces.read(&message.nonce, ethereum(principal), self.clock.now_ms());
        let nonce = nonce.ok_or_else(unknown_nonce)?;
        let address = message.address.to_string();
        let signed = Signed { kind: Kind::Ethereum, address, nonce };
        let recovered = signature::recover(&digest, &signature);
        if recovered == Ok(message.address) {
            return Ok(signed);
        }
        // If no key of this address signed, the contract there decides. It is only called for a valid nonce.
        if self.store.is_used(&signed.nonce).await? {
            return Err(unknown_nonce());
        }
        let no_key = match recovered {
            Ok(_) => "A different wallet signed this message.".to_owned(),
            Err(reason) => reason.to_string(),
        };
        let (chain, chain_id) = (&self.contract_wallets, message.chain_id);
        match chain.verify(chain_id, message.address, digest, &signature).await {
            Verdict::Valid => Ok(Signed { address: format!("{chain_id}:{}", signed.address), ..signed }),
            Verdict::Invalid => {
                let detail = format!("The contract of the wallet on the chain {chain_id} rejects it.");
                Err(invalid(detail))
            }
            Verdict::NoContract => {
                Err(invalid(format!("{no_key} No contract has this address on the chain {chain_id}.")))
            }
            // Far more often a wrong key than an unreachable contract.
            Verdict::Unknown if recovered.is_ok() => Err(invalid(format!(
                "{no_key} If the wallet is a contract: the chain {chain_id} gives no answer about it."
            ))),
            Verdict::Unknown => Err(Why::ContractWallet.because(format!(
                "No key signed this. Whether a contract did (EIP-1271, EIP-6492), the chain {chain_id} gives \
                 no answer. Try again later, or sign in with a wallet that has a key of its own. As a key's \
                 signature: {no_key}"
            ))),
        }
    }

    fn verified_solana(&self, proof: &Proof, principal: &str) -> Result<Signed, AuthError> {
        let nonce = proof.nonce.as_deref();
        let nonce = nonce.ok_or_else(|| Why::InvalidRequest.because("`nonce` is missing."))?;
        let terms = self.solana_terms()?;
        let purpose = Purpose { kind: Kind::Solana.name(), principal, terms: &terms };
        let nonce = self.nonces.read(nonce, purpose, self.clock.now_ms()).ok_or_else(unknown_nonce)?;
        let known = siws::Known::read(&nonce.known).ok_or_else(unknown_nonce)?;
        let input = self.solana_input(&known, &nonce, principal)?;
        siws::verify(&input.address, &input.text(), proof.signed_message.as_deref(), &proof.signature)?;
        Ok(Signed { kind: Kind::Solana, address: input.address, nonce })
    }

    async fn begin(&self, signed: &Signed, from: &Credentials) -> Result<Tokens, AuthError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let now_ms = self.clock.now_ms();
            let owner = self.store.owner(signed.kind.name(), &signed.address).await?;
            let is_new = owner.is_none();
            let principal = owner.unwrap_or_else(|| Uuid::now_v7().to_string());
            let mut batch = self.store.taking(&signed.nonce);
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
                // It may be unlinked between the check and the transaction.
                batch = batch.push_expect(
                    "UPDATE wallets SET principal = principal WHERE kind = $1 AND address = $2 AND principal = $3",
                    params![signed.kind.name(), &signed.address, &principal],
                    1,
                );
            }
            let roles = self.store.roles(&principal).await?;
            let (batch, tokens) =
                self.sessions.new_session(batch, &principal, &signed.name(), roles, from)?;
            let entry = Entry::new("sign-in", AuditOutcome::Granted, &principal, &from.address)
                .on(signed.name())
                .detail(if is_new { "new principal" } else { "" });
            match self.sessions.ending(entry.push(batch, now_ms), Whose::Principal(&principal)).await {
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
        match self.store.owner(signed.kind.name(), &signed.address).await? {
            Some(owner) if owner != principal => return Err(taken()),
            _ => {}
        }
        let _forgetting = self.sessions.warm.forgetting(Whose::Principal(principal));
        let now_ms = self.clock.now_ms();
        let batch = self.store.taking(&signed.nonce).push_expect(
            "INSERT INTO wallets (kind, address, principal, linked_at_ms) SELECT $1, $2, $3, $4 \
                 WHERE (SELECT COUNT(*) FROM wallets WHERE principal = $3) < $5",
            params![signed.kind.name(), &signed.address, principal, now_ms, self.settings.max_wallets],
            1,
        );
        let entry =
            Entry::new("wallet.link", AuditOutcome::Changed, principal, &from.address).on(signed.name());
        match entry.push(batch, now_ms).run().await {
            Ok(_) => Ok(()),
            Err(DbError::Conflict { statement: 0, .. }) => Err(unknown_nonce()),
            Err(DbError::Conflict { .. }) => Err(Why::LimitReached.because(format!(
                "You have {} linked wallets, which is the limit.",
                self.settings.max_wallets
            ))),
            Err(DbError::UniqueViolation { .. }) => {
                match self.store.owner(signed.kind.name(), &signed.address).await? {
                    Some(owner) if owner != principal => Err(taken()),
                    _ => Ok(()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The kind and the address of a wallet as people write it: `eip155:0x…`, `eip155:137:0x…`, `solana:…`, or
/// the address alone. `None`: it is not a wallet.
pub(crate) fn wallet_of(name: &str) -> Option<(&'static str, String)> {
    let ethereum = |chain: &str, text: &str| {
        let address = siwe::address(text).ok()?.to_string();
        let digits = chain.is_empty() || chain.bytes().all(|byte| byte.is_ascii_digit());
        let address = if chain.is_empty() { address } else { format!("{chain}:{address}") };
        digits.then_some(("ethereum", address))
    };
    match name.split_once(':') {
        None if name.starts_with("0x") => ethereum("", name),
        Some(("eip155", rest)) => match rest.split_once(':') {
            None => ethereum("", rest),
            Some((chain, address)) => ethereum(chain, address),
        },
        None => siws::address(name).ok().map(|_| ("solana", name.to_owned())),
        Some(("solana", address)) => siws::address(address).ok().map(|_| ("solana", address.to_owned())),
        Some(_) => None,
    }
}

/// The claimed message of an Ethereum wallet, and its digest.
fn said(proof: &Proof) -> Result<(Message, Hash), AuthError> {
    let departs = |standard: &str, reason: String| {
        Why::InvalidMessage.because(format!("It violates {standard}: {reason}."))
    };
    match (&proof.message, &proof.typed) {
        (Some(text), None) => {
            let message = Message::parse(text).map_err(|reason| departs("EIP-4361", reason))?;
            Ok((message, message_hash(text)))
        }
        (None, Some(typed)) => {
            let departs = |reason| departs("the message format of EIP-4361", reason);
            Ok((typed.message().map_err(departs)?, typed.digest().map_err(departs)?))
        }
        _ => Err(Why::InvalidRequest.because("One of `message` and `typed` is required.")),
    }
}

fn statement(principal: &str) -> &'static str {
    if principal.is_empty() { STATEMENT } else { LINK_STATEMENT }
}

/// The purpose of a nonce in an EIP-4361 message.
fn ethereum(principal: &str) -> Purpose<'_> {
    Purpose { kind: Kind::Ethereum.name(), principal, terms: "" }
}

fn unknown_nonce() -> AuthError {
    Why::UnknownNonce.because("Request a new challenge, and sign that.")
}

fn taken() -> AuthError {
    Why::WalletTaken.because("Sign in with it, and unlink it there first.")
}
