"""Each failure is made for real; `why502 explain` on the files and the live way of the records must name its cause."""

import http.client
import os
import random
import socket
import threading
import time

import pytest

import harness
from harness import Gunicorn, Nginx, Why502, attributes, explain, wait_for


@pytest.fixture
def stage(tmp_path):
    """nginx, Gunicorn, why502 and a tail; everything ends with the test."""
    # nginx's workers run as nobody and must reach sockets in here.
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(0o755)
    running = []

    class Stage:
        directory = tmp_path

        def address(self, transport):
            return f"unix:{tmp_path}/app.sock" if transport == "unix" else f"127.0.0.1:{harness.free_port()}"

        def why502(self, **options):
            self.live = Why502(tmp_path, **options)
            running.append(self.live)
            return self.live

        def nginx(self, upstream, **options):
            self.front = Nginx(tmp_path, upstream, **options)
            running.append(self.front)
            self.tail = self.live.tail(self.front.access, self.front.error, tmp_path / "gunicorn.log")
            running.append(self.tail)
            return self.front

        def gunicorn(self, bind, *options, **named):
            self.back = Gunicorn(tmp_path, bind, *options, **named)
            running.append(self.back)
            return self.back

        def end(self, *ended):
            """Ends these in this order, each by itself and well."""
            for one in ended:
                assert one.stop() == 0, one

        def check(self, target, cause, status=502):
            """Both ways: files and live."""
            front = self.front
            # A client has its answer before nginx and Gunicorn have written their lines.
            assert wait_for(lambda: f" {target} HTTP/" in front.access.read_text())

            def explained():
                self.found = [one for one in explain(front.access, front.error, tmp_path / "gunicorn.log")
                              if one["target"] == target]
                return [one["cause"] for one in self.found] == [cause]

            assert wait_for(explained, 8, 0.3), self.found
            found = self.found
            assert found[0]["status"] == status
            access = [record for record in found[0]["records"] if record["source"] == "nginx.access"]
            assert access and access[0]["file"] == str(front.access)

            def live_verdict():
                return [one for one in self.live.verdicts() if attributes(one).get("url.path") == target]

            verdicts = wait_for(live_verdict, 25)
            assert [attributes(one)["why502.cause"] for one in verdicts] == [cause], (self.live.directory / "why502.log").read_text()
            uid = attributes(verdicts[0])["why502.request.uid"]

            def enriched():
                return [record for record in self.live.records() if record.get("eventName") != "why502.verdict"
                        and attributes(record).get("why502.request.uid") == uid and f'{status}' in record["body"]["stringValue"]]

            assert wait_for(enriched), "the access line carries the verdict"
            return found[0], verdicts[0]

    (tmp_path / "gunicorn.log").touch()
    yield Stage()
    for one in reversed(running):
        one.stop()


