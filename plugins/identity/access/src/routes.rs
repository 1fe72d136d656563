//! The REST API under `/api/v1/access`. The openness of a content, and the caller's own access, are public.
//! The rule, and other viewers, are for the owner of a content and for admins; subscriptions require `admin`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use streamgate_contracts::access::v1::Verdict;
use streamgate_contracts::audit::By;
use streamgate_contracts::catalogue::v1::Right;
use streamgate_contracts::db::DbError;
use streamgate_contracts::scopes::{ADMIN, WRITE};
use streamgate_plugin_api::Principal;
use streamgate_plugin_api::time::{parse_rfc3339, rfc3339};
use tokio::time::Instant;

use crate::access::{Access, REFUSAL_MS};
use crate::caip::{self, Contract};
use crate::decision::Ruling;
use crate::delegation::MAX_NAMED;
use crate::directory::{ChainEntry, DESCRIBED_WITHIN, Described, Directory, Undescribed};
use crate::epochs::Snapshot;
use crate::policy::{Openness, Policy, Written};
use crate::rule::{MAX_BYTES, is_plan};
use crate::viewer::Viewer;
use crate::warnings::Warning;

pub(crate) use crate::error::ApiError;

/// Every principal has it.
const VIEWER: &str = "viewer";
/// A rule and the rest of the request: the wallets and roles of a preview.
const MAX_BODY_BYTES: usize = MAX_BYTES + 8 * 1024;
const MAX_REASON_CHARS: usize = 500;
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

type Answer = Result<Response, ApiError>;

impl Access {
    /// The public REST API.
    pub fn public(&self) -> Router {
        router(self.clone())
    }
}

fn router(access: Access) -> Router {
    Router::new()
        .route("/api/v1/access/contents/{id}", get(show).put(change).delete(take_back))
        .route("/api/v1/access/contents/{id}/me", get(me))
        .route("/api/v1/access/contents/{id}/preview", post(preview))
        .route("/api/v1/access/contents/{id}/revoke", post(revoke))
        .route("/api/v1/access/contents/{id}/bars", get(bars))
        .route("/api/v1/access/contents/{id}/bars/{principal}", delete(lift))
        .route("/api/v1/access/decisions", get(decisions))
        .route("/api/v1/access/subscriptions/{principal}", get(subscriptions))
        .route("/api/v1/access/subscriptions/{principal}/{plan}", put(subscribe).delete(end_subscription))
        .route("/api/v1/access/chains", get(chains))
        .route("/api/v1/access/contracts/{contract}", get(contract))
        .route("/api/v1/access/vaults", get(vaults).put(name_vaults))
        .route("/api/v1/access/schema", get(schema))
        .fallback(|| async { ApiError::NotFound("There is no resource at this path.".into()) })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .with_state(access)
}

/// The caller, if they have the scope.
fn with_scope(headers: &HeaderMap, scope: &'static str) -> Result<By, ApiError> {
    let principal = Principal::of(headers).ok_or(ApiError::NotSignedIn)?;
    if principal.may(scope) { Ok(By::of(headers)) } else { Err(ApiError::Forbidden(scope)) }
}

/// The right of the caller to a content, by ownership, role or share; a block ends what a share gives.
async fn right_of(access: &Access, headers: &HeaderMap, content: &str) -> Result<Right, ApiError> {
    let viewer = viewer(headers)?;
    let right = access.shared.standings.of(content, &viewer).await?;
    let shared = (Right::View..Right::Own).contains(&right);
    match shared && access.shared.store.is_barred(content, &viewer.principal).await? {
        true => Ok(Right::None),
        false => Ok(right),
    }
}

/// The caller, and the content of this id, if they may change it.
async fn editor(access: &Access, headers: &HeaderMap, id: &str) -> Result<(By, String), ApiError> {
    let by = with_scope(headers, WRITE)?;
    let content = uuid(id, "content")?;
    if right_of(access, headers, &content).await? >= Right::Edit {
        return Ok((by, content));
    }
    // To whom a content is not to be known, it is not there.
    match access.seen_policy(&content).await?.openness {
        Openness::Private => Err(ApiError::NotFound("There is no such content.".into())),
        Openness::Public | Openness::Gated | Openness::Unlisted => Err(ApiError::NotYours),
    }
}

/// A UUID in lower case with hyphens, the form of contents and principals.
pub(crate) fn uuid(text: &str, what: &str) -> Result<String, ApiError> {
    let id = uuid::Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    id.map(|id| id.to_string()).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        ApiError::Invalid(format!("`{shown}` is not the id of a {what}, which is a UUID."))
    })
}

