"""The collector in front: its file-log receiver reads the logs of real failures and sends them to why502."""

import concurrent.futures
import time

import pytest

from harness import attributes, wait_for
from peers import is_own


def follow(stage, operators=None, options="", exporters=None):
    """A collector that follows the logs and sends them to why502. `operators` of a file's name change its lines."""
    exporters = exporters or {"otlp": f'endpoint: "127.0.0.1:{stage.live.grpc}"'}
    receivers = "".join(f"""
  filelog/{log.stem}:
    include: ["{log}"]
    start_at: beginning
    poll_interval: 100ms
    {options}
    operators: [{(operators or {}).get(log.name, "")}]""" for log in stage.logs)
    named = "".join(f"\n  {name}: {{{settings}, tls: {{insecure: true}}}}" for name, settings in exporters.items())
    return stage.collector(f"""receivers:{receivers}
exporters:{named}
service:
  pipelines:
    logs: {{receivers: [{", ".join(f"filelog/{log.stem}" for log in stage.logs)}], exporters: [{", ".join(exporters)}]}}""")


def body(record):
    return record["body"]["stringValue"]


def received(live):
    """Records of the logs as why502 passed them on."""
    return [record for record in live.records() if not is_own(record)]


def all_arrived(stage):
    """Every line once and nothing else; says what differs."""
    stage.end_of_lines()
    wait_for(lambda: sorted(map(body, received(stage.live))) == stage.lines())
    assert sorted(map(body, received(stage.live))) == stage.lines()


def stopped(stage):
    stage.back.stop()
    # Gunicorn's last lines are a restart's first, were the request to come at once.
    time.sleep(1.2)
    return "/cart", "gunicorn_not_running"


def timed_out(stage):
    return "/block/20", "worker_timeout"


def killed(stage):
    return "/kill", "worker_killed"


# File name only is the receiver's default.
@pytest.mark.parametrize("options", ["", "include_file_path: true"], ids=["file_name", "file_path"])
@pytest.mark.parametrize("fault", [stopped, timed_out, killed])
def test_each_record_of_a_failed_request_carries_its_cause(stage, fault, options):
    stage.why502()
    stage.gunicorn("--timeout", "2")
    front = stage.nginx()
    follow(stage, options=options)
    for number in range(20):
        assert front.get(f"/?n={number}") == 200
    target, cause = fault(stage)
    assert front.get(target) == 502

    verdicts = wait_for(stage.live.verdicts, 20)
    assert [attributes(one)["why502.cause"] for one in verdicts] == [cause]
    assert attributes(verdicts[0])["url.path"] == target
    all_arrived(stage)
    uid = attributes(verdicts[0])["why502.request.uid"]
    named = {body(record): attributes(record) for record in received(stage.live) if "why502.cause" in attributes(record)}
    assert {found["why502.cause"] for found in named.values()} == {cause}
    of_request = [line for line in stage.lines() if f" {target} HTTP/" in line]
    # The access line and nginx's error.
    assert len(of_request) == 2
    assert [named[line]["why502.request.uid"] for line in of_request] == [uid, uid]
    assert not [line for line in named if '"status":"200"' in line]
    if fault is not stopped:
        pid = attributes(verdicts[0])["why502.worker.pid"]
        assert [line for line in named if f"(pid:{pid})" in line], "Gunicorn's line about the worker has the cause"


def test_traffic_with_failures_among_it(stage):
    """Some hundred requests at once, some of which kill their worker: each line arrives once, each failure has its cause."""
    stage.why502(hold="4s")
    stage.gunicorn(workers=4)
    front = stage.nginx()
    follow(stage)
    targets = [f"/kill?n={number}" if number % 50 == 25 else f"/?n={number}" for number in range(400)]
    with concurrent.futures.ThreadPoolExecutor(3) as clients:
        answers = dict(zip(targets, clients.map(front.get, targets)))
    failed = sorted(target for target, status in answers.items() if status != 200)
    assert set(failed) >= {target for target in targets if target.startswith("/kill")}

    wait_for(lambda: len(stage.live.verdicts()) >= len(failed), 20)
    all_arrived(stage)
    found = sorted((attributes(one)["url.path"], attributes(one)["why502.cause"]) for one in stage.live.verdicts())
    assert len(found) == len(failed)
    assert {cause for _, cause in found} == {"worker_killed"}


def test_every_protocol_that_the_collector_speaks(stage):
    """Nine exporters at once: every line arrives once from each."""
    live = stage.why502(hold="1s")
    stage.gunicorn()
    front = stage.nginx()
    kinds = ("none", "gzip", "zstd")
    grpc = {f"otlp/{kind}": f'endpoint: "127.0.0.1:{live.grpc}", compression: {kind}' for kind in kinds}
    http = {f"otlphttp/{kind}": f'endpoint: "http://127.0.0.1:{live.http}", compression: {kind}' for kind in kinds}
    json = {f"otlphttp/json_{kind}": f'endpoint: "http://127.0.0.1:{live.http}", compression: {kind}, encoding: json' for kind in kinds}
    exporters = {**grpc, **http, **json}
    follow(stage, exporters=exporters)
    for number in range(20):
        assert front.get(f"/?n={number}") == 200
    stage.end_of_lines()
    lines = sorted(stage.lines() * len(exporters))
    wait_for(lambda: len(received(live)) >= len(lines))
    assert sorted(map(body, received(live))) == lines


@pytest.mark.parametrize("protocol", ["otlp", "otlphttp"])
def test_the_collector_sends_again_what_came_while_why502_was_restarted(stage, protocol):
    live = stage.why502(hold="1s")
    stage.gunicorn()
    front = stage.nginx()
    endpoint = f"127.0.0.1:{live.grpc}" if protocol == "otlp" else f"http://127.0.0.1:{live.http}"
    follow(stage, exporters={protocol: f'endpoint: "{endpoint}", retry_on_failure: {{initial_interval: 200ms, max_interval: 1s}}'})
    for number in range(50):
        assert front.get(f"/?before={number}") == 200
    # Whatever it has taken by now it passes on before it ends.
    assert live.stop() == 0
    for number in range(50):
        assert front.get(f"/?while={number}") == 200
    assert front.get("/kill") == 502
    live.start()
    for number in range(50):
        assert front.get(f"/?after={number}") == 200
    verdicts = wait_for(live.verdicts, 20)
    assert [attributes(one)["why502.cause"] for one in verdicts] == ["worker_killed"]
    all_arrived(stage)
