//! The REST API under `/api/v1/registry`, for operators: the registries, the state of each content, and
//! requests. The gateway authorizes reading; a request costs coins, so it also checks itself that the caller
//! is an admin.

use std::sync::Arc;

use axum::extract::{Path, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use streamgate_contracts::audit::By;
use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::db::DbError;
use streamgate_contracts::scopes::ADMIN;
use streamgate_plugin_api::time::rfc3339;
use streamgate_plugin_api::{Principal, Problem, problems};

use crate::caip::{Account, ChainId};
use crate::contents;
use crate::publication::{Publication, STATES};
use crate::registry::{Contents, Registries};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

type Answer<T = Response> = Result<T, Box<Problem>>;

/// The public router.
pub(crate) fn router(registry: Arc<Registries>) -> Router {
    Router::new()
        .route("/api/v1/registry", get(registries))
        .route("/api/v1/registry/{chain}", get(list).post(ask_again))
        .route("/api/v1/registry/{chain}/{content}", get(show).post(ask))
        .fallback(|| async { refused(problems::NOT_FOUND, "There is no resource at this path.") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(registry)
}

fn refused(kind: problems::ProblemType, detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::of(kind).detail(detail))
}

fn invalid(detail: impl Into<String>) -> Box<Problem> {
    refused(problems::INVALID_REQUEST, detail)
}

/// The table of publications or transactions could not be read or written.
fn failed(error: DbError) -> Box<Problem> {
    Box::new(error.problem("the registries"))
}

async fn registries(State(registry): State<Arc<Registries>>) -> Answer {
    let mut items = Vec::new();
    for (chain, contents) in registry.all_contents() {
        let counts = contents.publications.counts().await.map_err(failed)?;
        let trouble = contents.inbox.trouble();
        items.push(json!({
            "chain": chain.to_string(),
            "registry": name(chain, contents.address),
            "server": contents.server.map(|server| name(chain, server)),
            "publish": contents.publish,
            "trouble": (!trouble.is_empty()).then_some(trouble),
            "contents": counts,
        }));
    }
    Ok(answer(StatusCode::OK, json!({ "items": items })))
}

fn name(chain: ChainId, address: alloy_primitives::Address) -> String {
    Account { chain, address }.to_string()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list(
    State(registry): State<Arc<Registries>>,
    Path(chain): Path<String>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let (_, contents) = contents_of(&registry, &chain)?;
    let uri = Uri::builder().path_and_query(format!("/?{}", raw.unwrap_or_default())).build();
    let query = uri.ok().and_then(|uri| Query::<ListQuery>::try_from_uri(&uri).ok());
    let wrong = "The parameters are `state`, `limit` and `cursor`, each at most once.";
    let Query(ListQuery { state, limit, cursor }) = query.ok_or_else(|| invalid(wrong))?;
    if state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(invalid(format!("`state` must be one of {}.", STATES.join(", "))));
    }
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(invalid(format!("`limit` must be a whole number from 1 to {MAX_LIMIT}.")));
    }
    let after = cursor.as_deref().map(content_id).transpose()?.unwrap_or_default();
    let mut found = contents.publications.page(state.as_deref(), &after, limit + 1).await.map_err(failed)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.content.clone());
    let items: Vec<Value> = found.iter().map(|found| view(&found.content, Some(found))).collect();
    Ok(answer(StatusCode::OK, json!({ "items": items, "next_cursor": next })))
}

async fn show(
    State(registry): State<Arc<Registries>>,
    Path((chain, content)): Path<(String, String)>,
) -> Answer {
    let (_, contents) = contents_of(&registry, &chain)?;
    let content = content_id(&content)?;
    Ok(answer(StatusCode::OK, whole(&contents, &content).await?))
}

