"""Cases of the OTLP specification (1.11.0), as a server and as a client: what is done, and what is seen.

A case knows nothing of who answers it: the same is done to why502 and to the collector.
"""

import gzip
import http.client
import http.server
import json
import socket
import struct
import threading
import time
import zlib
from concurrent import futures

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
# Both programs are told to take at most this much.
LIMIT = 1 << 20


def logs(*bodies):
    """One OTLP request of these records."""
    records = [LogRecord(body=AnyValue(string_value=body)) for body in bodies]
    groups = [ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])]
    return logs_service_pb2.ExportLogsServiceRequest(resource_logs=groups).SerializeToString()


def json_logs(record):
    """The same in JSON, with one record as it is written."""
    return ('{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + record + "]}]}]}").encode()


ONE = logs("one record")
TEXT = '{"body":{"stringValue":"one record"}}'


def told(answer, body):
    """Status, what the body is, and when to come back."""
    kind = (answer.getheader("content-type") or "").split(";")[0]
    words = [str(answer.status)]
    if answer.status >= 400:
        words.append(status_in(kind, body))
    elif kind == JSON:
        words.append("JSON")
    elif kind == PROTOBUF:
        words.append("protobuf")
    if answer.getheader("retry-after"):
        words.append("Retry-After")
    return " ".join(word for word in words if word)


def status_in(kind, body):
    """`Status` where the body is a `google.rpc.Status` of its content type."""
    try:
        if kind == JSON:
            return "Status in JSON" if json.loads(body).get("message") else ""
        if kind == PROTOBUF:
            return "Status" if status_pb2.Status.FromString(body).message else ""
    except (ValueError, AttributeError):
        pass
    return ""


class Http:
    """OTLP over HTTP at a port."""

    def __init__(self, port):
        self.port = port

    def ask(self, method="POST", path="/v1/logs", body=ONE, kind=PROTOBUF, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            if kind:
                named["content-type"] = kind
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return told(answer, answer.read())
        finally:
            connection.close()

    def raw(self, *parts, shut=False, answers=1, pause=0.0, late=0.0):
        """Sends bytes as they are; the status of each answer, which is read late."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as stream:
            for part in parts:
                stream.sendall(part)
                time.sleep(pause)
            time.sleep(late)
            if shut:
                stream.shutdown(socket.SHUT_WR)
            reader = stream.makefile("rb")
            seen = []
            for _ in range(answers):
                seen.append(reader.readline().split(b" ")[1:2])
                length = 0
                while (line := reader.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                reader.read(length)
            return " ".join(status[0].decode() if status else "closed" for status in seen)

    def head(self, version="1.1", extra=""):
        return f"POST /v1/logs HTTP/{version}\r\nhost: test\r\ncontent-type: {PROTOBUF}\r\n{extra}content-length: {len(ONE)}\r\n\r\n".encode()

    def bytewise(self):
        """The body in one byte after the other."""
        return self.raw(self.head(), *(ONE[at : at + 1] for at in range(len(ONE))), pause=0.01)

    def unread(self):
        """Many requests whose answers nobody reads, and a good one beside them."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as stream:
            stream.settimeout(1)
            try:
                for _ in range(2_000):
                    stream.sendall(self.head() + ONE)
            except TimeoutError:
                # It takes no more until its answers are read.
                pass
            return self.ask()

    def half(self):
        """A request of which the body breaks off, and a good one after it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as stream:
            stream.sendall(self.head() + ONE[:3])
        return self.ask()


def snappy(data):
    """One block of literals: length, then pieces of at most 60 bytes."""
    length, out = len(data), bytearray()
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    for start in range(0, len(data), 60):
        piece = data[start : start + 60]
        out.append((len(piece) - 1) << 2)
        out += piece
    return bytes(out)


def http_cases(at):
    """OTLP over HTTP: name, section of the specification, what is done, what is to be seen."""
    ask = at.ask
    bomb = gzip.compress(bytes(50 * LIMIT))
    return [
        ("protobuf", "OTLP/HTTP Request", ask, "200 protobuf"),
        ("JSON", "OTLP/HTTP Request", lambda: ask(kind=JSON, body=json_logs(TEXT)), "200 JSON"),
        ("an empty protobuf body is a request without records", "Empty Telemetry", lambda: ask(body=b""), "200 protobuf"),
        ("an empty JSON object", "Empty Telemetry", lambda: ask(kind=JSON, body=b"{}"), "200 JSON"),
        ("JSON without a value", "JSON Protobuf Encoding", lambda: ask(kind=JSON, body=b""), "400 Status in JSON"),
        ("a parameter behind the content type", "RFC 9110, 8.3.1", lambda: ask(kind=JSON + "; charset=utf-8", body=b"{}"), "200 JSON"),
        ("another content type", "OTLP/HTTP Request", lambda: ask(kind="text/plain"), "415 Status"),
        ("no content type", "OTLP/HTTP Request", lambda: ask(kind=None), "415 Status"),
        ("GET", "OTLP/HTTP Request", lambda: ask("GET", body=None), "405 Status"),
        ("another path", "OTLP/HTTP Request", lambda: ask(path="/v1/nothing"), "404 Status"),
        ("a slash behind the path", "OTLP/HTTP Request", lambda: ask(path="/v1/logs/"), "200 protobuf"),
        ("a signal that no pipeline has", "OTLP/HTTP Request", lambda: ask(path="/v1/metrics", body=b""), "404 Status"),
        ("damaged protobuf", "Bad Data", lambda: ask(body=b"\xff\xff"), "400 Status"),
        ("damaged JSON", "Bad Data", lambda: ask(kind=JSON, body=b"{"), "400 Status in JSON"),
        ("an unknown key in JSON", "JSON Protobuf Encoding", lambda: ask(kind=JSON, body=b'{"new":1}'), "200 JSON"),
        ("a 64-bit number in JSON as a text", "JSON Protobuf Encoding", lambda: ask(kind=JSON, body=json_logs('{"timeUnixNano":"1"}')), "200 JSON"),
        ("and as a number", "JSON Protobuf Encoding", lambda: ask(kind=JSON, body=json_logs('{"timeUnixNano":1}')), "200 JSON"),
        ("an enumeration in JSON as a number", "JSON Protobuf Encoding", lambda: ask(kind=JSON, body=json_logs('{"severityNumber":9}')), "200 JSON"),
        ("a trace id in JSON that is not hexadecimal", "JSON Protobuf Encoding", lambda: ask(kind=JSON, body=json_logs('{"traceId":"AAAAAAAAAAAAAAAAAAAAAA=="}')), "400 Status in JSON"),
        ("identity", "OTLP/HTTP Request", lambda: ask(content_encoding="identity"), "200 protobuf"),
        ("gzip", "OTLP/HTTP Request", lambda: ask(body=gzip.compress(ONE), content_encoding="gzip"), "200 protobuf"),
        ("gzip in capitals", "RFC 9110, 8.4.1", lambda: ask(body=gzip.compress(ONE), content_encoding="GZIP"), "200 protobuf"),
        ("deflate", "RFC 9110, 8.4.1", lambda: ask(body=zlib.compress(ONE), content_encoding="deflate"), "200 protobuf"),
        ("zlib", "the collector's", lambda: ask(body=zlib.compress(ONE), content_encoding="zlib"), "200 protobuf"),
        ("snappy, one block", "the collector's", lambda: ask(body=snappy(ONE), content_encoding="snappy"), "200 protobuf"),
        ("an unknown encoding", "RFC 9110, 15.5.16", lambda: ask(content_encoding="br"), "415 Status"),
        ("damaged gzip", "Bad Data", lambda: ask(body=b"\x1f\x8b\x08damaged", content_encoding="gzip"), "400 Status"),
        ("larger than the limit", "Failures", lambda: ask(body=logs("x" * (LIMIT + 1))), "413 Status"),
        ("a small body that is large when it is decompressed", "Failures", lambda: ask(body=bomb, content_encoding="gzip"), "413 Status"),
        ("a body in chunks", "RFC 9112, 7.1", lambda: ask(body=iter([ONE[:5], ONE[5:]])), "200 protobuf"),
        ("HTTP/1.0", "RFC 9112, 2.5", lambda: at.raw(at.head("1.0"), ONE), "200"),
        ("two on one connection", "OTLP/HTTP Connection", lambda: at.raw(at.head(), ONE, at.head(), ONE, answers=2), "200 200"),
        ("the sender closes its side behind the request", "RFC 9112, 9.6", lambda: at.raw(at.head(), ONE, shut=True), "200"),
        ("a body byte by byte", "RFC 9112, 6", at.bytewise, "200"),
        ("the answers are read late", "OTLP/HTTP Connection", lambda: at.raw(at.head(), ONE, at.head(), ONE, answers=2, late=1.0), "200 200"),
        ("a sender that reads no answer keeps no other out", "OTLP/HTTP Connection", at.unread, "200 protobuf"),
        ("a body that breaks off keeps no other out", "OTLP/HTTP Connection", at.half, "200 protobuf"),
    ]


class Grpc:
    """OTLP over gRPC at a port."""

    def __init__(self, port):
        self.port = port

    def call(self, message=ONE, method=LOGS, compression=None):
        """By gRPC's own client."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", options=[("grpc.enable_retries", 0)]) as channel:
            try:
                channel.unary_unary(method)(message, timeout=10, compression=compression)
                return "OK"
            except grpc.RpcError as error:
                return error.code().name + (" RetryInfo" if has_retry_info(error) else "")

    def raw(self, body, method=LOGS, kind="application/grpc", behind=b"", **headers):
        """By HTTP/2 alone, with frames behind the request: the status of gRPC, else that of HTTP."""
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        named = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", method), ("te", "trailers")]
        named += [("content-type", kind)] if kind else []
        named += [(name.replace("_", "-"), value) for name, value in headers.items()]
        connection.send_headers(1, named, end_stream=not body)
        if body:
            connection.send_data(1, body, end_stream=True)
        seen = {}
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream:
            stream.sendall(connection.data_to_send() + behind)
            while data := received(stream):
                for event in connection.receive_data(data):
                    if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                        seen.update(event.headers)
                    if isinstance(event, h2.events.StreamReset):
                        return "reset"
                    if isinstance(event, h2.events.StreamEnded):
                        code = seen.get("grpc-status")
                        return CODES[int(code)] if code else f"HTTP {seen.get(':status')}"
                stream.sendall(connection.data_to_send())
        return "no answer"

    def ping(self):
        """Asks whether the connection lives."""
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        connection.ping(b"8 bytes!")
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream:
            stream.sendall(connection.data_to_send())
            while data := received(stream):
                if any(isinstance(event, h2.events.PingAckReceived) for event in connection.receive_data(data)):
                    return "answered"
        return "no answer"

    def unread(self):
        """Requests whose answers may not be sent, as their sender opens no window, and a good one beside them."""
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        named = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", LOGS), ("te", "trailers"), ("content-type", "application/grpc")]
        for number in range(1, 101, 2):
            connection.send_headers(number, named)
            connection.send_data(number, frame(ONE), end_stream=True)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream:
            stream.sendall(connection.data_to_send())
            return self.call()

    def twice(self):
        """A stream by HTTP/2 alone, and another one by gRPC's own client."""
        return self.raw(frame(ONE)) + " " + self.call()


def received(stream):
    try:
        return stream.recv(65_536)
    except TimeoutError:
        return b""


# No more streams will come, and none was refused.
GOAWAY = bytes([0, 0, 8, 7, 0, 0, 0, 0, 0]) + bytes(8)
CODES = {code.value[0]: code.name for code in grpc.StatusCode}


def frame(message, flag=0, length=None):
    return struct.pack(">BI", flag, len(message) if length is None else length) + message


def has_retry_info(error):
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            details = status_pb2.Status.FromString(value).details
            return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in details)
    return False


def grpc_cases(at):
    """OTLP over gRPC: name, section of the specification, what is done, what is to be seen."""
    call, raw = at.call, at.raw
    return [
        ("a request", "OTLP/gRPC", call, "OK"),
        ("a request without records", "Empty Telemetry", lambda: call(b""), "OK"),
        ("gzip", "OTLP/gRPC", lambda: call(compression=grpc.Compression.Gzip), "OK"),
        ("deflate", "gRPC compression", lambda: call(compression=grpc.Compression.Deflate), "OK"),
        ("snappy, one block", "the collector's", lambda: raw(frame(snappy(ONE), 1), grpc_encoding="snappy"), "OK"),
        ("an encoding that is named and not used", "gRPC compression", lambda: raw(frame(ONE), grpc_encoding="gzip"), "OK"),
        ("an unknown encoding", "gRPC compression", lambda: raw(frame(ONE, 1), grpc_encoding="br"), "UNIMPLEMENTED"),
        ("compressed without saying how", "gRPC compression", lambda: raw(frame(ONE, 1)), "INTERNAL"),
        ("damaged gzip", "Bad Data", lambda: raw(frame(b"damaged", 1), grpc_encoding="gzip"), "INVALID_ARGUMENT"),
        ("damaged protobuf", "Bad Data", lambda: call(b"\xff\xff"), "INVALID_ARGUMENT"),
        ("larger than the limit", "Failures", lambda: call(logs("x" * (LIMIT + 1))), "RESOURCE_EXHAUSTED"),
        ("another method", "gRPC status codes", lambda: call(method=LOGS + "s"), "UNIMPLEMENTED"),
        ("another service", "gRPC status codes", lambda: call(method="/a.b.C/D"), "UNIMPLEMENTED"),
        ("a signal that no pipeline has", "gRPC status codes", lambda: call(b"", LOGS.replace("logs", "metrics").replace("LogsS", "MetricsS")), "UNIMPLEMENTED"),
        ("application/grpc+proto", "gRPC over HTTP/2", lambda: raw(frame(ONE), kind="application/grpc+proto"), "OK"),
        ("another content type", "gRPC over HTTP/2", lambda: raw(frame(ONE), kind="text/plain"), "HTTP 415"),
        ("no message", "Bad Data", lambda: raw(b""), "INVALID_ARGUMENT"),
        ("a message that breaks off", "Bad Data", lambda: raw(frame(ONE, length=len(ONE) + 9)), "INVALID_ARGUMENT"),
        ("two messages where one is due", "Bad Data", lambda: raw(frame(ONE) + frame(ONE)), "INVALID_ARGUMENT"),
        ("a short time limit", "gRPC over HTTP/2", lambda: raw(frame(ONE), grpc_timeout="5S"), "OK"),
        ("two streams at once", "gRPC over HTTP/2", at.twice, "OK OK"),
        ("a GOAWAY behind the request", "RFC 9113, 6.8", lambda: raw(frame(ONE), behind=GOAWAY), "OK"),
        ("a PING", "RFC 9113, 6.7", at.ping, "answered"),
        ("a sender that lets no answer through keeps no other out", "RFC 9113, 5.2", at.unread, "OK"),
    ]


# As a client: what a backend answers first; after that it takes everything.
AGAIN, DROPPED, TAKEN, SPLIT = "sent again", "dropped", "taken", "split and sent"

HTTP_ANSWERS = [
    ("200", (200, {}, b""), TAKEN, "Success"),
    ("200 with records rejected", (200, {}, logs_service_pb2.ExportLogsServiceResponse(
        partial_success=logs_service_pb2.ExportLogsPartialSuccess(rejected_log_records=1, error_message="no")).SerializeToString()), TAKEN, "Partial Success"),
    ("202", (202, {}, b""), TAKEN, "Success"),
    ("400", (400, {}, b""), DROPPED, "Bad Data"),
    ("401", (401, {}, b""), DROPPED, "Failures"),
    ("403", (403, {}, b""), DROPPED, "Failures"),
    ("404", (404, {}, b""), DROPPED, "Failures"),
    ("413", (413, {}, b""), SPLIT, "no rule; a backend's words for too large"),
    ("429", (429, {}, b""), AGAIN, "Retryable Response Codes"),
    ("429, come back in 1 s", (429, {"retry-after": "1"}, b""), AGAIN, "OTLP/HTTP Throttling"),
    ("500", (500, {}, b""), DROPPED, "Retryable Response Codes"),
    ("501", (501, {}, b""), DROPPED, "Retryable Response Codes"),
    ("502", (502, {}, b""), AGAIN, "Retryable Response Codes"),
    ("503", (503, {}, b""), AGAIN, "Retryable Response Codes"),
    ("503, come back in 1 s", (503, {"retry-after": "1"}, b""), AGAIN, "OTLP/HTTP Throttling"),
    ("504", (504, {}, b""), AGAIN, "Retryable Response Codes"),
    ("the connection is closed without an answer", None, AGAIN, "All Other Responses"),
]

RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
GRPC_ANSWERS = [("OK", ("OK", False), TAKEN, "Success")]
GRPC_ANSWERS += [(code.name, (code.name, False), AGAIN if code.name in RETRYABLE else DROPPED, "Failures")
                 for code in grpc.StatusCode if code.name != "OK"]
GRPC_ANSWERS += [("RESOURCE_EXHAUSTED with RetryInfo", ("RESOURCE_EXHAUSTED", True), AGAIN, "OTLP/gRPC Throttling"),
                 ("UNAVAILABLE with RetryInfo", ("UNAVAILABLE", True), AGAIN, "OTLP/gRPC Throttling")]


# What a backend does below gRPC with the first request.
GRPC_ANSWERS += [
    ("GOAWAY that leaves the stream out", "leaves out", AGAIN, "RFC 9113, 6.8"),
    ("GOAWAY behind the answer", "goes behind", TAKEN, "RFC 9113, 6.8"),
    ("RST_STREAM, refused", "refuses", AGAIN, "RFC 9113, 8.7"),
    ("RST_STREAM, cancelled", "cancels", AGAIN, "gRPC over HTTP/2, Errors"),
    ("a request that is read late", "reads late", TAKEN, "RFC 9113, 5.2"),
    ("an answer byte by byte", "answers slowly", TAKEN, "RFC 9113, 5.2"),
]


class HttpBackend:
    """Answers once as it is told and then takes everything; keeps how many records each request had."""

    def __init__(self, first):
        backend = self
        self.seen, self.first = [], first

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                backend.seen.append(count(body))
                answer = backend.first if len(backend.seen) == 1 else (200, {}, b"")
                if answer is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"content-type": PROTOBUF, "content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class GrpcBackend:
    """The same over gRPC."""

    def __init__(self, first):
        self.seen = []
        code, again = first

        def export(message, context):
            self.seen.append(count(message))
            if len(self.seen) == 1 and code != "OK":
                if again:
                    status = status_pb2.Status(code=getattr(grpc.StatusCode, code).value[0])
                    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=200_000_000)))
                    context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
                context.abort(getattr(grpc.StatusCode, code), "no")
            return b""

        handler = grpc.method_handlers_generic_handler(LOGS.split("/")[1], {"Export": grpc.unary_unary_rpc_method_handler(export)})
        self.server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[handler], options=[("grpc.so_reuseport", 0)])
        self.endpoint = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def stop(self):
        self.server.stop(0)


