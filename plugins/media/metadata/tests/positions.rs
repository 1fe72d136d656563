//! Live changes come in the order of the commits, whatever clocks do, whoever writes and whenever clients
//! reconnect.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use common::*;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use serde_json::Value;
use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::catalogue::v1::*;
use streamgate_metadata::Settings;
use streamgate_plugin_api::Body;

type Headers = &'static [(&'static str, &'static str)];

const NOBODY: Headers = &[("x-streamgate-client", "192.0.2.1")];
const ANN: Headers = &CREATOR;
const ADMIN: Headers = &[
    ("x-streamgate-client", "192.0.2.9"),
    ("x-streamgate-principal", "bea"),
    ("x-streamgate-scopes", "content:read,content:write,admin"),
    ("x-streamgate-credential", "session:bea"),
];
const CONTENTS: u8 = 5;

fn id(number: u8) -> String {
    format!("0190163d-8694-739b-aea5-{number:012x}")
}

fn gated() -> Settings {
    Settings { gated: true, ..Settings::default() }
}

/// Contents by their ids, as seen by a client.
type View = BTreeMap<String, Value>;

async fn listed(life: &Life, who: Headers) -> View {
    let answer = life.send("GET", "?limit=100", who, "").await;
    let body = answer.into_body().collect_bytes(1 << 20).await.unwrap();
    let page: Value = serde_json::from_slice(&body).unwrap();
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| (item["id"].as_str().unwrap().to_owned(), item.clone())).collect()
}

/// A client that follows all changes, and keeps its state over its connections.
struct Client {
    who: Headers,
    body: Option<Body>,
    buffer: String,
    last: Option<i64>,
    view: View,
    resets: usize,
}

impl Client {
    fn new(who: Headers) -> Self {
        Self { who, body: None, buffer: String::new(), last: None, view: View::new(), resets: 0 }
    }

    async fn open(&mut self, life: &Life) {
        let mut headers = self.who.to_vec();
        let last = self.last.map(|last| last.to_string());
        headers.extend(last.as_deref().map(|last| ("Last-Event-ID", last)));
        let answer = life.send("GET", "/events", &headers, "").await;
        assert_eq!(answer.status().as_u16(), 200);
        self.body = Some(answer.into_body());
        self.buffer.clear();
        if self.last.is_none() {
            self.view = listed(life, self.who).await;
        }
    }

    fn close(&mut self) {
        self.body = None;
    }

    /// Reads what there is, some pieces at most.
    async fn read(&mut self, life: &Life, pieces: usize) {
        for _ in 0..pieces {
            let Some(frame) = self.body.as_mut().and_then(|body| body.frame().now_or_never()) else { return };
            let Some(frame) = frame else { return self.close() };
            let data = frame.unwrap().into_data().unwrap();
            self.buffer.push_str(std::str::from_utf8(&data).unwrap());
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                self.take(life, &block).await;
            }
        }
    }

    async fn take(&mut self, life: &Life, block: &str) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if let Some(id) = field("id") {
            let id = id.parse().unwrap();
            assert!(self.last.is_none_or(|last| last < id), "{id} after {:?}", self.last);
            self.last = Some(id);
        }
        let data: Value = field("data").map(|data| serde_json::from_str(data).unwrap()).unwrap_or_default();
        let content = data["id"].as_str().unwrap_or_default().to_owned();
        match field("event") {
            Some("changed") => {
                let before = self.view.insert(content, data.clone());
                let revision = |view: &Value| view["revision"].as_u64();
                assert!(
                    before.is_none_or(|before| revision(&before) <= revision(&data)),
                    "it went back: {data}"
                );
            }
            Some("deleted") => {
                self.view.remove(&content);
            }
            Some("reset") => {
                self.view = listed(life, self.who).await;
                self.resets += 1;
            }
            _ => {}
        }
    }

    /// Reads until its state is complete.
    async fn until_it_knows(&mut self, life: &Life) {
        for _ in 0..400 {
            self.read(life, usize::MAX).await;
            if self.body.is_none() {
                self.open(life).await;
            }
            if self.view == listed(life, self.who).await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        assert_eq!(self.view, listed(life, self.who).await, "with {:?}", self.last);
    }
}

