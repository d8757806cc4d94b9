"""Jaeger behind why502: whoever looks at the trace of a failed request sees there why it failed."""

import json
import urllib.parse

from harness import attributes, wait_for
from peers import tags


def relay(stage, hold):
    """Jaeger, and why502 whose traces go to it; instrumented Gunicorn behind nginx, and a tail of all logs."""
    store = stage.jaeger()
    exporter = f'  otlp/jaeger: {{endpoint: "127.0.0.1:{store.grpc}", tls: {{insecure: true}}}}'
    stage.why502(hold=hold, exporters=exporter, traces="file, otlp/jaeger")
    return store


def blamed(spans):
    return [span for span in spans if "why502.cause" in tags(span["tags"])]


def check(span, target, cause, method):
    """The server span of the failed request, with its cause as tags and as an event."""
    shown = tags(span["tags"])
    assert shown["span.kind"] == "server"
    assert target in (shown.get("url.path"), shown.get("http.target"))
    assert shown["why502.cause"] == shown["error.type"] == cause
    assert shown["why502.link.method"] == method
    assert 0 < shown["why502.confidence"] <= 1
    assert 0 < shown["why502.link.confidence"] <= 1
    assert shown["why502.hint"]
    assert json.loads(shown["why502.evidence"])
    event, = [fields for fields in (tags(log["fields"]) for log in span["logs"]) if fields["event"] == "why502.verdict"]
    assert event["why502.cause"] == cause


def find(store, **wanted):
    """Spans of traces in which a span has these tags, as Jaeger's search page finds them."""
    named = urllib.parse.quote(json.dumps({key.replace("_", "."): value for key, value in wanted.items()}))
    return [span for trace in store.get(f"/api/traces?service=shop&tags={named}") for span in trace["spans"]]


def test_linked_by_the_trace_context_of_the_client(stage):
    store = relay(stage, hold="4s")
    stage.gunicorn(spans=True)
    front = stage.nginx()
    stage.tail()
    good, bad = "11111111d2c872e8321cf37308d69df2", "5b8aa5a2d2c872e8321cf37308d69df2"
    assert front.get("/", headers={"traceparent": f"00-{good}-051581bf3cb55c13-01"}) == 200
    assert front.get("/status/502", headers={"traceparent": f"00-{bad}-051581bf3cb55c13-01"}) == 502

    found = wait_for(lambda: blamed(store.spans(bad)), 20)
    assert len(found) == 1
    check(found[0], "/status/502", "app_returned_error", "trace_context")
    healthy = wait_for(lambda: store.spans(good))
    assert healthy and not blamed(healthy)


def test_linked_by_the_request_id_that_nginx_sends_on(stage, monkeypatch):
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", "x-request-id")
    store = relay(stage, hold="4s")
    stage.gunicorn(spans=True)
    front = stage.nginx()
    stage.tail()
    # Of several alike, each its own.
    for _ in range(3):
        assert front.get("/status/503") == 503
    assert front.get("/") == 200

    wait_for(lambda: len(find(store, why502_cause="app_returned_error")) == 3, 20)
    found = find(store, why502_cause="app_returned_error")
    assert len(found) == 3
    for span in found:
        check(span, "/status/503", "app_returned_error", "request_id")
    wait_for(lambda: len(stage.live.verdicts()) >= 3)
    verdicts = {attributes(one)["why502.request.uid"]: one["traceId"] for one in stage.live.verdicts()}
    assert {tags(span["tags"])["why502.request.uid"]: span["traceID"] for span in found} == verdicts


def test_linked_by_timing_alone(stage):
    """nginx gives up first; the worker lives, and its span ends when nobody waits for it any more."""
    store = relay(stage, hold="6s")
    stage.gunicorn(spans=True)
    front = stage.nginx(read_timeout="1s")
    stage.tail()
    assert front.get("/") == 200
    assert front.get("/sleep/3") == 504

    verdict, = wait_for(stage.live.verdicts, 25)
    told = attributes(verdict)
    assert (told["why502.cause"], told["why502.link.method"]) == ("slow_request", "timing")
    # The verdict and its records lead to the trace. Its span looks healthy and has waited for nobody.
    assert wait_for(lambda: len(find(store)) == 2)
    shown = [(span["traceID"], tags(span["tags"])) for span in find(store)]
    late = [trace for trace, of in shown if "/sleep/3" in (of.get("url.path"), of.get("http.target"))]
    assert late == [verdict["traceId"]]
    assert blamed(find(store)) == []
