"""A running why502 with its page, and what nginx, Gunicorn, the kernel and an application tell it."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("WHY502_BIN", str(ROOT / "target/debug/why502"))
WITHIN = 60


def eventually(what, look):
    """What `look` says, as soon as it says something."""
    until = time.monotonic() + WITHIN
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}, within {WITHIN} s")


class Why502:
    """`why502 run` on free ports."""

    def __init__(self, directory, web='{endpoint: "127.0.0.1:0"}', extensions="", verdicts=1000, hold="500ms"):
        self.log = directory / "why502.err"
        config = directory / "why502.yaml"
        listed = extensions.split(":")[0]
        config.write_text(f"""
extensions: {{{extensions}}}
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:0"}}, http: {{endpoint: "127.0.0.1:0"}}}}}}}}
processors: {{why502: {{hold: {hold}, limits: {{verdicts: {verdicts}}}}}}}
exporters: {{debug: {{}}}}
service:
  extensions: [{listed}]
  pipelines:
    logs: {{receivers: [otlp], processors: [why502], exporters: [debug]}}
    traces: {{receivers: [otlp], processors: [why502], exporters: [debug]}}
web: {web}
""")
        with self.log.open("w") as err, (directory / "why502.out").open("w") as out:
            self.process = subprocess.Popen([PROGRAM, "run", "--config", str(config)], stdout=out, stderr=err)
        self.otlp = "http://" + self.said(r"and (\S+) \(HTTP\)")
        self.page = self.said(r"the page for people is at (\S+)/")

    def said(self, pattern):
        return eventually(f"it says {pattern}", lambda: re.search(pattern, self.log.read_text())).group(1)

    def post(self, path, message):
        body = json.dumps(message).encode()
        request = urllib.request.Request(self.otlp + path, body, {"content-type": "application/json"})
        until = time.monotonic() + WITHIN
        while True:
            try:
                return urllib.request.urlopen(request, timeout=WITHIN).read()
            except urllib.error.HTTPError as refused:
                if refused.code != 503 or time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def lines(self, file, lines, service="shop", host="web-1"):
        """Lines of one file, as a collector sends them."""
        now = str(time.time_ns())
        records = [
            {"observedTimeUnixNano": now, "body": {"stringValue": line}, "attributes": [text("log.file.path", file)]}
            for line in lines
        ]
        resource = {"attributes": [text("service.name", service), text("host.name", host)]}
        self.post("/v1/logs", {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})

    def spans(self, spans, service="shop", host="web-1"):
        resource = {"attributes": [text("service.name", service), text("host.name", host)]}
        self.post("/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})

    def get(self, path, **headers):
        """Status, headers and text of an answer."""
        request = urllib.request.Request(self.page + path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        try:
            answer = urllib.request.urlopen(request, timeout=WITHIN)
        except urllib.error.HTTPError as error:
            answer = error
        return answer.status, answer.headers, answer.read().decode()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


def stamp(seconds, shape):
    return datetime.fromtimestamp(seconds, UTC).strftime(shape)


def access(seconds, target, status, client="203.0.113.7", request_id="", trace="", upstream="127.0.0.1:8000", took=30.0, connection=7):
    return json.dumps({
        "msec": f"{seconds:.3f}", "pid": "811", "connection": str(connection), "request_id": request_id, "otel_trace_id": trace,
        "remote_addr": client, "host": "shop.example", "request": f"GET {target} HTTP/1.1", "status": str(status),
        "body_bytes_sent": "157", "request_time": f"{took:.3f}", "upstream_addr": upstream, "upstream_status": "502",
        "upstream_connect_time": "0.000", "upstream_header_time": "-", "upstream_response_time": f"{took:.3f}",
        "upstream_bytes_received": "0",
    })  # fmt: skip


def error(seconds, target, words, client="203.0.113.7", upstream="127.0.0.1:8000", connection=7):
    return (
        f"{stamp(seconds, '%Y/%m/%d %H:%M:%S')} [error] 811#811: *{connection} {words}, client: {client}, server: shop.example, "
        f'request: "GET {target} HTTP/1.1", upstream: "http://{upstream}{target}", host: "shop.example"'
    )


CLOSED = "upstream prematurely closed connection while reading response header from upstream"
REFUSED = "connect() failed (111: Connection refused) while connecting to upstream"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def gunicorn(seconds, pid, level, words):
    return f"[{stamp(seconds, '%Y-%m-%d %H:%M:%S +0000')}] [{pid}] [{level}] {words}"


def report_fails(why502, at, service="shop", host="web-1"):
    """A worker of Gunicorn runs into its timeout as a statement of the database takes 29 s."""
    at = int(at)
    where = {"service": service, "host": host}
    log = "/var/log/gunicorn/error.log"
    why502.lines(log, [
        gunicorn(at - 60, 3430, "INFO", "Listening at: http://127.0.0.1:8000 (3430)"),
        gunicorn(at - 60, 3438, "INFO", "Booting worker with pid: 3438"),
    ], **where)  # fmt: skip
    why502.spans([
        span("aa", "", "GET", at - 30.2, at - 29.9, 2, {"http.request.method": "GET"}),
        span("02", "01", "SELECT", at - 29.0, at, 3, {"db.operation.name": "SELECT", "db.collection.name": "orders", "server.address": "db.internal"}),
        span("01", "", "GET /report", at - 30.0, at, 2, {"http.request.method": "GET", "url.path": "/report", "http.route": "/report"}, failed=True),
    ], **where)  # fmt: skip
    why502.lines(log, [gunicorn(at - 1, 3430, "CRITICAL", "WORKER TIMEOUT (pid:3438)")], **where)
    why502.lines("/var/log/nginx/error.log", [error(at, "/report?month=10", CLOSED)], **where)
    why502.lines(log, [gunicorn(at, 3430, "ERROR", "Worker (pid:3438) was sent SIGKILL! Perhaps out of memory?")], **where)
    why502.lines(log, [gunicorn(at, 3502, "INFO", "Booting worker with pid: 3502")], **where)
    why502.lines("/var/log/nginx/access.log", [access(at + 0.25, "/report?month=10", 502, trace=TRACE)], **where)


def span(number, parent, name, start, end, kind, attributes, failed=False):
    made = {
        "traceId": TRACE if number != "aa" else "aa" * 16, "spanId": number.rjust(16, "0"), "name": name, "kind": kind,
        "startTimeUnixNano": str(int(start * 1e9)), "endTimeUnixNano": str(int(end * 1e9)),
        "attributes": [text(key, value) for key, value in attributes.items()],
    }  # fmt: skip
    if parent:
        made["parentSpanId"] = parent.rjust(16, "0")
    if failed:
        made["status"] = {"code": 2}
    return made


def stock_is_down(why502, at, count=12, target="/stock", service="stock", host="web-2"):
    """Nothing listens."""
    at = int(at)
    for first in range(0, count, 500):
        numbers = range(first, min(first + 500, count))
        when = [at - 20 + number * 20 / count for number in numbers]
        errors = [error(second, f"{target}/{number}", REFUSED, upstream="127.0.0.1:8100", connection=1000 + number) for number, second in zip(numbers, when)]
        lines = [access(second, f"{target}/{number}", 502, upstream="127.0.0.1:8100", took=0.001, connection=1000 + number) for number, second in zip(numbers, when)]
        why502.lines("/var/log/nginx/error.log", errors, service=service, host=host)
        why502.lines("/var/log/nginx/access.log", lines, service=service, host=host)