class FrameBackend:
    """Does something below gRPC with the first request, and then takes everything."""

    def __init__(self, first):
        self.seen, self.first = [], first
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        stream.sendall(connection.data_to_send())
        if self.first == "reads late" and not self.seen:
            time.sleep(1)
        bodies = {}
        with stream:
            while data := stream.recv(65_536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    if isinstance(event, h2.events.StreamEnded) and not self.answer(stream, connection, event.stream_id, bodies.pop(event.stream_id)):
                        return
                stream.sendall(connection.data_to_send())
                if self.first == "goes behind" and len(self.seen) == 1:
                    # It said that it goes: what still comes is not read.
                    return

    def answer(self, stream, connection, number, body):
        """False where the connection ends."""
        message = gzip.decompress(body[5:]) if body[0] else body[5:]
        self.seen.append(count(message))
        first = self.first if len(self.seen) == 1 else None
        if first == "leaves out":
            connection.close_connection(last_stream_id=0)
            stream.sendall(connection.data_to_send())
            return False
        if first in ("refuses", "cancels"):
            connection.reset_stream(number, h2.errors.ErrorCodes.REFUSED_STREAM if first == "refuses" else h2.errors.ErrorCodes.CANCEL)
            return True
        connection.send_headers(number, [(":status", "200"), ("content-type", "application/grpc")])
        connection.send_data(number, frame(b""))
        connection.send_headers(number, [("grpc-status", "0")], end_stream=True)
        if first == "answers slowly":
            for byte in connection.data_to_send():
                stream.sendall(bytes([byte]))
                time.sleep(0.01)
        if first == "goes behind":
            stream.sendall(connection.data_to_send())
            connection.close_connection(last_stream_id=number)
        return True

    def stop(self):
        self.listener.close()


def grpc_backend(first):
    return FrameBackend(first) if isinstance(first, str) else GrpcBackend(first)


def count(message):
    request = logs_service_pb2.ExportLogsServiceRequest.FromString(message)
    return sum(len(scope.log_records) for group in request.resource_logs for scope in group.scope_logs)


def became(backend):
    """What became of the two records that a backend was sent."""
    match backend.seen:
        case []:
            return "nothing came"
        case [2]:
            # The case says whether that one was taken.
            return "once"
        case [2, 2]:
            return AGAIN
        case [2, *parts] if sum(parts) == 2:
            return SPLIT
        case other:
            return f"requests of {other}"


def settled(backends, seconds):
    """Waits: whoever sends again does it within this time, and whoever does not can only be waited for."""
    time.sleep(seconds)
    return [became(backend) for backend in backends]
