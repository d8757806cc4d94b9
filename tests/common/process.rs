//! The built program as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A running why502; it is killed when the test lets go of it.
pub(crate) struct Program {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    _directory: Option<tempfile::TempDir>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(stream: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            into.lock().expect("unbroken").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

impl Program {
    /// Starts a subcommand.
    pub(crate) fn start(arguments: &[&str]) -> Program {
        Program::spawn(Command::new(env!("CARGO_BIN_EXE_why502")).args(arguments))
    }

    /// Starts a subcommand out of a shell that was told this first.
    pub(crate) fn start_after(words: &str, arguments: &[&str]) -> Program {
        let script = format!("{words}; exec \"$0\" \"$@\"");
        Program::spawn(Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_why502")]).args(arguments))
    }

    fn spawn(command: &mut Command) -> Program {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            gather(child.stdout.take().expect("a pipe"), &stdout),
            gather(child.stderr.take().expect("a pipe"), &stderr),
        ];
        Program { child, stdout, stderr, readers, _directory: None }
    }

    /// `run` with this configuration, in a directory of its own.
    pub(crate) fn run(config: &str) -> Program {
        let directory = tempfile::tempdir().expect("a directory");
        let path = write(directory.path(), "why502.yaml", config);
        let mut program = Program::start(&["run", "--config", &path.display().to_string()]);
        program._directory = Some(directory);
        program
    }

    /// Where it listens: gRPC, HTTP. Waits until it says so.
    pub(crate) async fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let found = || {
            let said = self.stderr();
            let line = said.lines().find(|line| line.contains("takes OTLP on"))?.to_owned();
            let address = |kind: &str| -> Option<SocketAddr> {
                line.split(kind).next()?.trim_end_matches(" (").rsplit(' ').next()?.parse().ok()
            };
            Some((address("gRPC")?, address("HTTP)")?))
        };
        super::eventually(|| format!("it listens; it said: {}", self.stderr()), || found().is_some()).await;
        found().expect("found before")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(sent.expect("a shell").success(), "the signal is sent");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for its end; everything that it wrote is then there.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let said = Arc::clone(&self.stderr);
        let what = || format!("it ends; it said: {}", said.lock().expect("unbroken"));
        super::eventually(what, || self.child.try_wait().expect("a child").is_some()).await;
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.child.wait().expect("a child")
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().expect("unbroken").clone()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().expect("unbroken").clone()
    }

    /// Resident memory that the program asked for, in KiB. Pages of its own file are left out: of a debug build they are
    /// some 41 MiB, of one that is released at most 18 MiB, and the kernel takes and gives them as it likes.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a status");
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a size");
            line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number")
        };
        of("RssAnon:") + of("RssShmem:")
    }
}

/// Runs a subcommand to its end, which must come soon: exit code, standard output, standard error.
pub(crate) async fn finished(arguments: &[&str]) -> (i32, String, String) {
    let mut program = Program::start(arguments);
    let status = program.ended().await;
    (status.code().unwrap_or(-1), program.stdout(), program.stderr())
}

pub(crate) fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

/// A pause between two looks at something that another process does.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// A configuration with both listeners on free ports: logs and traces are explained, metrics relayed. `processor` is the
/// inside of the section `why502`, `exporter` one whole entry named `out`'s type first: `otlp/out: {...}`.
pub(crate) fn explained(processor: &str, exporter: &str) -> String {
    let name = exporter.split(": ").next().unwrap_or_default();
    format!(
        "receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:0}}
      http: {{endpoint: 127.0.0.1:0}}
processors:
  why502: {{{processor}}}
exporters:
  {exporter}
service:
  pipelines:
    logs: {{receivers: [otlp], processors: [why502], exporters: [{name}]}}
    traces: {{receivers: [otlp], processors: [why502], exporters: [{name}]}}
    metrics: {{receivers: [otlp], exporters: [{name}]}}
"
    )
}
