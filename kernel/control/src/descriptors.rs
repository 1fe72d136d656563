//! Descriptors: as many as the system allows this process, and a few reserved ones, so that the control
//! socket answers when all others are in use.

use std::fs::File;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

/// Below this a server with a few hundred clients runs out of them.
pub const FEW: u64 = 1_024;
/// Command lines answered concurrently without other descriptors.
const RESERVE: usize = 4;
/// Pause before the socket is accepted on again after any other error.
const PAUSE: Duration = Duration::from_millis(100);

/// Raises the limit of open files to the system's maximum, and returns it; `None`: there is none.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current
}

/// A control socket with reserved descriptors.
#[derive(Debug)]
pub struct Reserved {
    listener: UnixListener,
    spare: Vec<File>,
}

impl Reserved {
    /// Reserves some from now on.
    pub fn new(listener: UnixListener) -> Self {
        let mut reserved = Self { listener, spare: Vec::new() };
        reserved.fill();
        reserved
    }

    fn fill(&mut self) {
        while self.spare.len() < RESERVE
            && let Ok(file) = File::open("/dev/null")
        {
            self.spare.push(file);
        }
    }
}

impl axum::serve::Listener for Reserved {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        self.fill();
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // Another thread may take the released one; then the next one is released.
                Err(error) if is_exhausted(&error) && self.spare.pop().is_some() => {}
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    self.fill();
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
