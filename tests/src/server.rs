//! A `streamgate` process with its own data directory and port.
//!
//! The binary and the plugins are those beside the test executable (`target/debug` for
//! `make test`, `target/release` for `make bench`); the configuration is the repository's
//! `plugins.toml`, changed with `--set` only.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::disk::SmallDisk;
use crate::failpoints::Failpoints;
use crate::wait::{eventually, every};

/// How long a server may take to be ready or to stop before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate lies in the repository")
        .to_path_buf()
}

/// The repository's configuration in a folder, with another preset: two encodes with it have different bytes.
pub fn config_with(folder: &Path, preset: &str, log: &str) -> String {
    let text = fs::read_to_string(repository().join("plugins.toml")).expect("readable");
    let table = "[plugins.transcoder]\n";
    let changed = text.replacen(table, &format!("{table}preset = \"{preset}\"\nlog = \"{log}\"\n"), 1);
    assert_ne!(text, changed);
    let path = folder.join("plugins.toml");
    fs::write(&path, changed).expect("written");
    path.display().to_string()
}

/// Folder of the binaries of this build: `<target>/debug` or `<target>/release`.
#[must_use]
pub fn binaries() -> PathBuf {
    let exe = std::env::current_exe().expect("a running program has a path");
    let mut dir = exe.parent().expect("an executable lies in a folder");
    if dir.ends_with("deps") || dir.ends_with("examples") {
        dir = dir.parent().expect("deps lies in the profile's folder");
    }
    dir.to_path_buf()
}

/// The folder that persists between runs: generated clips, installed peers.
#[must_use]
pub fn cache() -> PathBuf {
    let dir = binaries()
        .parent()
        .expect("the profile's folder lies in the target folder")
        .join("tmp")
        .join("streamgate-tests");
    fs::create_dir_all(&dir).expect("the target folder can be written");
    dir
}

/// The `streamgate` binary of this build.
///
/// # Panics
/// When it was not built; the message says how to.
#[must_use]
pub fn binary() -> PathBuf {
    let path = binaries().join("streamgate");
    assert!(
        path.exists(),
        "{} is missing: `make test` builds it; by hand: cargo build --workspace",
        path.display()
    );
    path
}

/// The options of a server.
#[derive(Debug, Clone)]
pub struct Setup {
    settings: Vec<(String, String)>,
    config: PathBuf,
    /// The path of the binary.
    binaries: PathBuf,
    /// Where its plugins are, unless it finds them on its own.
    plugins: Option<PathBuf>,
    ready_within: Duration,
    mebibytes: Option<u64>,
    /// A program that starts the server.
    launcher: Option<PathBuf>,
    failpoints: Option<PathBuf>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            config: repository().join("plugins.toml"),
            binaries: binaries(),
            plugins: Some(binaries()),
            ready_within: PATIENCE,
            mebibytes: None,
            launcher: None,
            failpoints: None,
        }
    }
}

impl Setup {
    /// Adds `--set key=value`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// Uses another configuration file.
    #[must_use]
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.config = path.into();
        self
    }

    /// Also takes plugins from this folder, besides those of the build.
    #[must_use]
    pub fn plugins_in(self, folder: impl AsRef<Path>) -> Self {
        let dirs = [binaries(), folder.as_ref().to_owned()];
        self.set("kernel.plugin_dirs", format!("{dirs:?}"))
    }

    /// Also takes the plugins of the tests.
    #[must_use]
    pub fn with_fixtures(self) -> Self {
        self.plugins_in(binaries().join("examples"))
    }

    /// Uses this text as the configuration, in a folder that must persist.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn of_text(text: &str) -> (Self, TempDir) {
        let folder = TempDir::new().expect("a temporary folder");
        let config = folder.path().join("plugins.toml");
        fs::write(&config, text).expect("written");
        (Self::default().config(config), folder)
    }

    /// Uses another build: its folder `target/release` in a separate clone, with that clone's configuration.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_build(release: &Path) -> Result<Self> {
        let binaries =
            release.canonicalize().with_context(|| format!("no build in {}", release.display()))?;
        let clone = binaries.ancestors().find(|folder| folder.join("plugins.toml").exists());
        let config = clone.with_context(|| format!("no plugins.toml above {}", binaries.display()))?;
        Ok(Self::installed(&binaries, Some(&binaries)).config(config.join("plugins.toml")))
    }

    /// Uses an installation: the binary in a folder, and the plugins in another, or where the binary finds
    /// them.
    #[must_use]
    pub fn installed(binaries: &Path, plugins: Option<&Path>) -> Self {
        Self { binaries: binaries.to_owned(), plugins: plugins.map(Path::to_owned), ..Self::default() }
    }

    /// Puts the data on a disk of this size, where the tests may mount one.
    #[must_use]
    pub fn on_disk_of(mut self, mebibytes: u64) -> Self {
        self.mebibytes = Some(mebibytes);
        self
    }

    /// Starts the server through this program, which executes it: `PROGRAM streamgate run …`.
    #[must_use]
    pub fn launched_by(mut self, program: impl Into<PathBuf>) -> Self {
        self.launcher = Some(program.into());
        self
    }

    /// Ends or holds the server at the test's failpoints.
    #[must_use]
    pub fn with_failpoints(mut self, failpoints: &Failpoints) -> Self {
        self.failpoints = Some(failpoints.folder().to_owned());
        self
    }

    /// Starts a server in a new data directory and waits until it is ready.
    ///
    /// # Panics
    /// When it ends or is not ready in time; its log goes to standard error.
    pub async fn start(self) -> Server {
        self.start_at(free_port()).await
    }

    /// The same at this port.
    pub async fn start_at(self, port: u16) -> Server {
        let mut server = self.prepared(port);
        server.spawn().expect("streamgate starts");
        server.ready().await;
        server
    }

    /// Starts a server without waiting.
    pub fn spawned(self) -> Server {
        let mut server = self.prepared(free_port());
        server.spawn().expect("streamgate starts");
        server
    }

    /// Runs a command without a running server: its exit code, standard output and standard error.
    pub async fn command(self, arguments: &[&str]) -> (Option<i32>, String, String) {
        self.prepared(free_port()).try_control(arguments).await
    }

    fn prepared(self, port: u16) -> Server {
        let home = TempDir::with_prefix("streamgate-").expect("a temporary folder");
        let disk = self.mebibytes.and_then(|mebibytes| {
            let data = home.path().join("data");
            fs::create_dir(&data).expect("a new folder");
            SmallDisk::mount(&data, mebibytes)
        });
        Server { port, setup: self, disk, home, child: None, http: client() }
    }
}