#[derive(Debug, Clone)]
enum Write {
    Create(u8),
    Upload(u8),
    Fail(u8),
    Name(u8, u8),
    Progress(u8, u8),
    Delete(u8),
    Open(u8, Openness),
    /// By a node whose clock is this many seconds behind, or ahead.
    Late(u8, u8, i64),
}

#[derive(Debug, Clone)]
enum Step {
    /// At the same time, each by one of the nodes.
    Writes(Vec<(bool, Write)>),
    Close(usize),
    Open(usize, bool),
    /// So many pieces of a stream.
    Read(usize, usize),
}

fn any_write() -> impl Strategy<Value = Write> {
    let openness = prop_oneof![
        Just(Openness::Public),
        Just(Openness::Gated),
        Just(Openness::Unlisted),
        Just(Openness::Private)
    ];
    prop_oneof![
        2 => (0..CONTENTS).prop_map(Write::Create),
        2 => (0..CONTENTS).prop_map(Write::Upload),
        1 => (0..CONTENTS).prop_map(Write::Fail),
        3 => (0..CONTENTS, any::<u8>()).prop_map(|(id, title)| Write::Name(id, title)),
        4 => (0..CONTENTS, 0..100u8).prop_map(|(id, progress)| Write::Progress(id, progress)),
        1 => (0..CONTENTS).prop_map(Write::Delete),
        3 => (0..CONTENTS, openness).prop_map(|(id, openness)| Write::Open(id, openness)),
        3 => (0..CONTENTS, any::<u8>(), -90_000..90_000i64).prop_map(|(id, title, s)| Write::Late(id, title, s)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((any::<bool>(), any_write()), 1..4).prop_map(Step::Writes),
        1 => (0..3usize).prop_map(Step::Close),
        2 => (0..3usize, any::<bool>()).prop_map(|(client, node)| Step::Open(client, node)),
        2 => (0..3usize, 1..6usize).prop_map(|(client, pieces)| Step::Read(client, pieces)),
    ]
}

/// A refused call, because the content is missing or in the wrong state, changes nothing.
async fn write(world: &World, lives: &[Life; 2], node: bool, write: &Write) {
    let life = &lives[usize::from(node)];
    match write {
        Write::Create(number) => {
            let owner = if number % 2 == 0 { "ann" } else { "bob" };
            let request = CreateRequest { id: id(*number), owner: owner.into(), ..CreateRequest::default() };
            drop(life.catalogue.clone().create(request).await);
        }
        Write::Upload(number) => drop(life.step(&id(*number), ContentState::Uploaded).await),
        Write::Fail(number) => drop(life.step(&id(*number), ContentState::Failed).await),
        Write::Name(number, title) => {
            let patch = format!(r#"{{"title":"{title}"}}"#);
            let mut headers = ADMIN.to_vec();
            headers.push(("content-type", "application/merge-patch+json"));
            drop(life.send("PATCH", &format!("/{}", id(*number)), &headers, &patch).await);
        }
        Write::Progress(number, progress) => {
            let progress = Some(f64::from(*progress) / 100.0);
            let request = UpdateRequest { id: id(*number), progress, ..UpdateRequest::default() };
            drop(life.catalogue.clone().update(request).await);
        }
        Write::Delete(number) => drop(life.send("DELETE", &format!("/{}", id(*number)), ADMIN, "").await),
        Write::Open(number, openness) => {
            world.policies.lock().unwrap().insert(id(*number), *openness);
            lives.iter().for_each(|life| life.policy_changed(&id(*number)));
        }
        Write::Late(number, title, seconds) => {
            let at = streamgate_plugin_api::time::now_ms() + seconds * 1_000;
            let change = format!(
                "UPDATE contents SET title = '{title}', updated_at_ms = {at}, revision = revision + 1, \
                 position = (SELECT last FROM positions) WHERE id = '{}'",
                id(*number)
            );
            world.execute_all(&["UPDATE positions SET last = last + 1", &change]).await;
        }
    }
}

async fn follow(steps: Vec<Step>) {
    let world = World::new();
    let lives = [world.live(gated()).await, world.live(gated()).await];
    let mut clients = [NOBODY, ANN, ADMIN].map(Client::new);
    for client in &mut clients {
        client.open(&lives[0]).await;
    }
    for step in steps {
        match step {
            Step::Writes(writes) => {
                join_all(writes.iter().map(|(node, it)| write(&world, &lives, *node, it))).await;
            }
            Step::Close(client) => clients[client].close(),
            Step::Open(client, node) => clients[client].open(&lives[usize::from(node)]).await,
            Step::Read(client, pieces) => clients[client].read(&lives[0], pieces).await,
        }
    }
    // Writes of the other node are polled for at once.
    lives.iter().for_each(|life| life.policy_changed(&id(99)));
    for client in &mut clients {
        client.until_it_knows(&lives[0]).await;
        assert_eq!(client.resets, 0);
        // It is the same for one that reconnects once more.
        client.open(&lives[1]).await;
        client.until_it_knows(&lives[0]).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 64, ..ProptestConfig::default() })]
    #[test]
    fn every_client_ends_up_with_what_there_is_however_often_it_comes_back(
        steps in prop::collection::vec(any_step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(follow(steps));
    }
}

#[tokio::test]
async fn what_another_node_writes_is_shown_without_a_notification() {
    let world = World::new();
    let lives = [world.live(gated()).await, world.live(gated()).await];
    let mut stream = lives[0].send("GET", "/events", ADMIN, "").await.into_body();
    lives[1].create(&id(1), "Elsewhere").await;
    read(&mut stream, "Elsewhere").await;
}

#[tokio::test]
async fn a_client_that_reconnects_after_a_deletion_was_forgotten_lists_again() {
    let world = World::new();
    let life = world.live(gated()).await;
    life.create(&id(1), "Gone").await;
    let mut client = Client::new(ADMIN);
    client.open(&life).await;
    client.until_it_knows(&life).await;
    assert_eq!(client.view.len(), 1);
    client.close();
    life.send("DELETE", &format!("/{}", id(1)), ADMIN, "").await;
    let told_of = || async {
        let last = client.last.unwrap().to_string();
        let mut headers = ADMIN.to_vec();
        headers.push(("Last-Event-ID", &last));
        let mut stream = life.send("GET", "/events", &headers, "").await.into_body();
        let begin = stream.frame().await.unwrap().unwrap().into_data().unwrap();
        String::from_utf8(begin.to_vec()).unwrap()
    };
    assert!(told_of().await.contains("event: deleted"));
    // A day later.
    let mut other = 2;
    while !told_of().await.contains("event: reset") {
        world.execute("UPDATE tombstones SET clean = 1, due_at_ms = 0").await;
        // Each deletion triggers a check for what is due.
        life.create(&id(other), "Another").await;
        life.send("DELETE", &format!("/{}", id(other)), ADMIN, "").await;
        other += 1;
    }
}

#[tokio::test]
async fn while_access_does_not_answer_an_owner_is_notified_and_a_stranger_afterwards() {
    let world = World::new();
    let life = world.live(gated()).await;
    let mut stranger = Client::new(NOBODY);
    stranger.open(&life).await;
    let mut admin = life.send("GET", "/events", ADMIN, "").await.into_body();
    world.policies.lock().unwrap().insert(id(1), Openness::Public);
    world.dumb.store(true, Ordering::SeqCst);
    life.create(&id(1), "Film").await;
    life.step(&id(1), ContentState::Uploaded).await.unwrap();
    let told = read(&mut admin, "uploaded").await;
    // What it got is not complete: it gets it again if it reconnects.
    let last = told.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let mut headers = ADMIN.to_vec();
    headers.push(("Last-Event-ID", last));
    read(&mut life.send("GET", "/events", &headers, "").await.into_body(), "uploaded").await;
    stranger.read(&life, usize::MAX).await;
    assert!(stranger.view.is_empty());
    world.dumb.store(false, Ordering::SeqCst);
    let is_listed = async || listed(&life, NOBODY).await.first_key_value().map(drop);
    until("the film that is for everybody", is_listed).await;
    stranger.until_it_knows(&life).await;
    assert_eq!(stranger.view.len(), 1);
}
