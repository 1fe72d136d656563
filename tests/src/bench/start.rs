//! From the start of the process to the first 200 of `/health/ready`.

use std::time::Instant;

use anyhow::Result;

use super::{Aim, Row, median};
use crate::server::Server;

/// Starts it on the same data repeatedly.
///
/// # Errors
/// When it does not start.
pub async fn measure() -> Result<Vec<Row>> {
    let mut server = Server::start().await;
    let mut times = Vec::new();
    for _ in 0..9 {
        server.stop().await;
        let begun = Instant::now();
        server.spawn()?;
        server.ready().await;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    server.stop().await;
    Ok(vec![Row {
        what: "start until ready, ms (median of 9)".to_owned(),
        ours: median(times),
        peer: None,
        aim: Some(Aim::AtMost(500.0)),
    }])
}