/// An anonymous client, without keep-alive pools shared with anyone, that never follows redirects.
#[must_use]
pub fn client() -> reqwest::Client {
    client_with(HeaderMap::new())
}

/// The same with an access token or an API key, except in requests that have their own.
#[must_use]
pub fn signed_in(token: &str) -> reqwest::Client {
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("tokens are plain text");
    client_with(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
}

fn client_with(fields: HeaderMap) -> reqwest::Client {
    reqwest::Client::builder()
        .default_headers(fields)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .build()
        .expect("a client without TLS always builds")
}

/// A running (or killed, or stopped) server. Dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    port: u16,
    // Before the folder that it is mounted in.
    disk: Option<SmallDisk>,
    home: TempDir,
    child: Option<Child>,
    http: reqwest::Client,
}

impl Server {
    /// Starts the default edition.
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// `http://127.0.0.1:PORT` followed by `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The port it listens on, the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `kernel.data_dir` of this server.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The separate disk that it was started with.
    #[must_use]
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.disk.as_ref()
    }

    /// The token of the first admin, which the server wrote to a file; `None` if sign-in is not possible.
    #[must_use]
    pub fn admin_token(&self) -> Option<String> {
        let token = fs::read_to_string(self.data_dir().join("auth/admin-token")).ok()?;
        Some(token.trim().to_owned())
    }

    /// A new client that is signed in as the first admin, if sign-in is possible.
    #[must_use]
    pub fn client(&self) -> reqwest::Client {
        self.admin_token().map_or_else(client, |token| signed_in(&token))
    }

    /// The address in the log that makes its first visitor an admin, at this server's port.
    pub async fn setup_url(&self) -> String {
        eventually("the one-time address in the log", PATIENCE, async || {
            let log = self.log();
            let (_, rest) = log.rsplit_once("/#/setup/")?;
            let code = rest.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).next()?;
            Some(self.url(&format!("/#/setup/{code}")))
        })
        .await
    }

    /// The client of the harness itself: that of the first admin.
    #[must_use]
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("the server runs")
    }

    /// The output of all runs of this server.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Starts the process without waiting.
    ///
    /// # Errors
    /// When the binary cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let program = self.setup.binaries.join("streamgate");
        let mut command = match &self.setup.launcher {
            Some(launcher) => Command::new(launcher),
            None => Command::new(&program),
        };
        if self.setup.launcher.is_some() {
            command.arg(&program);
        }
        command
            .arg("run")
            .arg("--config")
            .arg(&self.setup.config)
            .args(self.overrides())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .envs(self.setup.failpoints.iter().map(|folder| ("FAILPOINTS", folder)))
            .kill_on_drop(true);
        without_own_settings(&mut command);
        self.child = Some(command.spawn().context("starting streamgate")?);
        Ok(())
    }

    /// Runs a command of `streamgate` about this server, such as `["swap", "metadata"]`: its
    /// standard output.
    ///
    /// # Panics
    /// When it does not exit with 0.
    pub async fn control(&self, arguments: &[&str]) -> String {
        let (code, output, error) = self.try_control(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {error}\n{}", self.log());
        output
    }

    /// The same, also if it fails: the exit code, standard output and standard error.
    ///
    /// # Panics
    /// When `streamgate` cannot be started.
    pub async fn try_control(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let config = self.setup.config.to_str().expect("a plain path");
        let overrides = self.overrides();
        let mut all = vec!["--config", config];
        all.extend(overrides.iter().map(String::as_str));
        all.extend(arguments);
        let output = command(&all, self.home.path()).await.expect("streamgate starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// The process of an isolated plugin, once it runs.
    pub async fn plugin_process(&self, plugin: &str) -> Pid {
        let process = eventually(format!("a process of {plugin}"), PATIENCE, async || {
            let report: serde_json::Value =
                serde_json::from_str(&self.control(&["plugins", "--json"]).await).ok()?;
            let plugin = report["plugins"].as_array()?.iter().find(|it| it["name"] == plugin)?;
            (plugin["state"] == "running").then(|| plugin["process"].as_i64())?
        });
        let process = i32::try_from(process.await).expect("process ids fit");
        Pid::from_raw(process).expect("the number of a process")
    }

    /// Waits until `/health/ready` answers 200, and returns how long that took.
    ///
    /// # Panics
    /// When the process ends first or the time is over.
    pub async fn ready(&mut self) -> Duration {
        let begun = Instant::now();
        let url = self.url("/health/ready");
        let mut ticks = every(Duration::from_millis(2));
        loop {
            ticks.tick().await;
            if let Some(status) = self.exited() {
                panic!("the server ended before it was ready: {status}");
            }
            if let Ok(answer) = self.http.get(&url).send().await
                && answer.status().is_success()
            {
                let taken = begun.elapsed();
                self.http = self.client();
                return taken;
            }
            assert!(begun.elapsed() < self.setup.ready_within, "not ready in time");
        }
    }

    /// `kill -9`, and waits until the process is gone.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("a child can be killed");
        }
    }

    /// Starts it again on the same port with the same data, and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready in time.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.spawn().expect("streamgate starts");
        self.ready().await;
    }

    /// Sends SIGTERM without waiting.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.pid()).expect("process ids fit");
        let pid = Pid::from_raw(pid).expect("a process id is not 0");
        kill_process(pid, Signal::TERM).expect("a child can be signalled");
    }

    /// Waits until the process has exited.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        match tokio::time::timeout(PATIENCE, child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("the server did not stop within {PATIENCE:?}"),
        }
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.ended().await
    }

    /// Whether the process still runs.
    pub fn runs(&mut self) -> bool {
        self.child.is_some() && self.exited().is_none()
    }

    /// GET of a JSON document.
    ///
    /// # Errors
    /// When the server cannot be reached or answers with an error or no JSON.
    pub async fn json(&self, path: &str) -> Result<serde_json::Value> {
        let answer = self.http.get(self.url(path)).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        if !status.is_success() {
            bail!("GET {path}: {status}: {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("GET {path}: {body}"))
    }

    /// Waits until `log()` contains `text`.
    pub async fn logged(&self, text: &str) {
        eventually(format!("{text:?} in the log"), PATIENCE, async || {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    fn overrides(&self) -> Vec<String> {
        let mut sets = vec![
            format!("plugins.gateway.listen=127.0.0.1:{}", self.port),
            format!("kernel.data_dir={}", self.data_dir().display()),
        ];
        sets.extend(self.setup.plugins.iter().map(|plugins| format!("kernel.plugin_dirs={:?}", [plugins])));
        let config = fs::read_to_string(&self.setup.config).unwrap_or_default();
        if config.contains("[plugins.auth]") {
            // The address for browsers; messages are signed for the address of the configuration.
            sets.push("plugins.auth.public_url=http://localhost:8080".to_owned());
            sets.push(format!("plugins.auth.origins={:?}", [self.url("")]));
        }
        if config.contains("[plugins.access]") {
            // Most tests watch without signing in; those of gating override this.
            sets.push("plugins.access.default=public".to_owned());
        }
        sets.extend(self.setup.settings.iter().map(|(k, v)| format!("{k}={v}")));
        sets.into_iter().flat_map(|set| ["--set".to_owned(), set]).collect()
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("the child's status")
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().filter(|line| !line.contains("/health/")).collect();
            let tail = lines.len().saturating_sub(60);
            eprintln!("--- last lines of the server's log ---");
            for line in &lines[tail..] {
                eprintln!("{line}");
            }
        }
    }
}

/// Runs `streamgate` with these arguments to its end.
///
/// # Errors
/// When it cannot be started.
pub async fn command(arguments: &[&str], dir: &Path) -> Result<std::process::Output> {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(dir).stdin(Stdio::null());
    without_own_settings(&mut command);
    Ok(command.output().await?)
}

/// The caller's `STREAMGATE_…` variables would be settings of the server too, so tests remove them.
fn without_own_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STREAMGATE_") {
            command.env_remove(name);
        }
    }
}

/// An unused port below the range of ephemeral ports.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let spread = std::process::id().wrapping_mul(37);
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + u16::try_from(spread.wrapping_add(turn) % 18_000).unwrap_or(0);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
