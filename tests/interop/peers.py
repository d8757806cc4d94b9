"""The programs on the other side of why502's sockets: the OpenTelemetry Collector and Jaeger, on free ports."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

import harness
from harness import ROOT, Process, free_port, listens, wait_for

# Another folder while two versions of a program are tried.
PROGRAMS = Path(os.environ.get("WHY502_PROGRAMS", ROOT / ".work" / "bin"))


def post(url, body):
    """Posts one JSON object; the status of the answer."""
    call = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(call, timeout=10) as answer:
        return answer.status


class Collector:
    """The collector with a configuration; `{grpc}`, `{http}` and `{out}` in it are its ports and the file it writes."""

    def __init__(self, directory, text, name="collector"):
        self.directory = Path(directory)
        self.name = name
        self.grpc = free_port()
        self.http = free_port()
        self.out = self.directory / f"{name}.jsonl"
        self.log = self.directory / f"{name}.log"
        self.config = self.directory / f"{name}.yaml"
        for key, value in (("grpc", f"127.0.0.1:{self.grpc}"), ("http", f"127.0.0.1:{self.http}"), ("out", self.out)):
            text = text.replace(f"{{{key}}}", str(value))
        # Without its own metrics: they would need a fixed port.
        self.config.write_text(text + "\n  telemetry: {metrics: {level: none}}\n")
        self.start()

    def start(self):
        self.log.touch()
        before = self.ready()
        self.process = Process([str(PROGRAMS / "otelcol"), "--config", str(self.config)], self.log)
        wait_for(lambda: self.ready() > before or self.process.child.poll() is not None)
        if self.ready() == before:
            self.stop()
            raise RuntimeError(self.log.read_text())

    def ready(self):
        return self.log.read_text().count("Everything is ready")

    def stop(self):
        return self.process.stop()

    def records(self):
        return harness.records(self.out)


class Jaeger:
    """Jaeger with everything in memory."""

    def __init__(self, directory):
        self.grpc = free_port()
        self.query = free_port()
        config = Path(directory) / "jaeger.yaml"
        self.log = Path(directory) / "jaeger.log"
        config.write_text(f"""extensions:
  jaeger_storage: {{backends: {{memory: {{memory: {{max_traces: 1000}}}}}}}}
  jaeger_query:
    storage: {{traces: memory}}
    # It would send traces of its own to 127.0.0.1:4317, whoever listens there.
    enable_tracing: false
    http: {{endpoint: "127.0.0.1:{self.query}"}}
    grpc: {{endpoint: "127.0.0.1:{free_port()}"}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{self.grpc}"}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
service:
  extensions: [jaeger_storage, jaeger_query]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
""")
        self.process = Process([str(PROGRAMS / "jaeger"), "--config", str(config)], self.log)
        if not wait_for(lambda: listens(self.query) and listens(self.grpc), 30):
            self.stop()
            raise RuntimeError(self.log.read_text())

    def stop(self):
        return self.process.stop()

    def get(self, path):
        """`data` of an answer of the query API; empty where it knows nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.query}{path}", timeout=10) as answer:
                return json.load(answer)["data"] or []
        except urllib.error.HTTPError as error:
            error.read()
            if error.code != 404:
                raise
            return []

    def spans(self, trace):
        """Spans of a trace, by its id in hexadecimal."""
        return [span for found in self.get(f"/api/traces/{trace}") for span in found["spans"]]


def tags(pairs):
    """Jaeger's tags or log fields as plain values."""
    return {pair["key"]: pair["value"] for pair in pairs}


def is_verdict(record):
    return record.get("eventName") == "why502.verdict"


def is_own(record):
    """A verdict or an incident: no line that somebody sent."""
    return str(record.get("eventName")).startswith("why502.")
