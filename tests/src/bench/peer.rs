//! A peer's process: started for one measurement, killed after it.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::wait::eventually;

/// A running third-party server.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Peer {
    /// Starts it and waits until it accepts connections.
    ///
    /// # Errors
    /// When it is not installed.
    pub async fn start(mut command: Command, port: u16, log: &Path) -> Result<Self> {
        let log = File::create(log)?;
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true).spawn()?;
        eventually("the peer to listen", Duration::from_secs(20), async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Ok(Self { child, port })
    }

    /// Process id.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the peer runs")
    }

    /// Ends it.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id()
            && let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)
        {
            // Not SIGKILL: a master process ends its workers with it.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait().await;
    }
}