async fn body(request: Request) -> Result<(Parts, Bytes), ApiError> {
    let read = streamgate_plugin_api::read(request, &["application/json"], MAX_BODY_BYTES).await;
    read.map_err(|problem| ApiError::Unread(Box::new(problem)))
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<(Parts, T), ApiError> {
    let (parts, bytes) = body(request).await?;
    let json = serde_json::from_slice(&bytes);
    Ok((parts, json.map_err(|error| ApiError::Invalid(format!("The body: {error}.")))?))
}

/// The revision that a change requires: RFC 9110 §13.1.1.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let revision = tag.and_then(|tag| tag.split('.').next()?.parse().ok());
    let wrong = || ApiError::Invalid("`If-Match` must be the `ETag` of the policy.".into());
    revision.map(Some).ok_or_else(wrong)
}

fn policy_view(content: &str, policy: &Policy, whole: bool) -> Value {
    let mut view = json!({
        "content": content,
        "openness": policy.openness.name(),
        "default": policy.is_default,
        "revision": policy.revision,
    });
    if whole {
        let rule = policy.rule.as_ref().and_then(|(text, _)| serde_json::from_str::<Value>(text).ok());
        view["rule"] = rule.unwrap_or_default();
        view["changed_at"] = json!(policy.changed_at_ms.map(rfc3339));
    }
    view
}

/// A view of a policy, with its revision as a tag, and whether it is complete: one tag for both would let a
/// browser show another user what it cached for the previous one.
fn policy_answer(view: &Value) -> Response {
    let mut response = answer(view);
    let whole = if view.get("rule").is_some() { ".whole" } else { "" };
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}{whole}\"", view["revision"])) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn warnings_view(warnings: Vec<Warning>) -> Value {
    let view = |Warning { pointer, text }| json!({ "pointer": format!("/rule{pointer}"), "text": text });
    warnings.into_iter().map(view).collect()
}

async fn show(State(access): State<Access>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let content = uuid(&id, "content")?;
    let right = right_of(&access, &headers, &content).await;
    let whole = matches!(&right, Ok(right) if *right >= Right::Edit);
    let policy = match matches!(&right, Ok(right) if *right >= Right::View) {
        true => access.policy(&content).await?,
        false => access.seen_policy(&content).await?,
    };
    if policy.openness == Openness::Private && right? < Right::View {
        return Err(ApiError::NotFound("There is no such content.".into()));
    }
    Ok(policy_answer(&policy_view(&content, &policy, whole)))
}

async fn change(State(access): State<Access>, Path(id): Path<String>, request: Request) -> Answer {
    let (by, content) = editor(&access, request.headers(), &id).await?;
    let (parts, bytes) = body(request).await?;
    let (written, rule, tree) = Written::parse(&bytes)?;
    let said = (written.openness.name(), rule.as_str());
    // A failed check of the rule must not delay saving it.
    let (saved, warnings) = tokio::join!(
        put_policy(&access, &content, said, &parts.headers, &by),
        Warning::about(tree.as_ref(), &access.shared.chains, access.now_ms()),
    );
    let mut view = policy_view(&content, &*saved?, true);
    view["warnings"] = warnings_view(warnings);
    Ok(policy_answer(&view))
}

async fn take_back(State(access): State<Access>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let (by, content) = editor(&access, &headers, &id).await?;
    if access.policy(&content).await?.is_default {
        return Err(ApiError::NotFound("The content has no policy of its own.".into()));
    }
    let policy = put_policy(&access, &content, ("default", ""), &headers, &by).await?;
    Ok(policy_answer(&policy_view(&content, &policy, true)))
}

async fn put_policy(
    access: &Access,
    content: &str,
    (openness, rule): (&str, &str),
    headers: &HeaderMap,
    by: &By,
) -> Result<Arc<Policy>, ApiError> {
    let expected = if_match(headers)?;
    let detail = access.policy(content).await?.change_to(openness, rule);
    let entry = by.changed("access.policy", content, detail);
    let (store, now_ms) = (&access.shared.store, access.now_ms());
    let changed =
        store.put_policy(content, (openness, rule), expected, (&by.principal, now_ms), &entry).await;
    changed.map_err(|error| match error {
        DbError::Conflict { .. } => ApiError::Changed(expected.unwrap_or_default()),
        error => error.into(),
    })?;
    access.shared.audit.noted();
    access.policy_changed(content).await;
    Ok(access.policy(content).await?)
}

/// The caller, as a viewer.
fn viewer(headers: &HeaderMap) -> Result<Viewer, ApiError> {
    let Principal { id, roles, scopes, wallets, .. } = Principal::of(headers).unwrap_or_default();
    Viewer::new(id, roles, scopes, wallets).map_err(ApiError::Invalid)
}

