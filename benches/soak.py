"""The driver of soak.sh: why502 between senders that retry and two backends, of which one fails in every way in turn.

Every record has a number. What was acknowledged must arrive at both backends, however often they failed; what arrives twice
is counted. In the end the balance of why502's own counters is shown beside what the senders and backends counted. With a
journal it may be killed as often as one likes, and starts again where it was.
"""

import argparse
import pathlib
import random
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
# The number of a record stands in a target, so that lines of nginx carry it.
NUMBER = re.compile(rb"/n/(\d+)")
# One in so many records is of a request that failed, and is held for its verdict.
FAILING = 10
BATCH = 50

CONFIG = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:PORT"}}}}
processors: {why502: {hold: 2s}}
exporters:
  otlp/steady: {endpoint: "http://127.0.0.1:STEADY", sending_queue: {STORAGE}}
  otlp/flapping: {endpoint: "http://127.0.0.1:FLAPPING", timeout: 2s, retry_on_failure: {initial_interval: 200ms, max_interval: 2s}, sending_queue: {STORAGE}}
memory: {limit: LIMIT}
service:
  pipelines:
    logs: {receivers: [otlp], processors: [why502], exporters: [otlp/steady, otlp/flapping]}
"""


class Backend:
    """Counts each number that it took; `mode` says how it fails."""

    def __init__(self):
        self.port, self.mode, self.lock = free_port(), "takes", threading.Lock()
        self.seen, self.twice = bytearray(), 0
        self.server = None
        self.start()

    def start(self):
        handler = grpc.unary_unary_rpc_method_handler(self.export)
        service = grpc.method_handlers_generic_handler(LOGS.split("/")[1], {"Export": handler})
        options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        self.server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[service], options=options)
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def stop(self):
        self.server.stop(0).wait()

    def export(self, message, context):
        mode = self.mode
        if mode == "hangs":
            time.sleep(5)
        if mode == "refuses" or mode == "hangs":
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if mode == "takes half and says no":
            self.count(message)
            context.abort(grpc.StatusCode.UNAVAILABLE, "taken, and you will never know")
        self.count(message)
        return b""

    def count(self, message):
        request = ExportLogsServiceRequest.FromString(message)
        with self.lock:
            for record in (record for group in request.resource_logs for scope in group.scope_logs for record in scope.log_records):
                if record.event_name.startswith("why502."):
                    continue
                found = NUMBER.search(record.body.string_value.encode())
                number = int(found[1])
                if number >= len(self.seen):
                    self.seen.extend(bytes(max(1 << 20, number + 1 - len(self.seen))))
                self.twice += self.seen[number]
                self.seen[number] = 1


def request(first):
    """Records from this number on; the failing ones are access lines of 502s."""
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    records = []
    for number in range(first, first + BATCH):
        status = 502 if number % FAILING == 0 else 200
        line = f'10.0.0.1 - - [{stamp}] "GET /n/{number} HTTP/1.1" {status} 157 "-" "soak"'
        records.append(LogRecord(body=AnyValue(string_value=line), time_unix_nano=time.time_ns()))
    name = [KeyValue(key="host.name", value=AnyValue(string_value=f"host-{first // BATCH % 3}"))]
    group = ResourceLogs(resource=Resource(attributes=name), scope_logs=[ScopeLogs(log_records=records)])
    return ExportLogsServiceRequest(resource_logs=[group]).SerializeToString()


class Sender(threading.Thread):
    """Sends one request after the other, each until it is acknowledged or refused for good."""

    def __init__(self, port, numbers, rate, over):
        super().__init__(daemon=True)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.call = self.channel.unary_unary(LOGS)
        self.numbers, self.pause, self.over = numbers, BATCH / rate, over
        self.acknowledged, self.refused, self.lost = [], 0, 0

    def run(self):
        due = time.monotonic()
        while not self.over.is_set():
            first = self.numbers()
            message = request(first)
            while True:
                try:
                    self.call(message, timeout=30)
                    self.acknowledged.append(first)
                    break
                except grpc.RpcError as error:
                    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                        self.lost += 1
                        print(f"refused for good: {error.code().name} {error.details()}", file=sys.stderr)
                        break
                    self.refused += 1
                    time.sleep(0.2)
                    if self.over.is_set():
                        break
            due += self.pause
            time.sleep(max(0.0, due - time.monotonic()))


def flap(backend, over, seed):
    """Each way to fail for a while, and a good while between."""
    chance = random.Random(seed)
    while not over.wait(chance.uniform(2, 8)):
        mode = chance.choice(["refuses", "hangs", "takes half and says no", "is gone"])
        if mode == "is gone":
            backend.stop()
            over.wait(chance.uniform(1, 10))
            backend.start()
        else:
            backend.mode = mode
            over.wait(chance.uniform(1, 10))
            backend.mode = "takes"


class Why502:
    """Runs on one port, and starts anew where it was killed."""

    def __init__(self, program, config, log):
        self.command, self.log, self.kills = [program, "run", "--config", config], log, 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1
        self.start()


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3600)
    options.add_argument("--rate", type=float, default=4000, help="records a second of all senders")
    options.add_argument("--limit", default="160MiB", help="memory::limit")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--journal", metavar="BYTES", help="journal::max_bytes; without it there is none")
    options.add_argument("--kill", type=float, metavar="SECONDS", help="kill -9 about so often; needs --journal")
    options.add_argument("--why502", default=str(ROOT / "target/release/why502"))
    chosen = options.parse_args()
    if chosen.kill and not chosen.journal:
        options.error("--kill loses what is in memory; add --journal 256MiB")
    steady, flapping, port = Backend(), Backend(), free_port()
    over, senders_over = threading.Event(), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "why502.yaml"
        text = CONFIG.replace("PORT", str(port)).replace("STEADY", str(steady.port)).replace("FLAPPING", str(flapping.port))
        text = text.replace("LIMIT", chosen.limit).replace("STORAGE", "storage: journal" if chosen.journal else "")
        if chosen.journal:
            text += f'journal: {{directory: "{folder}/journal", max_bytes: {chosen.journal}}}\n'
        config.write_text(text)
        log = open(pathlib.Path(folder) / "why502.log", "w+")
        why502, chance = Why502(chosen.why502, config, log), random.Random(chosen.seed)
        try:
            assert wait_for(lambda: listens(port)), "why502 does not listen"
            lock, next_number = threading.Lock(), [0]

            def numbers():
                with lock:
                    next_number[0] += BATCH
                    return next_number[0] - BATCH

            senders = [Sender(port, numbers, chosen.rate / 4, senders_over) for _ in range(4)]
            trouble = threading.Thread(target=flap, args=(flapping, over, chosen.seed), daemon=True)
            for thread in [*senders, trouble]:
                thread.start()
            began, most, killed = time.monotonic(), 0, time.monotonic()
            while time.monotonic() - began < chosen.seconds:
                time.sleep(min(10, chosen.seconds / 10))
                most = max(most, resident_mib(why502.process.pid))
                taken = sum(len(sender.acknowledged) for sender in senders) * BATCH
                print(f"{time.monotonic() - began:7.0f} s: {taken} acknowledged, {resident_mib(why502.process.pid)} MiB", flush=True)
                if chosen.kill and time.monotonic() - killed > chosen.kill * chance.uniform(0.5, 1.5):
                    why502.kill()
                    killed = time.monotonic()
            senders_over.set()
            for sender in senders:
                sender.join()
            over.set()
            trouble.join()
            flapping.mode = "takes"
            acknowledged = [number for sender in senders for first in sender.acknowledged for number in range(first, first + BATCH)]

            def missing(backend):
                return sum(1 for number in acknowledged if number >= len(backend.seen) or not backend.seen[number])

            wait_for(lambda: missing(steady) + missing(flapping) == 0, 120)
            why502.process.send_signal(signal.SIGTERM)
            why502.process.wait(30)
            gone = {"steady": missing(steady), "flapping": missing(flapping)}
            log.seek(0)
            said = [line for line in log.read().splitlines() if "taken" in line or "dropped" in line]
            refused = sum(sender.refused for sender in senders)
            lost = sum(sender.lost for sender in senders)
            print(f"{len(acknowledged)} records acknowledged, {refused} requests asked to come back, {lost} refused for good, killed {why502.kills} times; most {most} MiB")
            print(f"missing: {gone}; twice: steady {steady.twice}, flapping {flapping.twice}")
            print("\n".join(said[-3:]))
            return 1 if any(gone.values()) or lost or why502.process.returncode else 0
        finally:
            if why502.process.poll() is None:
                why502.process.kill()
            steady.stop()
            flapping.stop()


if __name__ == "__main__":
    sys.exit(main())
