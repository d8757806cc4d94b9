"""The pod of deploy/kubernetes/sidecar.yaml without a kubelet: its programs as processes, started and ended in the order in which
a kubelet starts and ends native sidecars, with the configuration and the commands of the manifest."""

import signal
import time
import urllib.request

import yaml

from conftest import DEPLOY
from harness import Gunicorn, Nginx, Process, attributes, binary, free_port, records, wait_for


def manifest():
    for one in yaml.safe_load_all((DEPLOY / "kubernetes" / "sidecar.yaml").read_text()):
        if one["kind"] == "ConfigMap":
            config = one["data"]["config.yaml"]
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
    return config, pod


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_started_and_ended_in_a_kubelets_order_no_line_is_lost(tmp_path, monkeypatch):
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(0o755)
    monkeypatch.setenv("MY_POD_IP", "127.0.0.1")
    config, pod = manifest()
    grpc, http, health, metrics = (free_port() for _ in range(4))
    for fixed, port in (("4317", grpc), ("4318", http), ("13133", health), ("8888", metrics)):
        config = config.replace(fixed, str(port))
    out = tmp_path / "out.jsonl"
    config = config.replace("  debug:\n", f"  file: {{path: {out}}}\n").replace("[debug]", "[file]")
    (tmp_path / "config.yaml").write_text(config)
    run, tail = pod["initContainers"]
    assert (run["name"], tail["name"]) == ("why502", "why502-tail")

    # First why502, and nothing else before its startup probe is answered; then the tail; then the others.
    probe = run["startupProbe"]["httpGet"]["path"]
    live = Process([binary(), *[word.replace("/etc/why502", str(tmp_path)) for word in run["args"]]], tmp_path / "why502.log")
    assert wait_for(lambda: answers(f"http://127.0.0.1:{health}{probe}"), 30), live.log.read_text()
    assert tail["args"][-1] == "/logs/*.log"
    # In this folder other programs log as well.
    logs = [str(tmp_path / name) for name in ("access.log", "error.log", "gunicorn.log")]
    lines = [*[word.replace("/state/", f"{tmp_path}/") for word in tail["args"][:-1]], *logs, "--to", f"http://127.0.0.1:{grpc}"]
    follower = Process([binary(), *lines], tmp_path / "tail.out")
    back = Gunicorn(tmp_path, f"127.0.0.1:{free_port()}", "--graceful-timeout", "3")
    front = Nginx(tmp_path, back.bind)
    for _ in range(20):
        assert front.get("/") == 200
    # The last thing that happens before the pod ends.
    assert front.get("/kill") == 502

    # The containers get their signal at once; sidecars afterwards, the last first.
    front.process.signal(signal.SIGTERM)
    back.process.signal(signal.SIGTERM)
    assert front.stop() == 0 and back.stop() == 0
    began = time.monotonic()
    assert follower.stop() == 0, follower.log.read_text()
    assert live.stop(30) == 0, live.log.read_text()
    assert time.monotonic() - began < pod["terminationGracePeriodSeconds"]

    found = records(out)
    bodies = sorted(one["body"]["stringValue"] for one in found if not str(one.get("eventName")).startswith("why502."))
    expected = [line for path in (front.access, front.error, back.log) for line in path.read_text().splitlines() if line]
    assert bodies == sorted(expected)
    verdict, = [attributes(one) for one in found if one.get("eventName") == "why502.verdict"]
    assert verdict["why502.cause"] == "worker_killed", verdict
