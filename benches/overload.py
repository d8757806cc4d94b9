"""The driver of slow.sh and overload.sh: senders that retry, and a backend that is slower than they are.

Every record has a number. What was acknowledged must arrive; what arrives twice is counted, and so is what the process takes of
memory. The backend is a process of its own, and marks each number that it took in a file that both see.
"""

import argparse
import collections
import mmap
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "process"))

from harness import free_port, listens, wait_for  # noqa: E402
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue  # noqa: E402
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs  # noqa: E402
from opentelemetry.proto.resource.v1.resource_pb2 import Resource  # noqa: E402

LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
# The number of the request and of the record in it, of one length each: a request is made of another by replacing.
NUMBER = re.compile(rb"n=(\d{8})(\d{4})")
BLANK = b"n=NNNNNNNN"
# A byte counts to 255, by far more often than anything is sent again.
ONE_MORE = bytes(min(count + 1, 255) for count in range(256))
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)

WHY502 = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:PORT"}}}}
processors: {why502: {hold: 2s}}
exporters: {otlp: {endpoint: "http://127.0.0.1:SINK", compression: none, timeout: 60s QUEUE}}
memory: {limit: LIMITMiB}
service: {pipelines: {logs: {receivers: [otlp], processors: [why502], exporters: [otlp]}}}
"""
JOURNAL = "journal: {directory: FOLDER/journal, max_bytes: 8GiB}\n"
# As its documentation has it: a fifth of the limit is kept for spikes, and the collector of garbage knows four fifths.
COLLECTOR = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:PORT", max_recv_msg_size_mib: 64}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: LIMIT, spike_limit_mib: SPIKE}}
exporters:
  otlp_grpc: {endpoint: "127.0.0.1:SINK", tls: {insecure: true}, compression: none, timeout: 60s, retry_on_failure: {max_elapsed_time: 0}}
service:
  telemetry: {metrics: {level: none}, logs: {level: error}}
  pipelines: {logs: {receivers: [otlp], processors: [memory_limiter], exporters: [otlp_grpc]}}
"""


class Backend:
    """Takes so long for each request, or so many bytes a second, and marks what it took."""

    def __init__(self, marks, batch, delay, rate):
        self.marks, self.batch, self.delay, self.rate = marks, batch, delay, rate
        self.lock, self.due = threading.Lock(), 0.0

    def export(self, message, context):
        pause = self.delay
        if self.rate:
            with self.lock:
                now = time.monotonic()
                self.due = max(self.due, now) + len(message) / self.rate
                pause = max(pause, self.due - now)
        time.sleep(pause)
        with self.lock:
            self.mark(message)
        return b""

    def mark(self, message):
        first = NUMBER.search(message)
        # A whole request, as most are.
        if first and b"why502." not in message and message.count(b"n=" + first[1]) == self.batch == message.count(b"n="):
            at = int(first[1]) * self.batch
            self.marks[at : at + self.batch] = self.marks[at : at + self.batch].translate(ONE_MORE)
            return
        request = ExportLogsServiceRequest.FromString(message)
        for record in (record for group in request.resource_logs for scope in group.scope_logs for record in scope.log_records):
            if record.event_name.startswith("why502."):
                continue
            found = NUMBER.search(record.body.string_value.encode())
            at = int(found[1]) * self.batch + int(found[2])
            self.marks[at] = min(self.marks[at] + 1, 255)


def serve(port, path, batch, delay, rate):
    """The backend's process."""
    with open(path, "r+b") as file:
        backend = Backend(mmap.mmap(file.fileno(), 0), batch, delay, rate)
    handler = grpc.unary_unary_rpc_method_handler(backend.export)
    service = grpc.method_handlers_generic_handler(LOGS.split("/")[1], {"Export": handler})
    server = grpc.server(futures.ThreadPoolExecutor(64), handlers=[service], options=OPTIONS)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    server.stop(0).wait()


