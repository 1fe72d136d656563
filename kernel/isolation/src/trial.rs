//! A question about a cdylib that a child answers: if it crashes, exits or hangs when it is loaded, only the
//! child does. The child is confined, answers and ends.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Limits;
use crate::confine::confine;

const DEADLINE: Duration = Duration::from_secs(10);
/// The child's exit code after it has answered.
const SURVIVED: i32 = 42;
/// Maximum length of the answer.
const LONGEST: u64 = 16 << 20;

/// Runs a command whose `main` calls [`tell`], and returns its answer. The error is how the child failed, for
/// people.
pub(crate) fn ask<A: DeserializeOwned>(mut command: Command, question: &impl Serialize) -> Result<A, String> {
    let mut asked = || -> io::Result<_> {
        let (mut asked, mut answer) = (in_memory("question")?, in_memory("answer")?);
        serde_json::to_writer(&asked, question)?;
        asked.rewind()?;
        command.stdin(asked).stdout(answer.try_clone()?).stderr(Stdio::null());
        let status = wait(command.spawn()?)?;
        answer.rewind()?;
        Ok((status, answer))
    };
    let (status, answer) = asked().map_err(|error| format!("its process cannot be started: {error}"))?;
    match status {
        None => Err(format!("a process that loads it hangs for {DEADLINE:?}")),
        Some(status) if status.code() == Some(SURVIVED) => serde_json::from_reader(answer.take(LONGEST))
            .map_err(|error| format!("a process that loads it sends an invalid answer: {error}")),
        Some(status) => Err(format!("a process that loads it ends at once: {status}")),
    }
}

/// The answer may be longer than a pipe's buffer, and is only read after the child has ended.
fn in_memory(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// Waits within the deadline.
fn wait(mut child: Child) -> io::Result<Option<ExitStatus>> {
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

/// The main function of the child: call it first in `main`. `answer` gets the path under which the confined
/// process can load the cdylib, and the question. The process must end for the answer to count.
pub fn tell<Q: DeserializeOwned, A: Serialize>(cdylib: &Path, answer: impl FnOnce(&Path, Q) -> A) -> ! {
    let told = try_to_tell(cdylib, answer).is_ok();
    std::process::exit(if told { SURVIVED } else { 1 })
}

fn try_to_tell<Q: DeserializeOwned, A: Serialize>(
    cdylib: &Path,
    answer: impl FnOnce(&Path, Q) -> A,
) -> io::Result<()> {
    for (resource, most) in [(Resource::Core, 0), (Resource::Fsize, LONGEST)] {
        let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
    let question = serde_json::from_reader(io::stdin().lock())?;
    // What the plugin prints is not part of the answer.
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(io::stderr())?;
    let cdylib = File::open(cdylib)?;
    // What the running system does not support is left out.
    confine(&Limits::default(), None, Some(&cdylib));
    let path = PathBuf::from(format!("/proc/self/fd/{}", cdylib.as_raw_fd()));
    out.write_all(&serde_json::to_vec(&answer(&path, question))?)
}
