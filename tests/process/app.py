"""The application behind Gunicorn: each path fails in one way."""

import ctypes
import os
import signal
import sys
import time

from flask import Flask, Response, request

app = Flask(__name__)

if ahead := float(os.environ.get("SPANS_AHEAD", 0)):
    # The spans of a machine whose clock is so many seconds ahead.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    def export(self, spans, send=OTLPSpanExporter.export):
        for span in spans:
            span._start_time += int(ahead * 1e9)
            span._end_time += int(ahead * 1e9)
        return send(self, spans)

    OTLPSpanExporter.export = export


@app.get("/")
def index():
    return "ok\n"


@app.get("/sleep/<float:seconds>")
@app.get("/sleep/<int:seconds>")
def sleep(seconds):
    """Waits where Python can be interrupted."""
    time.sleep(seconds)
    return "slept\n"


@app.get("/block/<int:seconds>")
def block(seconds):
    """Waits in C and lets no signal through, as a long call into a library may: only SIGKILL ends it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGABRT})
    ctypes.PyDLL(None).sleep(seconds)
    return "blocked\n"


@app.get("/kill")
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
    return "never\n"


@app.get("/crash")
def crash():
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(5)
    return "never\n"


@app.get("/exit/<int:code>")
def leave(code):
    os._exit(code)


@app.get("/leave/<int:code>")
def leave_politely(code):
    sys.exit(code)


@app.get("/hang/<int:seconds>")
def hang(seconds):
    """As `/sleep`; in ASGI workers it stops the event loop."""
    time.sleep(seconds)
    return "hung\n"


@app.get("/cut/<int:code>")
def cut(code):
    """Dies in the middle of the body."""

    def body():
        yield b"x" * 20_000
        time.sleep(0.2)
        os._exit(code)

    return Response(body(), headers={"Content-Length": "100000"})


@app.get("/header")
def header():
    return Response("ok\n", headers={"X-Large": "x" * 60_000})


@app.get("/header-or-status")
def header_or_status():
    """Fails as a header of the request says, which is in no log."""
    return header() if request.headers["X-Fault"] == "header" else status(502)


@app.get("/status/<int:code>")
def status(code):
    return Response("the application says so\n", status=code)


@app.post("/refuse")
def refuse():
    """Answers without reading the body."""
    return Response("too large\n", status=413)


@app.post("/upload")
def upload():
    return Response("ok\n", status=200 if request.data else 400)