def template(batch, failing):
    """A request whose number is still to be written."""
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    records = []
    for number in range(batch):
        status = 502 if failing and number % failing == failing - 1 else 200
        line = f'10.0.0.1 - - [{stamp}] "GET /things HTTP/1.1" {status} 157 "-" "{BLANK.decode()}{number:04}"'
        records.append(LogRecord(body=AnyValue(string_value=line), time_unix_nano=time.time_ns()))
    name = [KeyValue(key="host.name", value=AnyValue(string_value="host"))]
    group = ResourceLogs(resource=Resource(attributes=name), scope_logs=[ScopeLogs(log_records=records)])
    return ExportLogsServiceRequest(resource_logs=[group]).SerializeToString()


class Load:
    """What all senders share: which request is next, and how fast they may go."""

    def __init__(self, count, offered):
        self.lock, self.next, self.count, self.offered = threading.Lock(), 0, count, offered
        self.due, self.bytes, self.over = time.monotonic(), 0, threading.Event()
        self.acknowledged, self.refused, self.lost, self.said = [], 0, 0, collections.Counter()

    def number(self):
        with self.lock:
            if self.next >= self.count or self.over.is_set():
                return None
            self.next += 1
            return self.next - 1

    def pace(self, size):
        with self.lock:
            self.bytes += size
            if not self.offered:
                return
            self.due = max(self.due, time.monotonic() - 1) + size / self.offered
            wait = self.due - time.monotonic()
        time.sleep(max(0.0, wait))


def send(load, port, blank):
    """One request after the other, each until it is acknowledged or refused for good."""
    call = grpc.insecure_channel(f"127.0.0.1:{port}", options=[*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]).unary_unary(LOGS)
    while (number := load.number()) is not None:
        message = blank.replace(BLANK, b"n=%08d" % number)
        while not load.over.is_set():
            load.pace(len(message))
            try:
                call(message, timeout=60)
                load.acknowledged.append(number)
                break
            except grpc.RpcError as error:
                load.said[f"{error.code().name}: {error.details()}"[:160]] += 1
                if error.code() not in AGAIN:
                    load.lost += 1
                    break
                load.refused += 1
                time.sleep(0.1)


def memory_mib(pid, what):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    return 0