async fn me(State(access): State<Access>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let content = uuid(&id, "content")?;
    let viewer = viewer(&headers)?;
    let decision = access.decide(&content, viewer.clone()).await;
    let allowed = decision.ruling.verdict == Verdict::Allowed && !viewer.is_admin();
    if allowed && access.seen_policy(&content).await?.openness != access.policy(&content).await?.openness {
        let mut view = Ruling::private(&viewer).view();
        view["content"] = content.as_str().into();
        view["generation"] = 0.into();
        view["valid_until"] = rfc3339(access.now_ms().saturating_add(REFUSAL_MS)).into();
        return Ok(answer(&view));
    }
    let mut view = decision.ruling.view();
    view["content"] = content.as_str().into();
    view["generation"] = decision.generation.into();
    // A private content must look like a missing one, unless the caller may see it.
    let refused = decision.ruling.verdict == Verdict::Denied && decision.ruling.kind != "revoked";
    if refused && access.policy(&content).await?.openness == Openness::Private {
        view["generation"] = 0.into();
        view["revision"] = 0.into();
    }
    view["valid_until"] = rfc3339(decision.valid_until_ms).into();
    Ok(answer(&view))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct PreviewBody {
    /// Whose last known wallets and roles to use; those below are added.
    principal: Option<String>,
    wallets: Vec<String>,
    roles: Vec<String>,
    /// A rule to use instead of the policy's. It need not be saved, and is not by this.
    rule: Option<Box<RawValue>>,
}

async fn preview(State(access): State<Access>, Path(id): Path<String>, request: Request) -> Answer {
    let (_, content) = editor(&access, request.headers(), &id).await?;
    let (_, body) = read::<PreviewBody>(request).await?;
    let PreviewBody { principal, mut wallets, mut roles, rule } = body;
    let principal = principal.map(|id| uuid(&id, "principal")).transpose()?;
    if principal.is_none() && wallets.is_empty() {
        return Err(ApiError::Invalid("Name a `principal`, or some `wallets`.".into()));
    }
    if let Some(principal) = &principal {
        let known = access.shared.store.last_viewer(principal).await?;
        let known: Viewer = serde_json::from_str(&known).unwrap_or_default();
        wallets.extend(known.wallets);
        roles.extend(known.roles);
    }
    // A viewer with these wallets has signed in with one, so they are a principal, and a viewer.
    roles.push(VIEWER.into());
    let principal = principal.unwrap_or_else(|| uuid::Uuid::nil().to_string());
    let viewer = Viewer::new(principal, roles, Vec::new(), wallets).map_err(ApiError::Invalid)?;
    let policy = match &rule {
        Some(rule) => Arc::new(Policy::unsaved(rule)?),
        None => access.policy(&content).await?,
    };
    let _slot = access.slot().await.ok_or(ApiError::Busy)?;
    let tree = policy.rule.as_ref().map(|(_, tree)| &**tree);
    let mut snapshot = Snapshot::default();
    let (ruled, warnings) = tokio::join!(
        access.rule(&policy, &viewer, &mut snapshot, true),
        Warning::about(tree, &access.shared.chains, access.now_ms()),
    );
    let (mut ruling, _) = ruled?;
    ruling.revision = policy.revision;
    let mut view = ruling.view();
    if rule.is_some() {
        view["revision"] = Value::Null;
    }
    view["wallets"] = json!(viewer.wallets);
    view["roles"] = json!(viewer.roles);
    view["warnings"] = warnings_view(warnings);
    Ok(answer(&view))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeBody {
    /// Default: everyone's.
    principal: Option<String>,
    /// For people, including the viewer.
    reason: String,
    /// Blocks the principal until it is lifted.
    #[serde(default)]
    bar: bool,
}

async fn revoke(State(access): State<Access>, Path(id): Path<String>, request: Request) -> Answer {
    let (by, content) = editor(&access, request.headers(), &id).await?;
    let (_, RevokeBody { principal, reason, bar }) = read::<RevokeBody>(request).await?;
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON_CHARS {
        let detail = format!("`reason` must have 1 to {MAX_REASON_CHARS} characters.");
        return Err(ApiError::Invalid(detail));
    }
    let generation = match principal {
        Some(principal) => {
            let principal = uuid(&principal, "principal")?;
            if bar && !access.can_be_barred(&content, &principal).await? {
                return Err(ApiError::NotBarrable);
            }
            access.revoke(&content, &principal, bar.then_some(reason), reason, &by).await?
        }
        None if bar => return Err(ApiError::Invalid("`bar` needs a `principal`.".into())),
        None => access.revoke_all(&content, reason, &by).await?,
    };
    Ok(answer(&json!({ "generation": generation })))
}

async fn lift(
    State(access): State<Access>,
    Path((id, principal)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (by, content) = editor(&access, &headers, &id).await?;
    let principal = uuid(&principal, "principal")?;
    if !access.shared.store.is_barred(&content, &principal).await? {
        return Err(ApiError::NotFound("This principal is not blocked from this content.".into()));
    }
    access.revoke(&content, &principal, Some(""), "The principal was unblocked", &by).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

type Asked<T> = Result<Query<T>, QueryRejection>;

fn asked<T>(query: Asked<T>) -> Result<T, ApiError> {
    let query = query.map_err(|error| ApiError::Invalid(format!("The query: {error}.")))?;
    Ok(query.0)
}

/// The page size of a list.
fn limit(wanted: Option<usize>) -> Result<usize, ApiError> {
    let limit = wanted.unwrap_or(DEFAULT_LIMIT);
    let wrong = || ApiError::Invalid(format!("`limit` must be a whole number from 1 to {MAX_LIMIT}."));
    (1..=MAX_LIMIT).contains(&limit).then_some(limit).ok_or_else(wrong)
}

/// An optional id; empty if missing.
fn id_or_none(text: Option<String>, what: &str) -> Result<String, ApiError> {
    text.filter(|text| !text.is_empty()).map_or(Ok(String::new()), |text| uuid(&text, what))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BarsQuery {
    limit: Option<usize>,
    /// The `next_cursor` of the previous page: its last principal.
    cursor: Option<String>,
}

async fn bars(
    State(access): State<Access>,
    Path(id): Path<String>,
    query: Asked<BarsQuery>,
    headers: HeaderMap,
) -> Answer {
    let (_, content) = editor(&access, &headers, &id).await?;
    let BarsQuery { limit: wanted, cursor } = asked(query)?;
    let (limit, cursor) = (limit(wanted)?, id_or_none(cursor, "principal")?);
    let mut rows = access.shared.store.bars(&content, &cursor, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(principal, _)| principal.clone());
    let item = |(principal, reason)| json!({ "principal": principal, "reason": reason });
    Ok(answer(&json!({ "items": rows.into_iter().map(item).collect::<Vec<Value>>(), "next_cursor": next })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionsQuery {
    content: Option<String>,
    principal: Option<String>,
    limit: Option<usize>,
    /// The `next_cursor` of the previous page: the id of its last decision.
    cursor: Option<String>,
}

async fn decisions(State(access): State<Access>, query: Asked<DecisionsQuery>, headers: HeaderMap) -> Answer {
    with_scope(&headers, WRITE)?;
    let query = asked(query)?;
    let limit = limit(query.limit)?;
    let content = id_or_none(query.content, "content")?;
    if content.is_empty() {
        // Those about all contents include the viewers of others.
        with_scope(&headers, ADMIN)?;
    } else {
        editor(&access, &headers, &content).await?;
    }
    let principal = id_or_none(query.principal, "principal")?;
    let cursor = id_or_none(query.cursor, "decision")?;
    let mut rows = access.shared.store.decisions(&content, &principal, &cursor, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    let items: Vec<_> = rows.into_iter().map(|row| Value::Object(row.members)).collect();
    Ok(answer(&json!({ "items": items, "next_cursor": next })))
}

async fn subscriptions(
    State(access): State<Access>,
    Path(principal): Path<String>,
    headers: HeaderMap,
) -> Answer {
    with_scope(&headers, ADMIN)?;
    let plans = access.shared.store.plans(&uuid(&principal, "principal")?).await?;
    let item = |(plan, ends_at_ms): (String, i64)| json!({ "plan": plan, "ends_at": rfc3339(ends_at_ms) });
    Ok(answer(&json!({ "items": plans.into_iter().map(item).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionBody {
    /// RFC 3339.
    ends_at: String,
}

async fn subscribe(
    State(access): State<Access>,
    Path((principal, plan)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let by = with_scope(request.headers(), ADMIN)?;
    let principal = uuid(&principal, "principal")?;
    if !is_plan(&plan) {
        return Err(ApiError::Invalid("A plan's name must be `[a-z0-9_-]{1,64}`.".into()));
    }
    let (_, SubscriptionBody { ends_at }) = read::<SubscriptionBody>(request).await?;
    let ends_at_ms = parse_rfc3339(&ends_at)
        .filter(|ms| *ms >= 0)
        .ok_or_else(|| ApiError::Invalid("`ends_at` must be a time such as 2026-12-24T18:00:00Z.".into()))?;
    let detail = format!("{plan} until {}", rfc3339(ends_at_ms));
    let entry = by.changed("access.subscription", &principal, detail);
    if !access.subscribe(&principal, &plan, Some(ends_at_ms), &entry).await? {
        return Err(ApiError::Invalid("The principal has 1000 plans, which is the limit.".into()));
    }
    Ok(answer(&json!({ "principal": principal, "plan": plan, "ends_at": rfc3339(ends_at_ms) })))
}

async fn end_subscription(
    State(access): State<Access>,
    Path((principal, plan)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let by = with_scope(&headers, ADMIN)?;
    let principal = uuid(&principal, "principal")?;
    let entry = by.changed("access.subscription", &principal, format!("{plan} ended"));
    match access.subscribe(&principal, &plan, None, &entry).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(ApiError::NotFound("The principal has no such plan.".into())),
    }
}

/// The chains available for rules. An unavailable plugin does not affect the others.
async fn chains(State(access): State<Access>, headers: HeaderMap) -> Answer {
    with_scope(&headers, WRITE)?;
    let Directory { chains, silent } = Directory::read(&access.shared.chains).await;
    let silent = silent.into_iter().map(|(capability, why)| json!({ "capability": capability, "why": why }));
    Ok(answer(&json!({
        "items": chains.iter().map(ChainEntry::view).collect::<Vec<_>>(),
        "unanswered": silent.collect::<Vec<_>>(),
    })))
}

/// A contract's metadata.
async fn contract(State(access): State<Access>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    with_scope(&headers, WRITE)?;
    let shown: String = name.chars().take(120).collect();
    let contract = Contract::parse(&name).map(|contract| contract.to_string());
    let contract = contract.ok_or_else(|| {
        ApiError::Invalid(format!(
            "`{shown}` is not a contract such as eip155:1:0x…; a mixed-case address needs the right checksum."
        ))
    })?;
    let _slot = access.slot().await.ok_or(ApiError::Busy)?;
    let until = Instant::now() + DESCRIBED_WITHIN;
    match Described::read(&access.shared.chains, &contract, until).await {
        Ok(described) => Ok(answer(&described.view(&contract))),
        Err(Undescribed::Nothing(why)) => Err(ApiError::NoContract(format!("{contract}: {why}."))),
        Err(Undescribed::Malformed(why)) => Err(ApiError::Invalid(format!("`{shown}`: {why}."))),
        Err(Undescribed::Unknown(why)) => Err(ApiError::Chain(format!("{why}."))),
    }
}

/// The caller, whatever their scopes.
fn signed_in(headers: &HeaderMap) -> Result<Principal, ApiError> {
    Principal::of(headers).ok_or(ApiError::NotSignedIn)
}

async fn vaults(State(access): State<Access>, headers: HeaderMap) -> Answer {
    let me = signed_in(&headers)?;
    Ok(answer(&json!({ "vaults": access.shared.store.vaults(&me.id).await? })))
}

/// Wallets that may have delegated to one of the caller's: the complete list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VaultsBody {
    vaults: Vec<String>,
}

async fn name_vaults(State(access): State<Access>, request: Request) -> Answer {
    let me = signed_in(request.headers())?;
    let by = By::of(request.headers());
    let (_, VaultsBody { vaults }) = read::<VaultsBody>(request).await?;
    if vaults.len() > MAX_NAMED {
        return Err(ApiError::Invalid(format!("{} vaults are more than {MAX_NAMED}.", vaults.len())));
    }
    let wallet = |text: &String| {
        let shown: String = text.chars().take(120).collect();
        let wallet = caip::wallet(text).filter(|wallet| wallet.starts_with("eip155:"));
        wallet.ok_or_else(|| ApiError::Invalid(format!("`{shown}` is not a wallet such as eip155:0x….")))
    };
    // A wallet that was named twice is one.
    let vaults: BTreeSet<String> = vaults.iter().map(wallet).collect::<Result<_, _>>()?;
    let vaults: Vec<String> = vaults.into_iter().collect();
    let entry = by.changed("access.vaults", &me.id, vaults.join(" "));
    access.name_vaults(&me.id, &vaults, &entry).await?;
    Ok(answer(&json!({ "vaults": vaults })))
}

/// JSON Schema (2020-12) of policies.
async fn schema() -> Response {
    let mut response = answer(&schemars::schema_for!(Written).to_value());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/schema+json"));
    response
}

fn answer(json: &Value) -> Response {
    let mut response = json.to_string().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
