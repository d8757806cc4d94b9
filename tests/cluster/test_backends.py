"""The presets and the documented configurations of backends: Jaeger for real, Datadog by a stand-in as strict as its own
documentation, and each with real NGINX and Gunicorn in front."""

import json
import re
import urllib.parse

import pytest

import peers
from conftest import DEPLOY, Watched, run
from harness import Gunicorn, Nginx, Process, binary, free_port, wait_for
from intake import Intake
from peers import tags

CONFIG = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:{grpc}"}, http: {endpoint: "127.0.0.1:{http}"}}}}
processors: {why502: {hold: 3s}}
exporters:
  jaeger: {endpoint: "127.0.0.1:JAEGER", tls: {insecure: true}}
  datadog: {endpoint: "DATADOG", key: "${env:DD_API_KEY}", retry_on_failure: {initial_interval: 50ms}}
service:
  pipelines:
    logs: {receivers: [otlp], processors: [why502], exporters: [datadog]}
    traces: {receivers: [otlp], processors: [why502], exporters: [jaeger, datadog]}
"""


@pytest.fixture
def stage(tmp_path, started, monkeypatch):
    """Everything but the requests."""
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(0o755)
    monkeypatch.setenv("DD_API_KEY", "0123456789abcdef")
    intake = started(Intake("0123456789abcdef"))
    jaeger = started(peers.Jaeger(tmp_path))
    live = started(Watched(tmp_path, CONFIG.replace("JAEGER", str(jaeger.grpc)).replace("DATADOG", intake.url)))
    back = started(Gunicorn(tmp_path, f"127.0.0.1:{free_port()}", spans_to=f"http://127.0.0.1:{live.grpc}"))
    front = started(Nginx(tmp_path, back.bind))
    started(Process([binary(), "tail", "--to", f"http://127.0.0.1:{live.grpc}", "--from-start", str(front.access), str(front.error),
                     str(back.log)], tmp_path / "tail.log"))
    return live, front, jaeger, intake


def test_one_failure_in_jaeger_and_in_datadog(stage):
    live, front, jaeger, intake = stage
    trace = "5b8aa5a2d2c872e8321cf37308d69df2"
    assert front.get("/status/502", headers={"traceparent": f"00-{trace}-051581bf3cb55c13-01"}) == 502

    # Jaeger: the cause as a tag that its search finds, as an event, and the span is one with an error.
    named = urllib.parse.quote(json.dumps({"why502.cause": "app_returned_error"}))
    found = wait_for(lambda: [span for one in jaeger.get(f"/api/traces?service=shop&tags={named}") for span in one["spans"]
                              if "why502.cause" in tags(span["tags"])], 25)
    assert len(found) == 1 and found[0]["traceID"] == trace
    shown = tags(found[0]["tags"])
    assert shown["error.type"] == "app_returned_error" and shown["error"] is True and shown["otel.status_code"] == "ERROR"
    assert [one for one in found[0]["logs"] if tags(one["fields"])["event"] == "why502.verdict"]

    # Datadog: verdict and lines carry the cause as facets and the ids that its remapper links the trace by.
    about = lambda: [log for log in intake.logs if log.get("why502.cause") == "app_returned_error"]
    assert wait_for(lambda: any(log["otel.event_name"] == "why502.verdict" for log in about()), 15), intake.logs
    low, span = str(int(trace[16:], 16)), str(int(found[0]["spanID"], 16))
    for log in about():
        if log["otel.event_name"] != "why502.incident":
            assert (log["otel.trace_id"], log["dd.trace_id"], log["dd.span_id"]) == (trace, low, span), log
    assert wait_for(lambda: any(one.trace_id.hex() == trace and one.kind == 2 for one in intake.spans))
    assert {status for _, status in intake.answers} == {202}


def test_datadogs_limits_are_kept_and_its_413_is_learned_from(tmp_path, started, monkeypatch):
    monkeypatch.setenv("DD_API_KEY", "k")
    intake = started(Intake("k", trace_bytes_max=20_000))
    live = started(Watched(tmp_path, CONFIG.replace("JAEGER", str(free_port())).replace("DATADOG", intake.url).replace("exporters: [jaeger, ", "exporters: [")))
    records = [{"timeUnixNano": "1", "body": {"stringValue": f"line {number}"}} for number in range(2_500)]
    assert peers.post(f"http://127.0.0.1:{live.http}/v1/logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}) == 200
    assert wait_for(lambda: len(intake.logs) == 2_500, 15)
    assert sorted({log["message"] for log in intake.logs}) == sorted(f"line {number}" for number in range(2_500))
    assert max(intake.sizes) <= 1_000
    spans = [{"traceId": f"{number + 1:032x}", "spanId": f"{number + 1:016x}", "name": "x" * 100, "kind": 1, "startTimeUnixNano": "1", "endTimeUnixNano": "2"} for number in range(900)]
    assert peers.post(f"http://127.0.0.1:{live.http}/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}) == 200
    assert wait_for(lambda: len(intake.spans) == 900, 20), intake.answers
    assert ("/v1/traces", 413) in intake.answers and len({span.span_id for span in intake.spans}) == 900


def test_a_wrong_key_is_one_clear_sentence_without_the_key(tmp_path, started, monkeypatch):
    monkeypatch.setenv("DD_API_KEY", "wrong-s3cret")
    intake = started(Intake("right"))
    live = started(Watched(tmp_path, CONFIG.replace("JAEGER", str(free_port())).replace("DATADOG", intake.url)))
    record = {"timeUnixNano": "1", "body": {"stringValue": "one"}}
    assert peers.post(f"http://127.0.0.1:{live.http}/v1/logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}) == 200
    assert wait_for(lambda: re.search(r"datadog.*403|403.*datadog", live.log.read_text()), 10), live.log.read_text()
    assert "s3cret" not in live.log.read_text()


def documented():
    return sorted((DEPLOY / "backends").glob("*.yaml"))


@pytest.mark.parametrize("path", documented(), ids=lambda path: path.stem)
def test_every_documented_configuration_is_one_that_why502_takes(path, monkeypatch):
    for name in ("DD_API_KEY", "LOKI_TENANT", "ELASTIC_KEY", "GRAFANA_TOKEN"):
        monkeypatch.setenv(name, "s3cret")
    done = run(binary(), "validate", "--config", path)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