def measure(chosen, program):
    """Runs one program under the load; returns what came of it."""
    count = -(-chosen.records // chosen.batch)
    blank = template(chosen.batch, chosen.failing)
    sink, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        marks = pathlib.Path(folder) / "marks"
        with open(marks, "wb") as file:
            file.truncate(count * chosen.batch)
        words = [sys.executable, __file__, "--serve", sink, marks, chosen.batch, chosen.delay, chosen.rate * 1e6]
        backend = subprocess.Popen([str(word) for word in words])
        config = pathlib.Path(folder) / "config.yaml"
        text = WHY502 if program == "why502" else COLLECTOR
        text += JOURNAL if chosen.journal and program == "why502" else ""
        queue = ", sending_queue: {storage: journal}" if chosen.journal else ""
        for name, value in (("PORT", port), ("SINK", sink), ("LIMIT", chosen.limit), ("SPIKE", chosen.limit // 5), ("FOLDER", folder), (" QUEUE", queue)):
            text = text.replace(name, str(value))
        config.write_text(text)
        command = [chosen.why502, "run", "--config", config] if program == "why502" else [chosen.collector, f"--config={config}"]
        environment = {**os.environ, "GOMEMLIMIT": f"{chosen.limit * 4 // 5}MiB"}
        log = open(pathlib.Path(folder) / "log", "w+")
        assert wait_for(lambda: listens(sink)), "the backend does not listen"
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, env=environment)
        try:
            assert wait_for(lambda: listens(port)), log.seek(0) or log.read()
            load = Load(count, chosen.offered * 1e6)
            senders = [threading.Thread(target=send, args=(load, port, blank), daemon=True) for _ in range(chosen.senders)]
            began = time.monotonic()
            for sender in senders:
                sender.start()
            told = began
            while any(sender.is_alive() for sender in senders) and time.monotonic() - began < chosen.seconds:
                time.sleep(0.5)
                if time.monotonic() - told >= 15:
                    told = time.monotonic()
                    taken = len(load.acknowledged) * chosen.batch
                    print(f"{program} {told - began:6.0f} s: {taken:,} acknowledged, {memory_mib(process.pid, 'VmRSS:'):.0f} MiB", flush=True)
            seconds = time.monotonic() - began
            load.over.set()
            for sender in senders:
                sender.join()
            offered, asked = load.bytes, load.refused
            # It recovers by itself: half of what the backend takes is soon refused no more.
            after = None
            if chosen.offered:
                later = Load(count, chosen.rate * 1e6 / 2)
                later.next = load.next
                threads = [threading.Thread(target=send, args=(later, port, blank), daemon=True) for _ in range(chosen.senders)]
                for thread in threads:
                    thread.start()
                time.sleep(20)
                before = later.refused
                time.sleep(10)
                after = later.refused - before
                later.over.set()
                for thread in threads:
                    thread.join()
                load.acknowledged += later.acknowledged
                load.lost += later.lost
            with open(marks, "rb") as file:
                seen = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

            def missing():
                return sum(seen[at * chosen.batch : (at + 1) * chosen.batch].count(0) for at in load.acknowledged)

            alive = process.poll() is None
            wait_for(lambda: process.poll() is not None or missing() == 0, 300)
            drained = time.monotonic() - began - seconds
            most, rest = (memory_mib(process.pid, "VmHWM:"), memory_mib(process.pid, "VmRSS:")) if alive else (0, 0)
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            records, again = len(load.acknowledged) * chosen.batch, 0
            for at in load.acknowledged:
                part = seen[at * chosen.batch : (at + 1) * chosen.batch]
                again += sum(part) - (chosen.batch - part.count(0)) if part.count(1) < chosen.batch else 0
            log.seek(0)
            said = [line for line in log.read().splitlines() if "dropped" in line or "error" in line.lower()]
            return {
                "seconds": f"{seconds:.0f}",
                "offered": f"{offered / seconds / 1e6:.1f} MB/s",
                "records acknowledged": f"{records:,}",
                "requests asked to come back": f"{asked:,}",
                "refused for good": f"{load.lost:,}",
                "acknowledged and missing": f"{missing():,}",
                "delivered again": f"{again:,}",
                "most memory (limit)": f"{most:.0f} ({chosen.limit}) MiB",
                "memory after it": f"{rest:.0f} MiB",
                "asked to come back after it, in 10 s": "-" if after is None else f"{after:,}",
                "waited for the rest": f"{drained:.0f} s",
                "_missing": missing(),
                "_said": [*(f"{count} times {text}" for text, count in load.said.most_common(3)), *said[-2:]],
            }
        finally:
            for one in (process, backend):
                if one.poll() is None:
                    one.kill()
                one.wait()


def main():
    if sys.argv[1:2] == ["--serve"]:
        _, _, port, path, batch, delay, rate = sys.argv
        return serve(int(port), path, int(batch), float(delay), float(rate))
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--records", type=int, default=30_000_000)
    options.add_argument("--batch", type=int, default=8_192)
    options.add_argument("--failing", type=int, default=1_000, help="one in so many records is of a request that failed; 0 is none")
    options.add_argument("--delay", type=float, default=0.0, help="seconds that the backend takes for each request")
    options.add_argument("--rate", type=float, default=0.0, help="MB a second that the backend takes")
    options.add_argument("--offered", type=float, default=0.0, help="MB a second that senders offer; 0 is as fast as it is taken")
    options.add_argument("--seconds", type=float, default=900, help="ends earlier than --records")
    options.add_argument("--senders", type=int, default=12)
    options.add_argument("--limit", type=int, default=256, help="MiB of memory")
    options.add_argument("--journal", action="store_true")
    options.add_argument("--beside", action="store_true", help="the collector with memory_limiter as well")
    options.add_argument("--why502", default=str(ROOT / "target/release/why502"))
    options.add_argument("--collector", default=str(ROOT / ".work/bin/otelcol"))
    chosen = options.parse_args()
    programs = ["why502", "collector"] if chosen.beside else ["why502"]
    results = {program: measure(chosen, program) for program in programs}
    print("| |", " | ".join(programs), "|")
    print("|---|" + "---|" * len(programs))
    for name in (name for name in results["why502"] if not name.startswith("_")):
        print(f"| {name} |", " | ".join(results[program][name] for program in programs), "|")
    for program in programs:
        for line in results[program]["_said"]:
            print(f"{program}: {line}")
    return 1 if results["why502"]["_missing"] else 0


if __name__ == "__main__":
    sys.exit(main())
