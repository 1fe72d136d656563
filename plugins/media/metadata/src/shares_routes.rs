//! The REST API of shares and of the hand-over, under `/api/v1/contents/{id}`. See `docs/reference/http/contents.md`.

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use streamgate_contracts::auth::v1::Person;
use streamgate_contracts::catalogue::v1::{Content, Right, Share};
use streamgate_plugin_api::time::rfc3339;
use streamgate_plugin_api::{Problem, problems};

use crate::routes::{Api, etag, json, parsed};
use crate::shares;
use crate::store::{Entry, StoreError};

const BODIES: [&str; 1] = ["application/json"];
const MAX_BODY_BYTES: usize = 4 * 1024;

/// The routes.
pub(crate) fn router() -> Router<Api> {
    Router::new()
        .route("/api/v1/contents/{id}/shares", get(list))
        .route("/api/v1/contents/{id}/shares/{with}", put(share).delete(unshare))
        .route("/api/v1/contents/{id}/owner", put(hand_over))
}

/// The right of a share.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Given {
    View,
    Edit,
}

impl From<Given> for Right {
    fn from(given: Given) -> Self {
        match given {
            Given::View => Self::View,
            Given::Edit => Self::Edit,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sharing {
    right: Given,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandOver {
    /// A wallet, or the id of a principal.
    owner: String,
    /// The remaining right of the previous owner.
    former: Option<Given>,
}

#[derive(Debug, Serialize)]
struct SharesView<'a> {
    /// `None`: no owner.
    owner: Option<PersonView<'a>>,
    items: Vec<ShareView<'a>>,
}

#[derive(Debug, Serialize)]
struct ShareView<'a> {
    /// The key for removing it.
    with: &'a str,
    /// One of the two is set.
    role: Option<&'a str>,
    principal: Option<PersonView<'a>>,
    right: Given,
    since: String,
}

#[derive(Debug, Serialize)]
struct PersonView<'a> {
    id: &'a str,
    /// `None`: they have none, or `auth` does not answer.
    name: Option<&'a str>,
    wallets: &'a [String],
}

impl<'a> PersonView<'a> {
    fn new(id: &'a str, people: &'a HashMap<String, Person>) -> Self {
        let person = people.get(id);
        let name = person.map(|person| person.name.as_str()).filter(|name| !name.is_empty());
        Self { id, name, wallets: person.map_or(&[], |person| &person.wallets) }
    }
}

impl<'a> ShareView<'a> {
    fn new(share: &'a Share, people: &'a HashMap<String, Person>) -> Self {
        let principal = shares::principal_of(share);
        Self {
            with: principal.unwrap_or(&share.name),
            role: shares::role_of(share),
            principal: principal.map(|id| PersonView::new(id, people)),
            right: if share.right() >= Right::Edit { Given::Edit } else { Given::View },
            since: rfc3339(share.since_ms),
        }
    }
}

impl Api {
    /// The owner and shares of a content. Names of people are left out while `auth` does not answer.
    async fn shares_of(&self, content: &Content) -> Response {
        let principals = shares::in_force(content).filter_map(shares::principal_of);
        let ids = principals.chain((!content.owner.is_empty()).then_some(content.owner.as_str()));
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        let people = match self.catalogue.people(ids).await {
            Ok(people) => people,
            Err(error) => {
                tracing::warn!(content = content.id, %error, "shares are shown by ids alone");
                Vec::new()
            }
        };
        let people: HashMap<_, _> =
            people.into_iter().map(|person| (person.principal.clone(), person)).collect();
        let owner = (!content.owner.is_empty()).then(|| PersonView::new(&content.owner, &people));
        let items = shares::in_force(content).map(|share| ShareView::new(share, &people)).collect();
        let body = serde_json::to_string(&SharesView { owner, items });
        json(StatusCode::OK, body.expect("texts and lists are always JSON"), Some(etag(content)))
    }
}

async fn list(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, StoreError> {
    let entry = api.held(&id, &headers, Right::Own).await?;
    Ok(api.shares_of(&entry.content).await)
}

async fn share(
    State(api): State<Api>,
    Path((id, with)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Response> {
    let read = streamgate_plugin_api::read(request, &BODIES, MAX_BODY_BYTES).await;
    let (parts, body) = read.map_err(IntoResponse::into_response)?;
    api.held(&id, &parts.headers, Right::Own).await.map_err(IntoResponse::into_response)?;
    let Sharing { right } = parsed(&body, "object").map_err(|problem| problem.into_response())?;
    let shared = api.catalogue.share(&id, &with, right.into(), &api.editor(&parts.headers).await).await;
    let Entry { content, .. } = shared.map_err(IntoResponse::into_response)?;
    Ok(api.shares_of(&content).await)
}

async fn unshare(
    State(api): State<Api>,
    Path((id, with)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, StoreError> {
    api.held(&id, &headers, Right::Own).await?;
    api.catalogue.unshare(&id, &with, &api.editor(&headers).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The content is not returned: the caller may not see it any more.
async fn hand_over(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Response> {
    let read = streamgate_plugin_api::read(request, &BODIES, MAX_BODY_BYTES).await;
    let (parts, body) = read.map_err(IntoResponse::into_response)?;
    api.held(&id, &parts.headers, Right::Own).await.map_err(IntoResponse::into_response)?;
    let HandOver { owner, former } = parsed(&body, "object").map_err(|problem| problem.into_response())?;
    let former = former.map_or(Right::None, Right::from);
    let handed = api.catalogue.hand_over(&id, &owner, former, &api.editor(&parts.headers).await).await;
    handed.map_err(IntoResponse::into_response)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The named user does not exist.
pub(crate) fn no_person() -> Problem {
    Problem::of(problems::NO_SUCH_PERSON)
}
