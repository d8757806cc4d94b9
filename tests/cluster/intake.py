"""A stand-in for Datadog's intake of OTLP over HTTP, as strict as its documentation says it is: 403 for a wrong key, 415 for
anything but protobuf, 413 above its sizes, 202 for what it takes."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

LOG_BYTES_MAX, LOG_ENTRIES_MAX, TRACE_BYTES_MAX = 5_000_000, 1_000, 3_200_000


class Intake:
    def __init__(self, key, trace_bytes_max=TRACE_BYTES_MAX):
        self.logs, self.spans, self.answers, self.sizes = [], [], [], []
        self.lock = threading.Lock()
        intake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with intake.lock:
                    status = intake.take(self.path, self.headers, body, key, trace_bytes_max)
                    intake.answers.append((self.path, status))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path, headers, body, key, trace_bytes_max):
        if headers.get("dd-api-key") != key:
            return 403
        if headers.get("Content-Type") != "application/x-protobuf":
            return 415
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if path == "/v1/logs":
            found = [(dict_of(group.resource.attributes), record) for group in ExportLogsServiceRequest.FromString(body).resource_logs
                     for scope in group.scope_logs for record in scope.log_records]
            self.sizes.append(len(found))
            if len(body) > LOG_BYTES_MAX or len(found) > LOG_ENTRIES_MAX:
                return 413
            self.logs += [linked(resource, record) for resource, record in found]
        elif path == "/v1/traces":
            if len(body) > trace_bytes_max:
                return 413
            self.spans += [span for group in ExportTraceServiceRequest.FromString(body).resource_spans
                           for scope in group.scope_spans for span in scope.spans]
        else:
            return 404
        return 202

    def stop(self):
        self.server.shutdown()


def plain(value):
    kind = value.WhichOneof("value")
    return [plain(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind) if kind else None


def dict_of(attributes):
    return {pair.key: plain(pair.value) for pair in attributes}


def linked(resource, record):
    """A log as Datadog has it: the lower halves of the ids in decimal are what its remapper links a trace by."""
    log = {**resource, **dict_of(record.attributes), "message": plain(record.body), "otel.event_name": record.event_name}
    if record.trace_id:
        log["otel.trace_id"] = record.trace_id.hex()
        log["dd.trace_id"] = str(int.from_bytes(record.trace_id[8:], "big"))
    if record.span_id:
        log["dd.span_id"] = str(int.from_bytes(record.span_id, "big"))
    return log
