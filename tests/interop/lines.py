"""OTLP requests of lines that nginx and Gunicorn write, for tests that say themselves when what comes."""

import time

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def stamp(seconds):
    """As nginx's error log and Gunicorn's have it, in UTC."""
    return time.gmtime(seconds)


def refused(number, seconds, path="/cart", upstream="127.0.0.1:8000"):
    """The error line of a connection that nobody took."""
    at = time.strftime("%Y/%m/%d %H:%M:%S", stamp(seconds))
    return (f'{at} [error] 12#12: *{number} connect() failed (111: Connection refused) while connecting to upstream, '
            f'client: 10.0.0.{number % 250 + 1}, server: _, request: "GET {path} HTTP/1.1", upstream: "http://{upstream}{path}", host: "shop.example"')


def reset(number, seconds, path="/cart", upstream="127.0.0.1:8000"):
    """The error line of a connection that was closed before an answer came."""
    at = time.strftime("%Y/%m/%d %H:%M:%S", stamp(seconds))
    return (f'{at} [error] 12#12: *{number} upstream prematurely closed connection while reading response header from upstream, '
            f'client: 10.0.0.{number % 250 + 1}, server: _, request: "GET {path} HTTP/1.1", upstream: "http://{upstream}{path}", host: "shop.example"')


def access(number, seconds, path="/cart", status=502, size=157):
    """The access line of a request, in the combined format."""
    at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", stamp(seconds))
    return f'10.0.0.{number % 250 + 1} - - [{at}] "GET {path} HTTP/1.1" {status} {size} "-" "curl/8.5.0"'


def worker_timeout(pid, seconds):
    """Gunicorn says that it kills a worker."""
    at = time.strftime("%Y-%m-%d %H:%M:%S +0000", stamp(seconds))
    return f"[{at}] [7] [CRITICAL] WORKER TIMEOUT (pid:{pid})"


def logs(service, name, lines, seconds=None):
    """One request of a file of a service."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    for key, value in (("service.name", service), ("host.name", f"{service}-1"), ("log.file.path", f"/var/log/{name}")):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_logs.add()
    for line in lines:
        record = scope.log_records.add()
        record.observed_time_unix_nano = int((seconds or time.time()) * 1e9)
        record.body.string_value = line
    return request


def spans(service, all_of):
    """Server spans: trace id, span id, path, start, end, status of the answer."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for key, value in (("service.name", service), ("host.name", f"{service}-1")):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_spans.add()
    for trace, span, path, start, end, status in all_of:
        made = scope.spans.add()
        made.trace_id, made.span_id = trace, span
        made.name, made.kind = f"GET {path}", 2
        made.start_time_unix_nano, made.end_time_unix_nano = int(start * 1e9), int(end * 1e9)
        for key, value in (("http.request.method", "GET"), ("url.path", path)):
            made.attributes.add(key=key).value.string_value = value
        made.attributes.add(key="http.response.status_code").value.int_value = status
    return request


def healthy(service, count, seconds, first=0):
    """A request of good access lines."""
    return logs(service, "access.log", [access(first + number, seconds, f"/item/{first + number}", 200, 512) for number in range(count)], seconds)


def timed_out(number, seconds, path="/slow", upstream="127.0.0.1:8000"):
    """The error line of an answer that did not come in time."""
    at = time.strftime("%Y/%m/%d %H:%M:%S", stamp(seconds))
    return (f'{at} [error] 12#12: *{number} upstream timed out (110: Connection timed out) while reading response header from upstream, '
            f'client: 10.0.0.{number % 250 + 1}, server: _, request: "GET {path} HTTP/1.1", upstream: "http://{upstream}{path}", host: "shop.example"')


def story(service, number, now):
    """Messages of one moment of a service, each a signal and a request, and how many requests failed: an error line and its
    access line come in two messages, good lines between them. One failure of a service has a span: what is slow more than once
    is another story."""
    kind = 2 if number == 2 else number % 2
    path = f"/{service}/{number}"
    error = (refused, reset, timed_out)[kind](number, now, path)
    status = (502, 502, 504)[kind]
    messages = [("logs", logs(service, "error.log", [error], now))]
    if kind == 1:
        messages.append(("logs", logs(service, "gunicorn.log", [worker_timeout(100 + number, now)], now)))
    if kind == 2:
        trace, span = number.to_bytes(8) + service.encode().rjust(8, b"_")[:8], number.to_bytes(8)
        messages.append(("spans", spans(service, [(trace, span, path, now - 30, now + 0.5, 200)])))
    messages.append(("logs", healthy(service, 5, now, first=5 * number)))
    messages.append(("logs", logs(service, "access.log", [access(number, now, path, status)], now)))
    return messages
