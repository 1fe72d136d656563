//! `/api/v1/jobs`: to look at jobs, retry and cancel them. Errors are problems (RFC 9457).

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgate_contracts::audit::By;
use streamgate_contracts::jobs::v1::{Job, JobState};
use streamgate_plugin_api::time::rfc3339;
use streamgate_plugin_api::{Problem, problems};
use uuid::Uuid;

use crate::error::JobError;
use crate::jobs::Jobs;
use crate::policy::is_queue;
use crate::store::Filter;

const DEFAULT_LIMIT: u32 = 50;
pub(crate) const MAX_LIMIT: u32 = 200;

pub(crate) fn router(jobs: Jobs) -> Router {
    Router::new()
        .route("/api/v1/jobs", get(list))
        .route("/api/v1/jobs/{id}", get(one))
        .route("/api/v1/jobs/{id}/retry", post(retry))
        .route("/api/v1/jobs/{id}/cancel", post(cancel))
        .fallback(async || Problem::of(problems::NO_SUCH_RESOURCE))
        .method_not_allowed_fallback(async || Problem::of(problems::METHOD_NOT_ALLOWED))
        .with_state(jobs)
}

/// A job as the API shows it.
#[derive(Debug, Serialize)]
struct JobView {
    id: String,
    queue: String,
    state: &'static str,
    payload: Value,
    dedupe_key: Option<String>,
    priority: i32,
    attempt: u32,
    max_attempts: u32,
    progress: f64,
    error: Option<String>,
    worker: Option<String>,
    owner: Option<String>,
    waits_for: Option<String>,
    result: Value,
    created_at: String,
    due_at: String,
    updated_at: String,
}

impl JobView {
    /// With what it waits for, other than a worker.
    fn of(job: Job, waits_for: Option<String>) -> Self {
        let state = job.state().name();
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            id: job.id,
            queue: job.queue,
            state,
            payload: json_of(&job.payload),
            dedupe_key: given(job.dedupe_key),
            priority: job.priority,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            progress: job.progress,
            error: given(job.error),
            worker: given(job.worker),
            owner: given(job.owner),
            waits_for,
            result: json_of(&job.result),
            created_at: rfc3339(job.created_at_ms),
            due_at: rfc3339(job.due_at_ms),
            updated_at: rfc3339(job.updated_at_ms),
        }
    }
}

/// JSON unchanged, nothing as null, anything else as `{"base64": …}`.
fn json_of(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| serde_json::json!({ "base64": STANDARD.encode(bytes) }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    queue: Option<String>,
    state: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

impl ListQuery {
    pub(crate) fn filter(self) -> Result<(Filter, u32), JobError> {
        let invalid = |message: String| Err(JobError::Invalid(message));
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 || limit > MAX_LIMIT {
            return invalid(format!("limit={limit} is not between 1 and {MAX_LIMIT}"));
        }
        if let Some(queue) = self.queue.as_ref().filter(|queue| !is_queue(queue)) {
            return invalid(format!("queue=`{}` is not [a-z][a-z0-9-]{{0,62}}", queue.escape_default()));
        }
        let state = match self.state.as_deref().map(JobState::from_name) {
            None => None,
            Some(Ok(state)) => Some(state),
            Some(Err(error)) => return invalid(error.to_string()),
        };
        let before = match self.cursor.as_deref().map(Uuid::try_parse) {
            None => None,
            Some(Ok(id)) => Some(id.to_string()),
            Some(Err(_)) => return invalid("cursor does not come from an earlier response".into()),
        };
        Ok((Filter { queue: self.queue, state, before }, limit))
    }
}

#[derive(Debug, Serialize)]
struct Page {
    items: Vec<JobView>,
    next_cursor: Option<String>,
}

type Fresh<T> = ([(header::HeaderName, &'static str); 1], Json<T>);

/// Jobs change all the time: responses are not cached.
fn fresh<T>(value: T) -> Fresh<T> {
    ([(header::CACHE_CONTROL, "no-store")], Json(value))
}

async fn list(
    State(jobs): State<Jobs>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Fresh<Page>, Problem> {
    let Query(query) = query.map_err(|rejection| JobError::Invalid(rejection.body_text()))?;
    let (filter, limit) = query.filter()?;
    // One more than requested shows whether there is a next page.
    let mut found = jobs.list(&filter, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|job| job.id.clone());
    let waits = jobs.waits(&found).await?;
    let items = found.into_iter().zip(waits).map(|(job, wait)| JobView::of(job, wait)).collect();
    Ok(fresh(Page { items, next_cursor }))
}

async fn shown_alone(jobs: &Jobs, job: Job) -> Result<Fresh<JobView>, Problem> {
    let wait = jobs.waits(std::slice::from_ref(&job)).await?.pop().flatten();
    Ok(fresh(JobView::of(job, wait)))
}

async fn one(State(jobs): State<Jobs>, Path(id): Path<String>) -> Result<Fresh<JobView>, Problem> {
    let job = jobs.get(&checked(id)?).await?;
    shown_alone(&jobs, job).await
}

async fn retry(
    State(jobs): State<Jobs>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Fresh<JobView>, Problem> {
    let job = jobs.retry(&checked(id)?, &By::of(&headers)).await?;
    shown_alone(&jobs, job).await
}

async fn cancel(
    State(jobs): State<Jobs>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Fresh<JobView>, Problem> {
    let job = jobs.cancel(&checked(id)?, &By::of(&headers)).await?;
    shown_alone(&jobs, job).await
}

/// An invalid id is no job; no lookup is needed.
fn checked(id: String) -> Result<String, JobError> {
    match Uuid::try_parse(&id) {
        Ok(parsed) => Ok(parsed.to_string()),
        Err(_) => Err(JobError::NotFound(id.chars().take(64).collect())),
    }
}
