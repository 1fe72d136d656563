//! A chat room at `/chat`: each client has a WebSocket and receives the messages of all.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use schemars::JsonSchema;
use serde::Deserialize;
use streamgate_plugin_api::settings::outside;
use streamgate_plugin_api::{Host, Plugin, SettingsProblem, StartError, export_plugin};
use tokio::sync::broadcast;

/// Maximum size of a message, in bytes.
const LONGEST: usize = 64 << 10;

/// The settings under `[plugins.chat]` in `plugins.toml`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// How many messages a slow client may be behind before it is disconnected, from 1 to 1,000.
    backlog: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { backlog: 100 }
    }
}

type Room = broadcast::Sender<Utf8Bytes>;

struct Chat;

impl Plugin for Chat {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        outside("backlog", settings.backlog, 1, 1_000).into_iter().collect()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        if let Some(problem) = Self::check(&settings).into_iter().next() {
            return Err(StartError::new(problem.to_string()));
        }
        // `any`: the method of a WebSocket is CONNECT.
        host.serve(Router::new().route("/chat", any(join)).with_state(Room::new(settings.backlog)));
        host.health("room").healthy();
        Ok(Self)
    }
}

async fn join(State(room): State<Room>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(LONGEST).on_upgrade(|socket| talk(socket, room))
}

/// Relays messages until the client leaves, is too slow, or the server closes the socket.
async fn talk(mut socket: WebSocket, room: Room) {
    let mut others = room.subscribe();
    loop {
        tokio::select! {
            said = socket.recv() => match said {
                Some(Ok(Message::Text(text))) => drop(room.send(text)),
                // Pings are answered by the socket itself.
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            heard = others.recv() => {
                let Ok(text) = heard else { return };
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
        }
    }
}

export_plugin! {
    Chat {
        name: "chat",
        description: "A room in which everybody hears what one says",
        prefixes: ["/chat"],
    }
}
