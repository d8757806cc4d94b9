"""Real nginx, real Gunicorn and why502 on the loopback, each in a directory of its own, on free ports."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(os.environ.get("WHY502_VENV", ROOT / ".work" / "venv"))
APP = Path(__file__).resolve().parent

# Ports that free_port named.
GIVEN = set()

LOG_FORMAT = (
    'log_format rich escape=json \'{"msec":"$msec","pid":"$pid","connection":"$connection","request_id":"$request_id",'
    '"remote_addr":"$remote_addr","request":"$request","status":"$status","body_bytes_sent":"$body_bytes_sent",'
    '"request_length":"$request_length","request_time":"$request_time","upstream_addr":"$upstream_addr",'
    '"upstream_status":"$upstream_status","upstream_connect_time":"$upstream_connect_time",'
    '"upstream_header_time":"$upstream_header_time","upstream_response_time":"$upstream_response_time",'
    '"upstream_bytes_received":"$upstream_bytes_received","upstream_bytes_sent":"$upstream_bytes_sent",'
    '"http_traceparent":"$http_traceparent","host":"$host"}\';'
)


def binary():
    """The program under test."""
    named = os.environ.get("WHY502_BIN")
    if named:
        return named
    for profile in ("release", "debug"):
        path = ROOT / "target" / profile / "why502"
        if path.exists():
            return str(path)
    sys.exit("no why502 in target/; run `cargo build` first")


def free_port():
    """A port that nobody listens on, below those that the kernel gives to connections: none of them can take it meanwhile."""
    while True:
        port = random.randrange(10_000, 32_000)
        if port in GIVEN:
            continue
        GIVEN.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_for(what, seconds=15.0, pause=0.05):
    """The first true answer of `what`, or its last one when the time is over."""
    until = time.monotonic() + seconds
    while True:
        answer = what()
        if answer or time.monotonic() > until:
            return answer
        time.sleep(pause)


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A child with its output in a file; ended by its own pid and nothing else."""

    def __init__(self, command, log, **options):
        self.log = Path(log)
        self.out = open(self.log, "ab")
        self.child = subprocess.Popen(
            command, stdout=options.pop("stdout", self.out), stderr=self.out, stdin=subprocess.DEVNULL, **options
        )

    def signal(self, number):
        if self.child.poll() is None:
            self.child.send_signal(number)

    def stop(self, seconds=15):
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()
        finally:
            self.out.close()


class Nginx:
    """nginx in front of one upstream."""

    def __init__(self, directory, upstream, read_timeout="20s", extra="", proxy_pass="http://app", keepalive=0):
        self.directory = Path(directory)
        self.port = free_port()
        self.access = self.directory / "access.log"
        self.combined = self.directory / "combined.log"
        self.error = self.directory / "error.log"
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (self.directory / name).mkdir(exist_ok=True)
        for path in (self.access, self.combined, self.error):
            path.touch()
        temp = "".join(f"{kind}_temp_path {self.directory}/{short};\n" for kind, short in
                       (("client_body", "body"), ("proxy", "proxy"), ("fastcgi", "fastcgi"), ("uwsgi", "uwsgi"), ("scgi", "scgi")))
        server = f"server {upstream};"
        if keepalive:
            server += f" keepalive {keepalive};"
            extra += ' proxy_http_version 1.1; proxy_set_header Connection "";'
        # Workers of another user than root's: only they can be denied a socket.
        user = "user nobody nogroup;\n" if os.getuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(f"""{user}worker_processes 1;
daemon off;
pid {self.directory}/nginx.pid;
error_log {self.error} info;
events {{ worker_connections 256; }}
http {{
{temp}{LOG_FORMAT}
access_log {self.access} rich;
access_log {self.combined} combined;
upstream app {{ {server} }}
server {{
listen 127.0.0.1:{self.port};
server_name shop.test;
location / {{
{extra}
proxy_pass {proxy_pass};
proxy_set_header Host $host;
proxy_set_header X-Request-Id $request_id;
proxy_connect_timeout 3s;
proxy_read_timeout {read_timeout};
}}
}}
}}
""")
        nginx = os.environ.get("WHY502_NGINX") or shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        self.process = Process([nginx, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf"), "-e", str(self.error)],
                               self.directory / "nginx.out")
        if not wait_for(lambda: listens(self.port)):
            raise RuntimeError((self.directory / "nginx.out").read_text() + self.error.read_text())

    def get(self, path, method="GET", data=None, timeout=30, headers=None):
        """The status that a client gets."""
        call = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, data=data, headers=headers or {})
        try:
            with urllib.request.urlopen(call, timeout=timeout) as answer:
                answer.read()
                return answer.status
        except urllib.error.HTTPError as error:
            error.read()
            return error.code

    def stop(self):
        self.process.signal(signal.SIGQUIT)
        return self.process.stop()


