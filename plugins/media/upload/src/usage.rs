//! `GET /api/v1/quota`: a principal's use of shared resources and its limits. Each part comes from the plugin
//! that counts it; a part without an answer is left out.

use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use streamgate_contracts::auth::v1::QuotaResponse;
use streamgate_contracts::jobs::v1::ShareResponse;
use streamgate_contracts::scopes;
use streamgate_plugin_api::fair::Holder;
use streamgate_plugin_api::time::{now_ms, rfc3339};
use streamgate_plugin_api::{Principal, Problem, address, problems};
use tonic::Status;

use crate::store;
use crate::uploads::Uploads;

/// How long each part may take.
const DEADLINE: Duration = Duration::from_secs(3);
const MAX_ID: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    /// The principal; only for admins. Default: the caller.
    principal: Option<String>,
}

pub(crate) fn router(uploads: Uploads) -> Router {
    let method = async || {
        Problem::of(problems::METHOD_NOT_ALLOWED)
            .detail("Quotas are set at `/api/v1/auth/principals/{id}/quota`.")
    };
    Router::new().route("/api/v1/quota", get(show).fallback(method)).with_state(uploads)
}

async fn show(
    State(uploads): State<Uploads>,
    query: Result<Query<Of>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = Principal::of(&headers);
    let own = caller.as_ref().map(|caller| caller.id.clone());
    let principal = whose(query, caller).map_err(|problem| *problem)?;
    let own = own.as_ref() == Some(&principal);
    if !own && !uploads.pump.dependencies.knows(&principal).await {
        return Err(Problem::of(problems::NOT_FOUND).detail("There is no such principal."));
    }
    let address = address::client(&headers).filter(|_| own).map(|address| address.to_string());
    let view = Box::pin(uploads.used_by(&principal, address.unwrap_or_default())).await;
    let mut response = (StatusCode::OK, view.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The requested principal, if the caller may see its use.
fn whose(
    query: Result<Query<Of>, QueryRejection>,
    caller: Option<Principal>,
) -> Result<String, Box<Problem>> {
    let invalid = |detail: String| Problem::of(problems::INVALID_REQUEST).detail(detail);
    let Query(Of { principal }) = query.map_err(|rejection| Box::new(invalid(rejection.body_text())))?;
    let Some(caller) = caller else {
        return Err(Problem::not_signed_in().into());
    };
    match principal {
        Some(id) if id != caller.id && !scopes::has(&caller.scopes, scopes::ADMIN) => {
            let problem = Problem::of(problems::FORBIDDEN);
            Err(problem.detail("Only admins may see the usage of others.").into())
        }
        Some(id) if id.is_empty() || id.len() > MAX_ID => {
            Err(invalid(format!("`principal` must have 1 to {MAX_ID} characters.")).into())
        }
        Some(id) => Ok(id),
        None => Ok(caller.id),
    }
}

impl Uploads {
    /// `address`: of the principal's client; empty: it is not known.
    async fn used_by(&self, principal: &str, address: String) -> Value {
        let owner = store::owner(&Holder::Principal(principal.to_owned()));
        let dependencies = &self.pump.dependencies;
        let since_ms = now_ms();
        let (quota, catalogue, share, unfinished, reserved) = tokio::join!(
            part("auth", dependencies.quota_at(principal, address)),
            part("the catalogue", dependencies.usage(principal)),
            part("the job queue", dependencies.share(principal)),
            part("the database", self.pump.store.unfinished(&owner)),
            part("the database", self.pump.store.reserved_by(&owner, since_ms)),
        );
        let mut view = Map::new();
        view.insert("principal".into(), principal.into());
        if let (Some(catalogue), Some(reserved)) = (catalogue, reserved) {
            let limit = quota.as_ref().map(|quota| quota.stored);
            view.insert("stored".into(), bounded(limit, catalogue.bytes.saturating_add(reserved)));
        }
        if let Some(catalogue) = catalogue {
            let limit = quota.as_ref().map(|quota| quota.event_streams);
            view.insert("event_streams".into(), bounded(limit, catalogue.event_streams));
        }
        if let Some(used) = unfinished {
            let each = |quota: &QuotaResponse| quota.unfinished_uploads.unwrap_or(self.unfinished.each);
            let limit = quota.as_ref().map(|quota| Some(each(quota)));
            view.insert("unfinished_uploads".into(), bounded(limit, used));
        }
        view.extend(share.into_iter().flat_map(encodes));
        view.extend(quota.iter().flat_map(of_auth));
        view.into()
    }
}

/// No limit if it is unknown; null if there is none.
fn bounded(limit: Option<Option<u64>>, used: u64) -> Value {
    match limit {
        Some(limit) => json!({ "limit": limit, "used": used }),
        None => json!({ "used": used }),
    }
}

fn encodes(share: ShareResponse) -> [(String, Value); 2] {
    let ShareResponse { running, waiting, worked_ms, most_running, most_ms, day_ends_at_ms } = share;
    let minutes = |ms: u64| ms / 60_000;
    let encode_minutes = json!({
        "limit": most_ms.map(minutes),
        "used": minutes(worked_ms),
        "until": rfc3339(day_ends_at_ms),
    });
    [
        ("encodes".into(), json!({ "limit": most_running, "used": running, "waiting": waiting })),
        ("encode_minutes".into(), encode_minutes),
    ]
}

/// What `auth` counts itself.
fn of_auth(quota: &QuotaResponse) -> impl Iterator<Item = (String, Value)> {
    let parts = [
        ("api_keys", quota.api_keys, quota.api_keys_held),
        ("challenges", quota.challenges, quota.challenges_used),
    ];
    parts.into_iter().filter_map(|(name, limit, used)| {
        limit.map(|limit| (name.to_owned(), json!({ "limit": limit, "used": used })))
    })
}

/// An answer; `None` after a failure, which is logged.
async fn part<T, E: Into<Status>>(who: &str, call: impl Future<Output = Result<T, E>>) -> Option<T> {
    let answer = match tokio::time::timeout(DEADLINE, call).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Status::unavailable("no answer in time")),
    };
    answer.inspect_err(|status| tracing::warn!(who, %status, "the usage is unknown")).ok()
}
