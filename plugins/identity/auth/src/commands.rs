//! The capability `command-admin`: `streamgate admin …` from a shell on the server's machine. Only the
//! control socket calls it, and its users own the server anyway.

use axum::Router;
use streamgate_plugin_api::command::{self, Gone, Output, USAGE};

use crate::auth::Auth;

const DONE: u8 = 0;
const FAILED: u8 = 1;

const HELP: &str = "streamgate admin link   prints a one-time address that lets the first admin in again";

impl Auth {
    /// The capability `command-admin`, for the control socket.
    pub fn commands(&self) -> Router {
        let auth = self.clone();
        command::router(move |words, out| run(auth.clone(), words, out))
    }
}

/// The command. `words` are its arguments.
async fn run(auth: Auth, words: Vec<String>, out: Output) -> u8 {
    let said = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["link"] => link(&auth, &out).await,
        [] | ["help" | "--help" | "-h"] => out.line(HELP).await.map(|()| DONE),
        _ => out.error(format!("error: no such command\n\n{HELP}")).await.map(|()| USAGE),
    };
    said.unwrap_or(FAILED)
}

async fn link(auth: &Auth, out: &Output) -> Result<u8, Gone> {
    let Some(site) = auth.sites.main() else {
        let text = "error: this server has no address for people; set `plugins.auth.public_url` to what they \
                    open, and reload";
        return out.error(text).await.map(|()| FAILED);
    };
    match auth.people.admin_link().await {
        Ok(path) => out.line(format!("{site}{path}")).await?,
        Err(error) => {
            return out.error(format!("error: no address could be created: {error}")).await.map(|()| FAILED);
        }
    }
    let note = "It lets its first visitor in as the first admin, once, within 15 minutes. Those that were \
                made before work no more.";
    out.error(note).await.map(|()| DONE)
}