class Gunicorn:
    """Gunicorn with the application of this folder; instrumented when it is told where spans go."""

    def __init__(self, directory, bind, *options, spans_to=None, venv=None, worker="sync", workers=2, app="app:app", chdir=APP, wait=True, environment=()):
        self.directory = Path(directory)
        self.bind = bind
        self.log = self.directory / "gunicorn.log"
        self.log.touch()
        venv = Path(venv or VENV)
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **dict(environment)}
        command = [str(venv / "bin" / "gunicorn")]
        if spans_to:
            command.insert(0, str(venv / "bin" / "opentelemetry-instrument"))
            environment.update(OTEL_EXPORTER_OTLP_ENDPOINT=spans_to, OTEL_SERVICE_NAME="shop", OTEL_METRICS_EXPORTER="none",
                               OTEL_LOGS_EXPORTER="none", OTEL_TRACES_EXPORTER="otlp", OTEL_BSP_SCHEDULE_DELAY="200",
                               OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
        self.command = command + ["-b", bind, "-w", str(workers), "-k", worker, "--chdir", str(chdir), "--error-logfile", str(self.log), *options, app]
        self.environment = environment
        self.process = None
        self.start(wait)

    def start(self, wait=True):
        """With `wait`, returns when a worker has booted and the address answers."""
        before = self.log.read_text().count("Booting worker")
        self.process = Process(self.command, self.directory / "gunicorn.out", env=self.environment)
        if not wait:
            return
        booted = wait_for(lambda: self.log.read_text().count("Booting worker") > before and self.answers(), 30)
        if not booted:
            raise RuntimeError((self.directory / "gunicorn.out").read_text() + self.log.read_text())

    def answers(self):
        if self.bind.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as probe:
                return probe.connect_ex(self.bind.removeprefix("unix:")) == 0
        return listens(int(self.bind.rsplit(":", 1)[1]))

    def stop(self):
        return self.process.stop()

    def workers(self):
        """Pids of its workers."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.child.pid)], capture_output=True, text=True)
        return [int(pid) for pid in children.stdout.split()]

    def kill_all(self):
        """The primary process and its workers at once, as the OOM killer would."""
        for pid in [self.process.child.pid, *self.workers()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.child.wait()


class Why502:
    """`why502 run` with a short hold and everything written to a file; `traces` names other exporters for traces."""

    def __init__(self, directory, hold="2s", exporters="", pipelines="file", traces=None):
        self.directory = Path(directory)
        self.grpc = free_port()
        self.http = free_port()
        self.out = self.directory / "out.jsonl"
        self.config = self.directory / "why502.yaml"
        self.config.write_text(f"""receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{self.grpc}"}}
      http: {{endpoint: "127.0.0.1:{self.http}"}}
processors:
  why502: {{hold: {hold}}}
exporters:
  file: {{path: {self.out}}}
{exporters}
service:
  pipelines:
    logs: {{receivers: [otlp], processors: [why502], exporters: [{pipelines}]}}
    traces: {{receivers: [otlp], processors: [why502], exporters: [{traces or pipelines}]}}
    metrics: {{receivers: [otlp], exporters: [{pipelines}]}}
""")
        self.start()

    def start(self):
        """Also after `stop`, on the same ports and with the same file."""
        self.process = Process([binary(), "run", "--config", str(self.config)], self.directory / "why502.log")
        if not wait_for(lambda: listens(self.grpc)):
            raise RuntimeError((self.directory / "why502.log").read_text())

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.grpc}"

    def tail(self, *files):
        return Process([binary(), "tail", "--to", self.endpoint, "--from-start", *map(str, files)], self.directory / "tail.log")

    def records(self):
        return records(self.out)

    def spans(self):
        return spans(self.out)

    def verdicts(self):
        return [record for record in self.records() if record.get("eventName") == "why502.verdict"]

    def stop(self):
        return self.process.stop(30)


def requests(path):
    """What a file exporter wrote, why502's or the collector's: one request a line; the last may be half written."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def records(path):
    return [record for request in requests(path) for group in request.get("resourceLogs", [])
            for scope in group["scopeLogs"] for record in scope["logRecords"]]


def spans(path):
    return [span for request in requests(path) for group in request.get("resourceSpans", [])
            for scope in group["scopeSpans"] for span in scope["spans"]]


def attributes(item):
    """Attributes of a record or span as plain values."""
    plain = {}
    for pair in item.get("attributes", []):
        value = pair["value"]
        kind, inner = next(iter(value.items()))
        if kind == "intValue":
            inner = int(inner)
        if kind == "arrayValue":
            inner = [next(iter(element.values())) for element in inner.get("values", [])]
        plain[pair["key"]] = inner
    return plain


def explain(*files, traces=()):
    """The failures that `why502 explain --format json` prints."""
    command = [binary(), "explain", *map(str, files), "--format", "json"]
    for trace in traces:
        command += ["--traces", str(trace)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    # nginx may write while it is read, which is said and makes the exit code 1.
    problems = [line for line in done.stderr.splitlines() if "the file grew while it was read" not in line]
    assert done.returncode in (0, 1) and not problems, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [one for one in told if one["type"] != "incident"]
