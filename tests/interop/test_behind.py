"""The collector behind why502: what why502 sends is what the collector writes down, whatever the protocol."""

import json
import time

import pytest

import harness
from harness import attributes, wait_for
from peers import is_own, is_verdict, post

BEHIND = """receivers:
  otlp: {protocols: {grpc: {endpoint: "{grpc}"}, http: {endpoint: "{http}"}}}
exporters:
  file: {path: "{out}", append: true, flush_interval: 100ms}
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [file]}
    traces: {receivers: [otlp], exporters: [file]}
    metrics: {receivers: [otlp], exporters: [file]}"""

TRACE = "5b8aa5a2d2c872e8321cf37308d69df2"
SHELL = {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "schemaUrl": "https://opentelemetry.io/schemas/1.37.0"}
SCOPE = {"name": "made-here", "version": "1.0", "attributes": [{"key": "kind", "value": {"stringValue": "test"}}]}
VALUES = [
    {"key": "text", "value": {"stringValue": "ä\n\"quoted\""}},
    {"key": "bool", "value": {"boolValue": True}},
    {"key": "int", "value": {"intValue": "-9007199254740993"}},
    {"key": "double", "value": {"doubleValue": 0.1}},
    {"key": "bytes", "value": {"bytesValue": "AAECAw=="}},
    {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "two"}]}}},
    {"key": "map", "value": {"kvlistValue": {"values": [{"key": "inner", "value": {"doubleValue": 2.5}}]}}},
]


def made(now):
    """One request of each signal with every kind of value in it; nothing in them is about a failure."""
    record = {"timeUnixNano": str(now), "observedTimeUnixNano": str(now + 1), "severityNumber": 9, "severityText": "INFO",
              "body": {"kvlistValue": {"values": VALUES}}, "attributes": VALUES, "droppedAttributesCount": 3, "flags": 1,
              "traceId": TRACE, "spanId": "051581bf3cb55c13", "eventName": "made.here"}
    span = {"traceId": TRACE, "spanId": "051581bf3cb55c13", "parentSpanId": "5fb397be34d26b51", "traceState": "vendor=1", "flags": 257,
            "name": "GET /fine", "kind": 1, "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 5_000_000), "attributes": VALUES,
            "events": [{"timeUnixNano": str(now + 1), "name": "step", "attributes": VALUES, "droppedAttributesCount": 1}],
            "links": [{"traceId": TRACE[::-1], "spanId": "151581bf3cb55c13", "traceState": "a=b", "attributes": VALUES}],
            "status": {"code": 1}, "droppedEventsCount": 2}
    point = {"startTimeUnixNano": str(now - 1_000), "timeUnixNano": str(now), "attributes": VALUES[:1]}
    exemplar = {"timeUnixNano": str(now), "asDouble": 7.5, "traceId": TRACE, "spanId": "051581bf3cb55c13"}
    metrics = [
        {"name": "requests", "unit": "1", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [{**point, "asInt": "42"}]}},
        {"name": "load", "description": "of the machine", "gauge": {"dataPoints": [{**point, "asDouble": 0.25}]}},
        {"name": "latency", "unit": "s", "histogram": {"aggregationTemporality": 1, "dataPoints": [
            {**point, "count": "3", "sum": 9.0, "bucketCounts": ["1", "2"], "explicitBounds": [5.0], "min": 1.0, "max": 7.5, "exemplars": [exemplar]}]}},
        {"name": "sizes", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
            {**point, "count": "2", "sum": 3.0, "scale": 1, "zeroCount": "1", "positive": {"offset": -1, "bucketCounts": ["1"]}, "negative": {}}]}},
        {"name": "old", "summary": {"dataPoints": [{**point, "count": "2", "sum": 3.0, "quantileValues": [{"quantile": 0.5, "value": 1.5}]}]}},
    ]
    return {
        "logs": {"resourceLogs": [{**SHELL, "scopeLogs": [{"scope": SCOPE, "logRecords": [record]}]}]},
        "traces": {"resourceSpans": [{**SHELL, "scopeSpans": [{"scope": SCOPE, "spans": [span]}]}]},
        "metrics": {"resourceMetrics": [{**SHELL, "scopeMetrics": [{"scope": SCOPE, "metrics": metrics}]}]},
    }


def bare(value):
    """Without what is empty: whether a writer of JSON leaves it out is its own affair. Attributes are a set."""
    if isinstance(value, dict):
        inner = {key: bare(one) for key, one in value.items()}
        return {key: one for key, one in inner.items() if one not in ("", "0", 0, [], {}, False)}
    if isinstance(value, list):
        inner = [bare(one) for one in value]
        is_set = all(isinstance(one, dict) and "key" in one for one in inner)
        return sorted(inner, key=json.dumps) if is_set else inner
    # 3 and 3.0 are one number.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def flat(requests):
    """Each record, span and metric with the resource and scope around it, in one order."""
    found = []
    for request in requests:
        for group in (group for groups in request.values() for group in groups):
            scopes = next(value for key, value in group.items() if key.startswith("scope"))
            around = {key: value for key, value in group.items() if not key.startswith("scope")}
            for scope in scopes:
                items = next(value for key, value in scope.items() if key in ("logRecords", "spans", "metrics"))
                inner = {key: value for key, value in scope.items() if key not in ("logRecords", "spans", "metrics")}
                found += [json.dumps(bare({"around": around, "scope": inner, "item": item}), sort_keys=True) for item in items]
    return sorted(found)


