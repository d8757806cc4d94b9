"""The recipes, as far as this machine has what they are for: real collectors with their configurations, their log formats in a
real NGINX, and the requests that they make."""

import datetime
import json
import re
import time

import pytest
import yaml

import harness
import peers
from conftest import DEPLOY, Watched
from harness import Gunicorn, Nginx, attributes, explain, free_port, wait_for

RECIPES = DEPLOY / "recipes"
CONFIG = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:{grpc}"}, http: {endpoint: "127.0.0.1:{http}"}}}}
processors: {why502: {hold: 3s}}
exporters: {file: {path: {out}}}
service:
  pipelines:
    logs: {receivers: [otlp], processors: [why502], exporters: [file]}
    traces: {receivers: [otlp], processors: [why502], exporters: [file]}
"""


def recipe(name):
    return list(yaml.safe_load_all((RECIPES / name).read_text()))


def collector_of(config, directory, live):
    """A recipe's collector on this machine: other folders and endpoints, without what our build of it has not."""
    config.pop("extensions", None)
    config["service"].pop("extensions", None)
    config.pop("processors", None)
    for pipeline in config["service"]["pipelines"].values():
        pipeline.pop("processors", None)
    exporter = config["exporters"]["otlp/why502"]
    exporter["endpoint"] = f"127.0.0.1:{live.grpc}"
    exporter.pop("sending_queue", None)
    config["receivers"]["otlp"] = {"protocols": {"grpc": {"endpoint": "{grpc}"}}}
    files = config["receivers"]["filelog"]
    files["include"] = [re.sub(r"^/(var/log/pods|logs)/", f"{directory}/", path) for path in files["include"]]
    # Files are there before it looks.
    files["start_at"] = "beginning"
    files["poll_interval"] = "100ms"
    # JSON is YAML, and what it appends fits a flow that is left open.
    text = yaml.safe_dump(config, sort_keys=False)
    head, service = text.split("\nservice:\n")
    return peers.Collector(directory.parent, f"{head}\nservice:\n{service}".rstrip("\n"))


def a_failure(tmp_path, started):
    """Real NGINX before a Gunicorn that is gone; the lines of both."""
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(0o755)
    back = Gunicorn(tmp_path, f"127.0.0.1:{free_port()}")
    front = started(Nginx(tmp_path, back.bind))
    assert front.get("/") == 200
    back.stop()
    # Gunicorn\'s last lines are a restart\'s first, were the request to come at once.
    time.sleep(1.2)
    assert front.get("/cart") == 502
    time.sleep(0.2)
    return {"access.log": front.access, "error.log": front.error, "gunicorn.log": back.log}


def cri(path, stream):
    """Lines as containerd writes them."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return "".join(f"{stamp} {stream} F {line}\n" for line in path.read_text().splitlines() if line)


def blamed(live):
    return [attributes(one) for one in harness.records(live.out) if one.get("eventName") == "why502.verdict"]


def test_the_collector_on_every_node(tmp_path, started):
    live = started(Watched(tmp_path, CONFIG))
    logs = a_failure(tmp_path, started)
    pods = tmp_path / "pods"
    for pod, container, parts in (
        ("shop_edge-6d4cf56db6-x2x9k_0f3e1d52-2a0d-4f7a-8a5e-d1d2b7a3a001", "nginx", [("access.log", "stdout"), ("error.log", "stderr")]),
        ("shop_app-7c9f5b6d8-abcde_0f3e1d52-2a0d-4f7a-8a5e-d1d2b7a3a002", "gunicorn", [("gunicorn.log", "stderr")]),
    ):
        folder = pods / pod / container
        folder.mkdir(parents=True)
        (folder / "0.log").write_text("".join(cri(logs[name], stream) for name, stream in parts))
    started(collector_of(recipe("collector-daemonset.yaml")[0]["config"], pods, live))
    found = wait_for(lambda: blamed(live), 25)
    assert [one["why502.cause"] for one in found] == ["gunicorn_not_running"], found
    groups = [group for request in harness.requests(live.out) for group in request.get("resourceLogs", [])]
    names = {attributes(group["resource"]).get("k8s.pod.name") for group in groups}
    assert {"edge-6d4cf56db6-x2x9k", "app-7c9f5b6d8-abcde"} <= names


def test_the_operators_collector_in_every_pod(tmp_path, started):
    live = started(Watched(tmp_path, CONFIG))
    logs = a_failure(tmp_path, started)
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, path in logs.items():
        (folder / name).write_text(path.read_text())
    started(collector_of(recipe("otel-operator.yaml")[0]["spec"]["config"], folder, live))
    found = wait_for(lambda: blamed(live), 25)
    assert [one["why502.cause"] for one in found] == ["gunicorn_not_running"], found


@pytest.mark.parametrize("name", ["nginx-gateway-fabric", "ingress-nginx"])
def test_the_log_format_of_an_ingress_in_a_real_nginx(name, tmp_path, started, monkeypatch):
    read = recipe(f"{name}.yaml")[0]
    text = read["spec"]["logging"]["accessLog"]["format"] if "spec" in read else read["controller"]["config"]["log-format-upstream"]
    # Variables of modules that this NGINX has not.
    for variable, stands_for in (("$otel_trace_id", "$http_x_trace"), ("$opentelemetry_trace_id", "$http_x_trace"), ("$req_id", "$request_id")):
        text = text.replace(variable, stands_for)
    monkeypatch.setattr(harness, "LOG_FORMAT", f"log_format rich escape=json '{text}';")
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(0o755)
    back = started(Gunicorn(tmp_path, f"127.0.0.1:{free_port()}"))
    front = started(Nginx(tmp_path, back.bind))
    trace = "5b8aa5a2d2c872e8321cf37308d69df2"
    assert front.get("/kill", headers={"x-trace": trace}) == 502
    assert front.get("/", headers={"x-trace": trace}) == 200
    told = wait_for(lambda: [one for one in explain(front.access, front.error, back.log) if one["type"] == "request"])
    assert [(one["cause"], one["target"], one["status"], one["trace_id"]) for one in told] == [("worker_killed", "/kill", 502, trace)]


def test_the_request_that_vector_makes(tmp_path, started):
    live = started(Watched(tmp_path, CONFIG))
    logs = a_failure(tmp_path, started)
    source = recipe("vector.yaml")[0]["transforms"]["otlp"]["source"]
    for path in logs.values():
        for line in path.read_text().splitlines():
            made = source.removeprefix(". = ").replace("to_string(to_unix_timestamp(now(), unit: \"nanoseconds\"))", json.dumps(str(time.time_ns())))
            made = made.replace(".path}", json.dumps(str(path)) + "}").replace(".message", json.dumps(line))
            assert peers.post(f"http://127.0.0.1:{live.http}/v1/logs", json.loads(made)) == 200
    found = wait_for(lambda: blamed(live), 25)
    assert [one["why502.cause"] for one in found] == ["gunicorn_not_running"], found


def test_every_recipe_is_told_of_and_reads():
    index = (RECIPES / "README.md").read_text()
    for path in sorted(RECIPES.glob("*.yaml")):
        assert f"]({path.name})" in index
        assert all(isinstance(one, dict) for one in recipe(path.name))
