//! Loads a cdylib in a child process first: one that crashes, ends the process or hangs when it
//! is loaded does so there, and is a report here.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::loader::Library;

const DEADLINE: Duration = Duration::from_secs(10);
/// What the child exits with once the library is loaded, or refused in good order.
const SURVIVED: i32 = 42;

/// Loads it in a child. The error says how the child ended.
pub(crate) fn survives(name: &str, path: &Path) -> Result<(), String> {
    let child = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.arg("probe").arg(name).arg(path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    });
    let status = child.and_then(wait).map_err(|error| format!("it cannot be tried: {error}"))?;
    match status {
        None => Err(format!("a process that loads it hangs for {DEADLINE:?}")),
        Some(status) if status.code() == Some(SURVIVED) => Ok(()),
        Some(status) => Err(format!("a process that loads it ends at once: {status}")),
    }
}

/// Waits within the deadline.
fn wait(mut child: Child) -> io::Result<Option<std::process::ExitStatus>> {
    let began = Instant::now();
    let mut pause = Duration::from_micros(500);
    while began.elapsed() < DEADLINE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The child: loads, and answers whether that went well by being alive.
pub(crate) fn child(name: &str, path: &Path) -> ! {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // Why it is refused is told by whoever loads it next.
    let _ = Library::open_untried(name, path);
    std::process::exit(SURVIVED)
}