def exporter(name, behind, settings):
    """An exporter that sends to the collector; its name begins with its kind."""
    endpoint = f"http://127.0.0.1:{behind.http}" if name.startswith("otlphttp/") else f"127.0.0.1:{behind.grpc}"
    return f'  {name}: {{endpoint: "{endpoint}", tls: {{insecure: true}}, {settings}}}\n'


WAYS = {
    "otlp": ["compression: none", "compression: gzip", "compression: zstd"],
    "otlphttp": ["compression: none", "compression: gzip", "compression: zstd"],
    "otlphttp_json": [f"encoding: json, compression: {kind}" for kind in ("none", "gzip", "zstd")],
}


@pytest.mark.parametrize("protocol", WAYS)
def test_all_that_why502_sends_arrives_intact(stage, protocol):
    """A collector for each compression, all fed at once."""
    kind = protocol.removesuffix("_json")
    behind = {settings: stage.collector(BEHIND, name=f"behind{number}") for number, settings in enumerate(WAYS[protocol])}
    exporters = {f"{kind}/{one.name}": exporter(f"{kind}/{one.name}", one, settings) for settings, one in behind.items()}
    stage.why502(hold="1s", exporters="".join(exporters.values()), pipelines=", ".join(["file", *exporters]))
    stage.gunicorn()
    front = stage.nginx()
    stage.tail()
    sent = made(time.time_ns())
    for signal, request in sent.items():
        assert post(f"http://127.0.0.1:{stage.live.http}/v1/{signal}", request) == 200
    for number in range(10):
        assert front.get(f"/?n={number}") == 200
    assert front.get("/kill") == 502
    assert wait_for(stage.live.verdicts, 15)
    stage.end_of_lines()
    # Each line and the record that was made here; verdict and incident come besides.
    lines = stage.lines()
    wait_for(lambda: sum(not is_own(record) for record in stage.live.records()) >= len(lines) + 1)
    for one in behind.values():
        wait_for(lambda: flat(harness.requests(one.out)) == flat(harness.requests(stage.live.out)))

    written = flat(harness.requests(stage.live.out))
    assert set(flat(sent.values())) <= set(written)
    for settings, one in behind.items():
        assert flat(harness.requests(one.out)) == written, settings
        of_logs = [record for record in one.records() if "stringValue" in record["body"] and not is_own(record)]
        assert sorted(record["body"]["stringValue"].strip() for record in of_logs) == lines, settings
        verdict, = [attributes(record) for record in one.records() if is_verdict(record)]
        assert (verdict["why502.cause"], verdict["url.path"]) == ("worker_killed", "/kill")
        access, = [record for record in of_logs if '"request":"GET /kill HTTP/1.1"' in record["body"]["stringValue"]]
        enriched = {key: value for key, value in attributes(access).items() if key.startswith("why502.")}
        assert enriched == {key: value for key, value in verdict.items() if key.startswith("why502.")}


@pytest.mark.parametrize("kind", ["otlp", "otlphttp"])
def test_a_collector_that_comes_back_gets_everything(stage, kind):
    behind = stage.collector(BEHIND, name="behind")
    retry = "retry_on_failure: {initial_interval: 200ms, max_interval: 1s}"
    stage.why502(hold="1s", exporters=exporter(f"{kind}/behind", behind, retry), pipelines=f"file, {kind}/behind")
    stage.gunicorn()
    front = stage.nginx()
    stage.tail()
    for number in range(50):
        assert front.get(f"/?before={number}") == 200
    assert wait_for(lambda: any("before=49" in json.dumps(record["body"]) for record in behind.records()))
    behind.stop()
    for number in range(50):
        assert front.get(f"/?while={number}") == 200
    assert front.get("/kill") == 502
    # The other exporter does not wait for this one.
    assert wait_for(stage.live.verdicts, 15)
    assert not [record for record in behind.records() if is_verdict(record)]
    behind.start()
    for number in range(50):
        assert front.get(f"/?after={number}") == 200

    def arrived():
        return sorted(record["body"]["stringValue"].strip() for record in behind.records() if not is_own(record))

    def causes():
        return [attributes(record)["why502.cause"] for record in behind.records() if is_verdict(record)]

    stage.end_of_lines()
    wait_for(lambda: len(arrived()) >= len(stage.lines()) and causes(), 30)
    assert arrived() == stage.lines()
    assert causes() == ["worker_killed"]
