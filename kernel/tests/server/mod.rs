//! The real binary in its own directory, with the fixture plugins.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with `plugins.toml` and a folder of plugins.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    /// The host.
    pub(crate) binary: PathBuf,
}

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_streamgate"))
}

impl Place {
    /// `config` goes below a `[kernel]` table that finds the fixtures.
    pub(crate) fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("lib");
        std::fs::create_dir(&plugins).unwrap();
        std::fs::write(
            dir.path().join("plugins.toml"),
            format!("[kernel]\nplugin_dirs = [\"lib\"]\n{config}"),
        )
        .unwrap();
        let place = Self { dir, binary: binary().to_owned() };
        for name in ["echo", "caller", "gate"] {
            place.link(name);
        }
        place
    }

    /// Puts a fixture into the folder of plugins.
    pub(crate) fn link(&self, fixture: &str) {
        let file = format!("libstreamgate_fixture_{fixture}.so");
        let built = binary().with_file_name("examples").join(&file);
        assert!(built.is_file(), "run the tests of the whole package, which builds the fixtures");
        std::os::unix::fs::symlink(built, self.dir.path().join("lib").join(file)).unwrap();
    }

    /// Replaces the link to a fixture by a copy with some bytes changed.
    pub(crate) fn patch(&self, fixture: &str, change: impl FnOnce(&mut [u8])) {
        let path = self.dir.path().join(format!("lib/libstreamgate_fixture_{fixture}.so"));
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }

    /// The command, to which arguments and environment can be added.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(self.dir.path()).args(args).stdin(Stdio::null());
        // The test's environment would set the server too; tests start without it.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STREAMGATE_") {
                command.env_remove(name);
            }
        }
        command
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The output of `streamgate check`, line by line, without its `error: `.
    pub(crate) fn problems(&self, args: &[&str]) -> Vec<String> {
        let output = self.output(&[&["check"], args].concat());
        problems_of(&output)
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn run(&self, args: &[&str]) -> Server {
        let mut child = self.command(&[&["run"], args].concat()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, records) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let line = line.unwrap();
                let record = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let _ = sender.send(record);
            }
        });
        Server { child, records, dir: self.dir.path().to_owned(), seen: Vec::new() }
    }

    /// Queries the running server until the answer is right.
    pub(crate) fn wait_for(&self, path: &str, right: impl Fn(&Value) -> bool) -> Value {
        let began = std::time::Instant::now();
        loop {
            let output = self.output(&[path, "--json"]);
            let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            if right(&report) {
                return report;
            }
            assert!(began.elapsed() < PATIENCE, "{path} stayed {report:#}");
        }
    }
}

/// The problems on standard error, after a check of exit code and count.
pub(crate) fn problems_of(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let (problems, count) = text.trim_end().rsplit_once('\n').unwrap();
    let problems: Vec<_> =
        problems.split("error: ").skip(1).map(|problem| problem.trim_end().to_owned()).collect();
    let plural = if problems.len() == 1 { "" } else { "s" };
    assert_eq!(count, format!("{} problem{plural}; nothing was started", problems.len()));
    problems
}

/// The system resources of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) resident: i64,
    /// Bytes of the address space that hold libraries.
    pub(crate) mapped: i64,
    pub(crate) threads: i64,
    pub(crate) files: i64,
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    records: Receiver<Value>,
    dir: PathBuf,
    pub(crate) seen: Vec<Value>,
}

impl Server {
    /// Reads the log up to a record with this message.
    pub(crate) fn wait_for(&mut self, message: &str) -> Value {
        loop {
            let record = self.records.recv_timeout(PATIENCE);
            let record = record.unwrap_or_else(|_| panic!("no {message:?} in {:#?}", self.seen));
            self.seen.push(record.clone());
            if record["message"] == message {
                return record;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its resources, in bytes and in numbers.
    pub(crate) fn used(&self) -> Used {
        let of = |file: &str| PathBuf::from(format!("/proc/{}/{file}", self.child.id()));
        let status = std::fs::read_to_string(of("status")).unwrap();
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<i64>().unwrap()
        };
        let maps = std::fs::read_to_string(of("maps")).unwrap();
        // The private copies of libraries are files without a name.
        let mapped = maps.lines().filter(|line| line.ends_with("(deleted)")).map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            i64::from_str_radix(to, 16).unwrap() - i64::from_str_radix(from, 16).unwrap()
        });
        Used {
            resident: number("VmRSS:") * 1024,
            mapped: mapped.sum(),
            threads: number("Threads:"),
            files: std::fs::read_dir(of("fd")).unwrap().count() as i64,
        }
    }

    /// Waits for the end; returns the exit code and leaves the whole log in `seen`.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let began = std::time::Instant::now();
        while let Ok(record) = self.records.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
            self.seen.push(record);
        }
        let status = self.child.try_wait().unwrap().or_else(|| {
            // Its standard error is closed, so it has nearly ended.
            (began.elapsed() < PATIENCE).then(|| self.child.wait().unwrap())
        });
        status.unwrap_or_else(|| panic!("it still runs; {:#?}", self.seen)).code()
    }

    /// The plugins of all records with this message, in their order.
    pub(crate) fn plugins(&self, message: &str) -> Vec<&str> {
        let records = self.seen.iter().filter(|record| record["message"] == message);
        records.map(|record| record["fields"]["plugin"].as_str().unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The response of a public route; the head is in lower case.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Requests a public route: posts a body, or gets without one.
pub(crate) fn ask(address: &str, path: &str, body: &str) -> Answer {
    asked(address, path, body).expect("a whole answer")
}

/// The same where the response may be interrupted: then there is none.
pub(crate) fn asked(address: &str, path: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).unwrap();
    let (method, length) = (if body.is_empty() { "GET" } else { "POST" }, body.len());
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    Answer::read(&mut stream)
}

impl Answer {
    /// The response over a connection, if it is complete.
    pub(crate) fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(Self {
            status: head.get(9..12)?.parse().ok()?,
            head: head.to_lowercase(),
            body: body.to_owned(),
        })
    }
}
