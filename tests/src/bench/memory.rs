//! Resident memory with all plugins idle, and the increase during a 2 GiB upload.

use std::time::Duration;

use anyhow::Result;

use super::process::{forget_peak, peak, resident};
use super::upload::body;
use super::{Aim, Row};
use crate::server::Server;
use crate::tus::Upload;
use crate::wait::every;

/// # Errors
/// When the server does not start or refuses the upload.
pub async fn measure() -> Result<Vec<Row>> {
    const LENGTH: u64 = 2 << 30;
    let mut server = Server::start().await;
    // Idle means that the work of the start is over.
    let mut seconds = every(Duration::from_secs(1));
    for _ in 0..5 {
        seconds.tick().await;
    }
    let idle = resident(server.pid())?;
    let upload = Upload::create(&server, LENGTH, &[]).await?;
    forget_peak(server.pid())?;
    upload.patch(0, body(LENGTH)).await?;
    let most = peak(server.pid())?;
    server.kill().await;
    Ok(vec![
        Row {
            what: "resident memory when idle, MB".to_owned(),
            ours: idle,
            peer: None,
            aim: Some(Aim::AtMost(150.0)),
        },
        Row {
            what: "added by a 2 GiB upload, MB".to_owned(),
            ours: most - idle,
            peer: None,
            aim: Some(Aim::AtMost(50.0)),
        },
    ])
}
