"""Measures `receivers: kafka` and `exporters: kafka`; benches/kafka.sh runs it."""

import http.client
import os
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "process"), str(TESTS / "interop")]

import lines  # noqa: E402
from broker import Broker  # noqa: E402
from harness import Process, binary, free_port, wait_for  # noqa: E402

MESSAGES = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
RECORDS = 500


def seconds(process):
    """User and system time of a process."""
    fields = Path(f"/proc/{process.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(directory, name, text):
    config = directory / f"{name}.yaml"
    config.write_text(text + '\nweb: {endpoint: ""}\n')
    return Process([binary(), "run", "--config", str(config)], directory / f"{name}.log")


def reading(broker, group, exporter, settings, processors="[why502]", topic="in"):
    return f"""receivers:
  kafka: {{brokers: ["{broker.endpoint}"], initial_offset: earliest, group_id: {group}, logs: {{topics: [{topic}]}}, max_fetch_size: 8MiB, max_partition_fetch_size: 2MiB}}
processors: {{why502: {{hold: 2s}}}}
exporters: {{{exporter}: {settings}}}
service: {{pipelines: {{logs: {{receivers: [kafka], processors: {processors}, exporters: [{exporter}]}}}}}}"""


def until_read(broker, group, topic="in"):
    if not wait_for(lambda: broker.lag(group, topic) == 0, 300, 0.2):
        raise RuntimeError(f"{group} did not read everything")


def show(what, records, cpu, wall):
    print(f"{what:<58} {records / cpu:>12,.0f} records/s a core   {records / wall:>10,.0f} records/s   {cpu:.2f} s of {wall:.1f} s")


def read(broker, directory, what, exporter, settings, group, processors="[why502]"):
    began = time.time()
    live = start(directory, group, reading(broker, group, exporter, settings, processors))
    until_read(broker, group)
    show(what, MESSAGES * RECORDS, seconds(live), time.time() - began)
    live.stop(30)


def write(broker, directory, bodies, what, topic, more=""):
    port = free_port()
    live = start(directory, topic, f"""receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}
exporters: {{kafka: {{brokers: ["{broker.endpoint}"], logs: {{topic: {topic}}}{more}}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [kafka]}}}}}}""")
    wait_for(lambda: "takes OTLP" in (directory / f"{topic}.log").read_text())
    connection = http.client.HTTPConnection("127.0.0.1", port)
    began, sent = time.time(), 0
    while sent < MESSAGES:
        connection.request("POST", "/v1/logs", bodies[sent % len(bodies)], {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            sent += 1
        else:
            time.sleep(0.05)
    # Small ones are joined, so that messages cannot be counted: all is there when nothing has come for a second.
    end = sum(broker.end(topic).values())
    while True:
        cpu, wall = seconds(live), time.time() - began
        time.sleep(1)
        if sum(broker.end(topic).values()) == end:
            break
        end = sum(broker.end(topic).values())
    live.stop(30)
    found = sum(message.value().count(b"/item/") for message in broker.messages(topic, seconds=120))
    assert found == MESSAGES * RECORDS, found
    show(what, MESSAGES * RECORDS, cpu, wall)


with tempfile.TemporaryDirectory() as folder:
    directory = Path(folder)
    broker = Broker(directory / "broker")
    try:
        broker.topics("in", "out", "plain", "keyed")
        now = time.time()
        requests = [lines.healthy(f"shop-{number % 16}", RECORDS, now, first=number) for number in range(64)]
        bodies = [request.SerializeToString() for request in requests]
        print(f"{MESSAGES} messages of {RECORDS} access lines, {sum(map(len, bodies)) // len(bodies)} bytes each, {binary()}")
        broker.produce("in", ((f"shop-{number % 16}", bodies[number % len(bodies)]) for number in range(MESSAGES)))
        into = '{brokers: ["%s"], logs: {topic: out}}' % broker.endpoint
        read(broker, directory, "in: Kafka -> why502 -> (nobody)", "debug", "{}", "in")
        read(broker, directory, "in and out: Kafka -> why502 -> Kafka", "kafka", into, "both")
        read(broker, directory, "in and out, untouched: Kafka -> relay -> Kafka", "kafka", into, "relay", "[]")
        write(broker, directory, bodies, "out: OTLP/HTTP -> relay -> Kafka", "plain")
        write(broker, directory, bodies, "out with keys and lz4: OTLP/HTTP -> relay -> Kafka", "keyed", ", partition_by: [service.name], producer: {compression: lz4}")
        for count in (1, 2, 4):
            group = f"several{count}"
            began = time.time()
            live = [start(directory, f"{group}-{number}", reading(broker, group, "kafka", into)) for number in range(count)]
            until_read(broker, group)
            cpu = sum(map(seconds, live))
            show(f"{count} instance{'s' if count > 1 else ''}: Kafka -> why502 -> Kafka", MESSAGES * RECORDS, cpu, time.time() - began)
            for one in live:
                one.stop(30)
    finally:
        broker.stop()
