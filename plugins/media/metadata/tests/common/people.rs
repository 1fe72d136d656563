//! Two creators, an admin and a viewer, their requests, and their contents.

use serde_json::Value;
use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::catalogue::v1::*;
use streamgate_metadata::Settings;

use super::*;

pub const CREATES: &str = "content:read,content:write";
pub const ANN: (&str, &str) = ("ann", CREATES);
pub const BOB: (&str, &str) = ("bob", CREATES);
pub const ADMIN: (&str, &str) = ("eve", "content:read,content:write,admin");
pub const VIEWER: (&str, &str) = ("vic", "content:read");

pub fn id(number: u32) -> String {
    format!("0190163d-8694-739b-aea5-{number:012x}")
}

pub fn gated() -> Settings {
    Settings { gated: true, ..Settings::default() }
}

pub fn fields((who, scopes): (&'static str, &'static str)) -> [(&'static str, &'static str); 4] {
    let patch = ("content-type", "application/json");
    let roles = if scopes == CREATES { "viewer,creator" } else { "viewer" };
    [("x-streamgate-principal", who), ("x-streamgate-scopes", scopes), ("x-streamgate-roles", roles), patch]
}

pub async fn ask(life: &Life, who: (&'static str, &'static str), call: (&str, &str, &str)) -> (u16, Value) {
    let (method, path, body) = call;
    let answer = life.send(method, path, &fields(who), body).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect_bytes(1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

pub async fn titles(life: &Life, who: (&'static str, &'static str), query: &str) -> Vec<String> {
    let (status, page) = ask(life, who, ("GET", query, "")).await;
    assert_eq!(status, 200, "{page}");
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

/// The same of all pages one after the other.
pub async fn pages(life: &Life, who: (&'static str, &'static str), query: &str) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = format!("{query}&cursor={cursor}");
        all.extend(titles(life, who, &page).await);
        let (_, page) = ask(life, who, ("GET", &page, "")).await;
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return all,
        }
    }
}

pub async fn add(world: &World, life: &Life, number: u32, owner: &str, openness: Openness) {
    world.policies.lock().unwrap().insert(id(number), openness);
    let title = format!("{owner} {number}");
    let request = CreateRequest { id: id(number), title, owner: owner.into(), ..CreateRequest::default() };
    life.catalogue.clone().create(request).await.unwrap();
    life.step(&id(number), ContentState::Uploaded).await.unwrap();
    until("the policy is noted", async || {
        let (_, shown) = ask(life, ADMIN, ("GET", &format!("/{}", id(number)), "")).await;
        shown["visibility"].is_string().then_some(())
    })
    .await;
}
