//! `/api/v1/webhooks`: shows endpoints and deliveries, and redelivers.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State as Extract};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamgate_plugin_api::time::now_ms;
use streamgate_plugin_api::{Event, Problem, problems};
use tokio::sync::watch;
use uuid::Uuid;

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::store::{Delivery, EndpointRow, Filter, SWEEP, State};
use crate::view::{DeliveryView, DetailView, EndpointView};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// CloudEvents `type` of the test event.
const TYPE_TEST: &str = "streamgate.webhook.test.v1";

/// The current engine.
type Current = watch::Receiver<Arc<Engine>>;
type Answer<T> = Result<T, Problem>;
type Fresh<T> = ([(header::HeaderName, &'static str); 1], Json<T>);

pub(crate) fn router(current: Current) -> Router {
    Router::new()
        .route("/api/v1/webhooks/endpoints", get(endpoints))
        .route("/api/v1/webhooks/endpoints/{name}", get(endpoint))
        .route("/api/v1/webhooks/endpoints/{name}/test", post(test))
        .route("/api/v1/webhooks/endpoints/{name}/redeliver", post(redeliver_dead))
        .route("/api/v1/webhooks/endpoints/{name}/enable", post(enable))
        .route("/api/v1/webhooks/deliveries", get(deliveries).delete(delete_dead))
        .route("/api/v1/webhooks/deliveries/{id}", get(delivery).delete(delete))
        .route("/api/v1/webhooks/deliveries/{id}/redeliver", post(redeliver))
        .fallback(async || Problem::of(problems::NO_SUCH_RESOURCE))
        .method_not_allowed_fallback(async || Problem::of(problems::METHOD_NOT_ALLOWED))
        .with_state(current)
}

/// Deliveries change all the time, so answers are not cached.
fn fresh<T>(value: T) -> Fresh<T> {
    ([(header::CACHE_CONTROL, "no-store")], Json(value))
}

#[derive(Debug, Serialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

async fn endpoints(Extract(current): Extract<Current>) -> Answer<Fresh<Page<EndpointView>>> {
    let engine = current.borrow().clone();
    let (rows, counts) = state(&engine).await?;
    let view = |endpoint: &Arc<Endpoint>| EndpointView::new(endpoint, rows.get(&endpoint.name), &counts);
    Ok(fresh(Page { items: engine.endpoints.values().map(view).collect(), next_cursor: None }))
}

async fn endpoint(
    Extract(current): Extract<Current>,
    Path(name): Path<String>,
) -> Answer<Fresh<EndpointView>> {
    let engine = current.borrow().clone();
    let endpoint = named(&engine, &name)?;
    let (rows, counts) = state(&engine).await?;
    Ok(fresh(EndpointView::new(endpoint, rows.get(&name), &counts)))
}

type Known = (HashMap<String, EndpointRow>, Vec<(String, State, u64)>);

async fn state(engine: &Engine) -> Result<Known, ApiError> {
    Ok((engine.history().await?, engine.store.counts().await?))
}

/// Sends a test event, regardless of the endpoint's subjects.
async fn test(Extract(current): Extract<Current>, Path(name): Path<String>) -> Answer<impl IntoResponse> {
    let engine = current.borrow().clone();
    let endpoint = open(&engine, &name)?;
    let data = json!({ "endpoint": name, "message": "This is a test." });
    let event = Event::json(format!("webhook.{name}.test"), TYPE_TEST, &data);
    let mut event = event.map_err(|error| ApiError::Invalid(error.to_string()))?;
    event.source = "streamgate/webhook".into();
    let most = engine.settings.max_waiting;
    let id = engine.store.put_one(&name, &event, most, now_ms()).await.map_err(ApiError::from)?;
    endpoint.wake.notify_one();
    let location = format!("/api/v1/webhooks/deliveries/{id}");
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], fresh(detail(&engine, &id).await?)))
}

/// Retries an endpoint that answered 410 or requested a pause.
async fn enable(Extract(current): Extract<Current>, Path(name): Path<String>) -> Answer<Fresh<EndpointView>> {
    let engine = current.borrow().clone();
    let known = named(&engine, &name)?;
    engine.store.enable(&name).await.map_err(ApiError::from)?;
    known.enable();
    endpoint(Extract(current), Path(name)).await
}

