//! Receivers on sockets of the file system, as the built program has them.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::Backend;
use common::client::{Answer, frame, http1_over, http2_over};
use common::process::{Program, finished, write};
use common::{eventually, requests};
use http::Method;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tonic::Code;
use why502::otlp::Signal;

struct Sockets {
    directory: tempfile::TempDir,
    config: String,
}

impl Sockets {
    fn new(backend: &Backend) -> Sockets {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().display();
        let text = format!(
            "receivers:
  otlp:
    protocols:
      grpc: {{endpoint: {at}/grpc.sock, transport: unix}}
      http: {{endpoint: {at}/http.sock, transport: unix, socket_mode: 600}}
processors: {{why502: {{hold: 100ms}}}}
exporters: {{otlp: {{endpoint: \"{}\"}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], processors: [why502], exporters: [otlp]}}}}}}
",
            backend.url()
        );
        let config = write(directory.path(), "why502.yaml", &text).display().to_string();
        Sockets { directory, config }
    }

    fn grpc(&self) -> PathBuf {
        self.directory.path().join("grpc.sock")
    }

    fn http(&self) -> PathBuf {
        self.directory.path().join("http.sock")
    }

    async fn run(&self) -> Program {
        let program = Program::start(&["run", "--config", &self.config]);
        eventually(|| program.stderr(), || program.stderr().contains("takes OTLP on")).await;
        program
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a socket").permissions().mode() & 0o777
}

async fn call(path: &Path, body: &str) -> Answer {
    let stream = UnixStream::connect(path).await.expect("connects");
    let headers = [("te", "trailers"), ("content-type", "application/grpc")];
    http2_over(stream, Method::POST, Signal::Logs.grpc_path(), &headers, frame(0, &requests::logs(&[body]))).await
}

#[tokio::test]
async fn senders_of_this_machine_come_by_the_file_system() {
    let backend = Backend::start(Vec::new()).await;
    let sockets = Sockets::new(&backend);
    let mut program = sockets.run().await;
    let said = program.stderr();
    assert!(
        said.contains(&format!(
            "unix:{} (gRPC) and unix:{} (HTTP)",
            sockets.grpc().display(),
            sockets.http().display()
        )),
        "{said}"
    );
    assert_eq!((mode(&sockets.grpc()), mode(&sockets.http())), (0o660, 0o600));
    assert_eq!(call(&sockets.grpc(), "by gRPC").await.grpc().code(), Code::Ok);
    let stream = UnixStream::connect(sockets.http()).await.expect("connects");
    let headers = [("content-type", "application/x-protobuf")];
    let answer = http1_over(stream, Method::POST, "/v1/logs", &headers, requests::logs(&["by HTTP"])).await;
    assert_eq!(answer.status, 200);
    let stream = UnixStream::connect(sockets.http()).await.expect("connects");
    assert_eq!(http1_over(stream, Method::GET, "/readyz", &[], "").await.status, 200);
    eventually("both arrive", || backend.taken_bodies().len() == 2).await;

    // A second one is told, and takes nothing away.
    let (code, _, said) = finished(&["run", "--config", &sockets.config]).await;
    assert!(
        code == 1 && said.contains("grpc.sock is taken by another program: stop it (`ss -lxp` names it)"),
        "{said}"
    );
    assert_eq!(call(&sockets.grpc(), "still there").await.grpc().code(), Code::Ok);
    // Without a journal what is on its way goes with a killed one.
    eventually("the third arrives", || backend.taken_bodies().len() == 3).await;

    // A killed one leaves its names, which nobody has to remove; one that ends takes them along.
    program.signal("KILL");
    program.ended().await;
    assert!(sockets.grpc().exists());
    let mut program = sockets.run().await;
    assert_eq!(call(&sockets.grpc(), "after a kill").await.grpc().code(), Code::Ok);
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    assert!(!sockets.grpc().exists() && !sockets.http().exists());
    eventually("all arrive", || backend.taken_bodies().len() == 4).await;

    // What is no socket is somebody else's.
    write(sockets.directory.path(), "grpc.sock", "a file");
    let (code, _, said) = finished(&["run", "--config", &sockets.config]).await;
    assert!(
        code == 1
            && said.contains(
                "there is a file of this name that is no socket; check `receivers::otlp::protocols::grpc::endpoint`"
            ),
        "{said}"
    );
    assert!(sockets.grpc().exists());
}