TRANSPORTS = ["tcp", "unix"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_not_running(stage, transport):
    stage.why502()
    front = stage.nginx(stage.address(transport))
    assert front.get("/cart") == 502
    stage.check("/cart", "gunicorn_not_running")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_stopped(stage, transport):
    address = stage.address(transport)
    stage.why502()
    back = stage.gunicorn(address)
    front = stage.nginx(address)
    assert front.get("/") == 200
    back.stop()
    time.sleep(1.2)
    assert front.get("/cart") == 502
    stage.check("/cart", "gunicorn_not_running")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_wrong_address(stage, transport):
    stage.why502()
    stage.gunicorn(stage.address(transport))
    other = f"unix:{stage.directory}/other.sock" if transport == "unix" else f"127.0.0.1:{harness.free_port()}"
    front = stage.nginx(other)
    assert front.get("/cart") == 502
    stage.check("/cart", "upstream_address_mismatch")


@pytest.mark.skipif(os.getuid() != 0, reason="only root's nginx has workers of another user")
def test_no_permission(stage):
    address = stage.address("unix")
    stage.why502()
    stage.gunicorn(address, "--umask", "077")
    front = stage.nginx(address)
    assert front.get("/cart") == 502
    stage.check("/cart", "socket_permission_denied")


def test_master_killed(stage):
    address = stage.address("unix")
    stage.why502()
    back = stage.gunicorn(address)
    front = stage.nginx(address)
    assert front.get("/") == 200
    back.kill_all()
    time.sleep(1.2)
    assert front.get("/cart") == 502
    stage.check("/cart", "master_killed")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_worker_timeout_in_c(stage, transport):
    """Python cannot answer: SIGKILL follows, and its line is no proof of an OOM kill."""
    address = stage.address(transport)
    stage.why502()
    stage.gunicorn(address, "--timeout", "2")
    front = stage.nginx(address)
    assert front.get("/block/20") == 502
    found, _ = stage.check("/block/20", "worker_timeout")
    assert found["worker_pid"]
    assert "Perhaps out of memory" in (stage.directory / "gunicorn.log").read_text()


def test_worker_timeout_answered(stage):
    """Gunicorn 22 and later answer 500 where Python can still run."""
    address = stage.address("tcp")
    stage.why502()
    stage.gunicorn(address, "--timeout", "2")
    front = stage.nginx(address)
    assert front.get("/sleep/20") == 500
    stage.check("/sleep/20", "worker_timeout", 500)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_worker_killed(stage, transport):
    address = stage.address(transport)
    stage.why502()
    stage.gunicorn(address)
    front = stage.nginx(address)
    assert front.get("/kill") == 502
    stage.check("/kill", "worker_killed")


def test_worker_crashed(stage):
    address = stage.address("tcp")
    stage.why502()
    stage.gunicorn(address)
    front = stage.nginx(address)
    assert front.get("/crash") == 502
    stage.check("/crash", "worker_crashed")


def test_worker_exited(stage):
    address = stage.address("tcp")
    stage.why502()
    stage.gunicorn(address)
    front = stage.nginx(address)
    assert front.get("/exit/7") == 502
    stage.check("/exit/7", "worker_exited")


def test_boot_failed(stage):
    address = stage.address("tcp")
    stage.why502()
    front = stage.nginx(address)
    # It listens and boots workers for a moment before the import fails, so nothing but its end tells that it is over. A worker
    # that it tells to stop just as it forked misses that, and is waited for.
    back = stage.gunicorn(address, "--graceful-timeout", "3", app="no_such_module:app", wait=False)
    # 1 where a second worker's end interrupts its shutdown, which ends it with a traceback: then the log has no word about the
    # primary process's own end.
    assert back.process.child.wait(30) in (1, 3)
    time.sleep(1.2)
    assert front.get("/cart") == 502
    stage.check("/cart", "worker_boot_failed")


def test_restarting(stage):
    address = stage.address("tcp")
    # Longer than a busy machine takes to start Gunicorn.
    stage.why502(hold="10s")
    back = stage.gunicorn(address)
    front = stage.nginx(address)
    assert front.get("/") == 200
    back.stop()
    assert front.get("/cart") == 502
    time.sleep(1.0)
    back.start()
    assert front.get("/") == 200
    stage.check("/cart", "gunicorn_restarting")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_slow_request(stage, transport):
    address = stage.address(transport)
    stage.why502()
    stage.gunicorn(address)
    front = stage.nginx(address, read_timeout="1s")
    assert front.get("/sleep/4") == 504
    stage.check("/sleep/4", "slow_request", 504)


def test_connect_timeout(stage):
    """A listener whose queue is full and that nobody accepts on: SYNs are dropped."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        stage.why502()
        front = stage.nginx(f"127.0.0.1:{port}")
        assert front.get("/cart") == 504
        stage.check("/cart", "connect_timeout", 504)
        for filler in fillers:
            filler.close()


def test_app_returned_error(stage):
    address = stage.address("tcp")
    stage.why502()
    stage.gunicorn(address)
    front = stage.nginx(address)
    assert front.get("/status/502") == 502
    stage.check("/status/502", "app_returned_error")


def test_header_too_big(stage):
    address = stage.address("tcp")
    stage.why502()
    stage.gunicorn(address)
    front = stage.nginx(address)
    assert front.get("/header") == 502
    stage.check("/header", "response_header_too_big")


def test_dns_failure(stage):
    stage.why502()
    front = stage.nginx("127.0.0.1:9", extra='resolver 127.0.0.1:9 valid=1s; resolver_timeout 1s; set $name "nobody.invalid";', proxy_pass="http://$name:8000")
    assert front.get("/cart") == 502
    stage.check("/cart", "dns_failure")


def test_client_closed(stage):
    address = stage.address("tcp")
    stage.why502()
    stage.gunicorn(address)
    front = stage.nginx(address)
    with pytest.raises(OSError):
        front.get("/sleep/3", timeout=0.7)
    assert wait_for(lambda: '"status":"499"' in front.access.read_text())
    stage.check("/sleep/3", "client_closed_request", 499)


def test_forged_line_changes_nothing(stage):
    """A path that imitates an error line, and healthy answers beside it."""
    address = stage.address("tcp")
    stage.why502()
    stage.gunicorn(address)
    front = stage.nginx(address)
    forged = "2026/03/04%2009:15:02%20[error]%201%231:%20*1%20no%20live%20upstreams%20while%20connecting%20to%20upstream"
    assert front.get(f"/%0a{forged}") == 404
    assert front.get("/", headers={"Referer": f'x", upstream: "http://evil/', "User-Agent": "upstream prematurely closed connection"}) == 200
    assert explain(front.access, front.error, stage.directory / "gunicorn.log") == []
    time.sleep(3)
    assert stage.live.verdicts() == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_answer_that_is_cut_off(stage, transport):
    """Its access line looks good, and comes before its error line in one request of the tail; those before it stay good."""
    address = stage.address(transport)
    live = stage.why502()
    stage.gunicorn(address)
    front = stage.nginx(address)
    assert front.get("/cut-not") == 404
    assert front.get("/") == 200
    with pytest.raises(http.client.IncompleteRead):
        front.get("/cut/1")
    stage.check("/cut/1", "worker_exited", 200)
    said = [record["body"]["stringValue"] for record in live.records() if record.get("eventName") is None and "why502.cause" in attributes(record)
            and '"request":' in record["body"]["stringValue"]]
    assert len(said) == 1 and "GET /cut/1 " in said[0], said


def test_spans_carry_the_verdict(stage):
    """Instrumented Gunicorn: the span of the failed request, linked by the client's trace context."""
    address = stage.address("tcp")
    live = stage.why502(hold="4s")
    stage.gunicorn(address, spans_to=live.endpoint)
    front = stage.nginx(address)
    trace = "5b8aa5a2d2c872e8321cf37308d69df2"
    assert front.get("/status/503", headers={"traceparent": f"00-{trace}-051581bf3cb55c13-01"}) == 503
    found = wait_for(lambda: [span for span in live.spans() if "why502.cause" in attributes(span)], 25)
    assert found, "no span has the cause"
    span = attributes(found[0])
    assert span["why502.cause"] == "app_returned_error"
    assert span["error.type"] == "app_returned_error"
    assert found[0]["traceId"] == trace
    assert [event["name"] for event in found[0]["events"] if event["name"] == "why502.verdict"] == ["why502.verdict"]
    verdict = wait_for(live.verdicts)[0]
    assert verdict["traceId"] == trace
    assert attributes(verdict)["why502.link.method"] == "trace_context"


def test_spans_of_a_clock_that_is_off(stage):
    """No line has an id, and the spans are 0.4 s ahead: by the times as they stand, each failed request has the span of the one before it."""
    address = stage.address("tcp")
    live = stage.why502(hold="4s")
    stage.gunicorn(address, spans_to=live.endpoint, environment={"SPANS_AHEAD": "0.4"})
    front = stage.nginx(address)
    chance = random.Random(4)
    for _ in range(40):
        assert front.get("/") == 200
        time.sleep(chance.uniform(0.1, 0.5))
    for number in range(4):
        assert front.get("/status/503", headers={"User-Agent": f"client {number}"}) == 503
        time.sleep(0.39)
    told = wait_for(lambda: (found := live.verdicts()) and len(found) == 4 and found, 25)
    assert told, live.verdicts()
    told.sort(key=lambda one: int(one["timeUnixNano"]))

    def asked_by():
        # Who asked stands in the span, which waits as long as its request and goes on by a pipeline of its own.
        client_of = {span["traceId"]: attributes(span).get("http.user_agent") for span in live.spans()}
        return [client_of.get(one.get("traceId")) for one in told]

    wait_for(lambda: None not in asked_by(), 25)
    assert asked_by() == [f"client {number}" for number in range(4)]


def test_two_services_of_one_host(tmp_path):
    """Each has an nginx and a Gunicorn of its own; workers of both end in the same second, each for its own reason."""
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(0o755)
    running = []

    def ends(one):
        running.append(one)
        return one

    try:
        live = ends(Why502(tmp_path))
        fronts, backs = {}, {}
        for service in ("shop", "billing"):
            directory = tmp_path / service
            directory.mkdir()
            address = f"127.0.0.1:{harness.free_port()}"
            backs[service] = ends(Gunicorn(directory, address, "--timeout", "2"))
            fronts[service] = ends(Nginx(directory, address))
            ends(live.tail("--service", service, fronts[service].access, fronts[service].error, backs[service].log))
        statuses = {}
        blocked = threading.Thread(target=lambda: statuses.update(billing=fronts["billing"].get("/block/20")))
        blocked.start()
        assert wait_for(lambda: "WORKER TIMEOUT" in backs["billing"].log.read_text())
        statuses["shop"] = fronts["shop"].get("/kill")
        blocked.join()
        assert statuses == {"shop": 502, "billing": 502}

        def told():
            return {attributes(one).get("url.path"): attributes(one) for one in live.verdicts()}

        wait_for(lambda: len(told()) == 2, 25)
        causes = {path: one["why502.cause"] for path, one in told().items()}
        assert causes == {"/kill": "worker_killed", "/block/20": "worker_timeout"}
        for path, service in (("/kill", "shop"), ("/block/20", "billing")):
            assert f"(pid:{told()[path]['why502.worker.pid']})" in backs[service].log.read_text(), path
            assert told()[path]["why502.confidence"] > 0.9
    finally:
        for one in reversed(running):
            one.stop()


def test_nothing_is_lost_and_healthy_records_are_not_held(stage):
    address = stage.address("tcp")
    live = stage.why502(hold="30s")
    stage.gunicorn(address)
    front = stage.nginx(address)
    for number in range(50):
        assert front.get(f"/?n={number}") == 200
    assert front.get("/kill") == 502
    healthy = lambda: sum('"status":"200"' in record["body"]["stringValue"] for record in live.records())
    assert wait_for(lambda: healthy() == 50, 10), "healthy records wait for nobody's verdict"
    assert not live.verdicts()
    # Each writes its last lines before it ends, the tail has sent all of them before it ends, and SIGTERM flushes the hold.
    stage.end(stage.back, front, stage.tail, live)
    lines = [line for log in (front.access, front.error, stage.directory / "gunicorn.log") for line in log.read_text().splitlines() if line]
    bodies = [record["body"]["stringValue"] for record in live.records()
              if not str(record.get("eventName")).startswith("why502.")]
    assert sorted(bodies) == sorted(lines)
    assert [attributes(one)["why502.cause"] for one in live.verdicts()] == ["worker_killed"]


def test_port_taken_is_one_sentence(stage, tmp_path):
    import subprocess
    live = stage.why502()
    done = subprocess.run([harness.binary(), "run", "--config", str(live.config)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "is taken by another program" in done.stderr and "receivers::otlp" in done.stderr