/// As many of the dead ones as may wait, the oldest first.
async fn redeliver_dead(
    Extract(current): Extract<Current>,
    Path(name): Path<String>,
) -> Answer<Fresh<Value>> {
    let engine = current.borrow().clone();
    let endpoint = open(&engine, &name)?;
    let done = async {
        let room = u64::from(engine.settings.max_waiting).saturating_sub(engine.store.waiting(&name).await?);
        engine.store.redeliver_dead(&name, room, now_ms()).await
    };
    let redelivered = done.await.map_err(ApiError::from)?;
    endpoint.wake.notify_one();
    Ok(fresh(json!({ "redelivered": redelivered })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    endpoint: Option<String>,
    state: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

impl ListQuery {
    fn filter(self) -> Result<(Filter, u32), ApiError> {
        let invalid = |message: String| Err(ApiError::Invalid(message));
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 || limit > MAX_LIMIT {
            return invalid(format!("limit={limit} is not between 1 and {MAX_LIMIT}"));
        }
        let state = match self.state.as_deref().map(|name| (name, State::from_name(name))) {
            None => None,
            Some((_, Some(state))) => Some(state),
            Some((name, None)) => {
                let names = State::ALL.map(State::name).join(", ");
                return invalid(format!("state=`{}` is none of {names}", name.escape_default()));
            }
        };
        let before = match self.cursor.as_deref().map(Uuid::try_parse) {
            None => None,
            Some(Ok(id)) => Some(id.to_string()),
            Some(Err(_)) => return invalid("cursor does not come from an earlier response".into()),
        };
        Ok((Filter { endpoint: self.endpoint, state, before }, limit))
    }
}

/// The newest first. The cursor is the id of the last one of a page.
async fn deliveries(
    Extract(current): Extract<Current>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<Fresh<Page<DeliveryView>>> {
    let engine = current.borrow().clone();
    let Query(query) = query.map_err(|rejection| ApiError::Invalid(rejection.body_text()))?;
    let (filter, limit) = query.filter()?;
    // One more than shown, to know whether there is a next page.
    let mut found = engine.store.list(&filter, limit + 1).await.map_err(ApiError::from)?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|delivery| delivery.id.clone());
    Ok(fresh(Page { items: found.iter().map(DeliveryView::from).collect(), next_cursor }))
}

async fn delivery(Extract(current): Extract<Current>, Path(id): Path<String>) -> Answer<Fresh<DetailView>> {
    let engine = current.borrow().clone();
    Ok(fresh(detail(&engine, &checked(id)?).await?))
}

async fn redeliver(Extract(current): Extract<Current>, Path(id): Path<String>) -> Answer<Fresh<DetailView>> {
    let engine = current.borrow().clone();
    let id = checked(id)?;
    let known = found(&engine, &id).await?;
    let endpoint = open(&engine, &known.endpoint)?;
    if engine.store.redeliver(&id, now_ms()).await.map_err(ApiError::from)?.is_none() {
        let state = found(&engine, &id).await?.state;
        let error = ApiError::WrongState { id, state, wanted: "dead or delivered", verb: "redelivered" };
        return Err(error.into());
    }
    endpoint.wake.notify_one();
    Ok(fresh(detail(&engine, &id).await?))
}

async fn delete(Extract(current): Extract<Current>, Path(id): Path<String>) -> Answer<StatusCode> {
    let engine = current.borrow().clone();
    let id = checked(id)?;
    if engine.store.delete(&id).await.map_err(ApiError::from)? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let state = found(&engine, &id).await?.state;
    Err(ApiError::WrongState { id, state, wanted: "dead", verb: "deleted" }.into())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteQuery {
    state: String,
    endpoint: Option<String>,
}

/// Removes dead letters, of one endpoint (which may have been removed from the settings) or of all.
async fn delete_dead(
    Extract(current): Extract<Current>,
    query: Result<Query<DeleteQuery>, QueryRejection>,
) -> Answer<Fresh<Value>> {
    let engine = current.borrow().clone();
    let Query(query) = query.map_err(|rejection| ApiError::Invalid(rejection.body_text()))?;
    if query.state != State::Dead.name() {
        return Err(ApiError::Invalid("only dead ones are deleted: state=dead".into()).into());
    }
    let mut deleted = 0;
    loop {
        let round = engine.store.delete_dead(query.endpoint.as_deref()).await.map_err(ApiError::from)?;
        deleted += round;
        if round < u64::from(SWEEP) {
            return Ok(fresh(json!({ "deleted": deleted })));
        }
    }
}

fn named<'a>(engine: &'a Engine, name: &str) -> Result<&'a Arc<Endpoint>, ApiError> {
    engine.endpoints.get(name).ok_or_else(|| ApiError::NoEndpoint(name.chars().take(64).collect()))
}

/// The endpoint, if it accepts deliveries.
fn open<'a>(engine: &'a Engine, name: &str) -> Result<&'a Arc<Endpoint>, ApiError> {
    let endpoint = named(engine, name)?;
    let closed = |reason| Err(ApiError::Closed { name: name.to_owned(), reason });
    match endpoint {
        it if it.disabled => closed("`disabled = true` in the settings"),
        it if it.is_gone() => closed("it has answered 410 Gone; POST to its /enable first"),
        _ => Ok(endpoint),
    }
}

async fn found(engine: &Engine, id: &str) -> Result<Delivery, ApiError> {
    engine.store.get(id).await?.ok_or_else(|| ApiError::NoDelivery(id.to_owned()))
}

async fn detail(engine: &Engine, id: &str) -> Result<DetailView, ApiError> {
    let delivery = found(engine, id).await?;
    Ok(DetailView::new(&delivery, engine.store.attempts(id).await?))
}

/// An invalid id cannot be a delivery, so it is not looked up.
fn checked(id: String) -> Result<String, ApiError> {
    match Uuid::try_parse(&id) {
        Ok(parsed) => Ok(parsed.to_string()),
        Err(_) => Err(ApiError::NoDelivery(id.chars().take(64).collect())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_makes_no_sense_is_refused_with_what_is_wrong() {
        let query = |state: Option<&str>, limit, cursor: Option<&str>| ListQuery {
            endpoint: None,
            state: state.map(Into::into),
            limit,
            cursor: cursor.map(Into::into),
        };
        for (wrong, said) in [
            (query(Some("lost"), None, None), "`lost` is none of waiting, delivered, dead"),
            (query(None, Some(0), None), "limit=0"),
            (query(None, Some(201), None), "limit=201"),
            (query(None, None, Some("x")), "cursor"),
        ] {
            let error = wrong.filter().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let (filter, limit) = query(Some("dead"), None, None).filter().unwrap();
        assert!(filter.state == Some(State::Dead) && limit == DEFAULT_LIMIT);
    }
}