/// Registers a content now, or publishes its current policy, or retries a failed one.
async fn ask(
    State(registry): State<Arc<Registries>>,
    Path((chain, content)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let by = admin(&headers)?;
    let (chain, contents) = signed_for(&registry, &chain)?;
    let content = content_id(&content)?;
    let unavailable = |silent| Problem::unavailable(format!("{silent}. Try again in a moment."));
    let known = contents.clients.content(&content).await.map_err(unavailable)?;
    let missing = || refused(problems::NOT_FOUND, format!("There is no content {content}."));
    let known = known.ok_or_else(missing)?;
    if known.state() != ContentState::Ready {
        let detail =
            format!("A content is registered when it is ready; this one is {}.", known.state().name());
        return Err(refused(problems::WRONG_STATE, detail));
    }
    contents.publications.ask(&content, &By::of(&headers)).await.map_err(failed)?;
    registry.noted();
    contents.inbox.wake();
    tracing::info!(%chain, content, principal = by.id, "the registration of a content was requested");
    Ok(answer(StatusCode::ACCEPTED, whole(&contents, &content).await?))
}

/// Retries everything that failed, once the cause is fixed.
async fn ask_again(
    State(registry): State<Arc<Registries>>,
    Path(chain): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let by = admin(&headers)?;
    let (chain, contents) = signed_for(&registry, &chain)?;
    let asked = contents.publications.ask_again(&By::of(&headers)).await.map_err(failed)?;
    registry.noted();
    contents.inbox.wake();
    tracing::info!(%chain, asked, principal = by.id, "a retry of everything that failed was requested");
    Ok(answer(StatusCode::ACCEPTED, json!({ "asked": asked })))
}

/// Who asks for what costs coins.
fn admin(headers: &HeaderMap) -> Answer<Principal> {
    let by = Principal::of(headers).ok_or_else(Problem::not_signed_in)?;
    if by.may(ADMIN) { Ok(by) } else { Err(Problem::needs_scope(ADMIN).into()) }
}

/// The registry of a chain that transactions are signed for.
fn signed_for(registry: &Registries, chain: &str) -> Answer<(ChainId, Contents)> {
    let (id, contents) = contents_of(registry, chain)?;
    let detail = || format!("{id} has no `signer_file` in [plugins.registry-evm].");
    contents.server.map(|_| (id, contents)).ok_or_else(|| refused(problems::NO_SIGNER, detail()))
}

fn contents_of(registry: &Registries, chain: &str) -> Answer<(ChainId, Contents)> {
    let id = ChainId::parse(chain).map_err(|error| invalid(format!("{error}.")))?;
    let detail = || format!("{id} has no `registry` in [plugins.registry-evm].");
    let contents = registry.contents(id).ok_or_else(|| refused(problems::NOT_FOUND, detail()))?;
    Ok((id, contents))
}

fn content_id(text: &str) -> Answer<String> {
    let id = contents::uuid(text).map_err(|error| invalid(format!("{error}.")))?;
    Ok(id.to_string())
}

/// All that is known of a content.
async fn whole(contents: &Contents, content: &str) -> Answer<Value> {
    let known = contents.publications.get(content).await.map_err(failed)?;
    let mut shown = view(content, known.as_ref());
    let key = known.as_ref().and_then(|known| Some(known.told.as_ref()?.key.as_str()));
    if let Some(key) = key
        && let Some(transaction) = contents.queue.get(key).await.map_err(failed)?
    {
        shown["transaction"]["nonce"] = json!(transaction.nonce);
        shown["transaction"]["hashes"] = json!(transaction.hashes);
        shown["transaction"]["history"] = transaction.history.iter().map(change).collect();
    }
    shown["registered"] =
        contents.index.content(content).await.map_err(failed)?.map(registered).unwrap_or_default();
    Ok(shown)
}

/// A content in a list.
fn view(content: &str, known: Option<&Publication>) -> Value {
    let told = known.and_then(|known| known.told.as_ref());
    let trouble = known.map(|known| known.trouble.as_str()).filter(|trouble| !trouble.is_empty());
    let failed = told.map(|told| told.detail.as_str()).filter(|detail| !detail.is_empty());
    json!({
        "content": content,
        "state": known.map_or("none", Publication::state),
        "action": told.map(|told| told.action.name()),
        "detail": trouble.or(failed),
        "cid": told.map(|told| told.cid.to_string()),
        "policy": told.map(|told| told.policy.to_string()),
        "attempt": known.map_or(0, |known| known.attempt),
        "changed_at": known.map(|known| rfc3339(known.at)),
        "transaction": told.map(|told| json!({ "key": told.key, "hash": told.hash, "block": told.block })),
    })
}

fn change(change: &wire::TransactionChange) -> Value {
    let state = change.state().as_str_name().trim_start_matches("TRANSACTION_STATE_").to_lowercase();
    json!({ "state": state, "detail": change.detail, "at": rfc3339(change.at_ms) })
}

fn registered(entry: wire::Registered) -> Value {
    let wire::Registered { entry, owner, block, block_hash, settled, .. } = entry;
    let entry = entry.unwrap_or_default();
    let hex = |bytes: &[u8]| alloy_primitives::hex::encode_prefixed(bytes);
    json!({
        "owner": owner,
        "cid": hex(&entry.cid),
        "policy": hex(&entry.policy),
        "policy_uri": entry.policy_uri,
        "block": block,
        "block_hash": block_hash,
        "settled": settled,
    })
}

fn answer(status: StatusCode, body: Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
