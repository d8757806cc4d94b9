"""The Helm chart: linted, rendered in every mode and compared with what is committed, and what a mistake in its values says."""

import os
import re

import pytest
import yaml

from conftest import DEPLOY, HERE, PROGRAMS, run, succeed
from harness import binary

CHART = DEPLOY / "helm" / "why502"
MODES = sorted(path.stem for path in (HERE / "modes").glob("*.yaml"))
# A bare `go build` of Helm knows no version of Kubernetes.
VERSION = ["--kube-version", "1.34.2"]


def render(mode, *options):
    return succeed(PROGRAMS / "helm", "template", "edge", CHART, "--namespace", "telemetry", *VERSION, "--values",
                   HERE / "modes" / f"{mode}.yaml", *options)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_sound_and_what_it_was(mode):
    lint = succeed(PROGRAMS / "helm", "lint", "--strict", CHART, *VERSION, "--values", HERE / "modes" / f"{mode}.yaml")
    assert "0 chart(s) failed" in lint
    golden = HERE / "golden" / f"{mode}.yaml"
    rendered = render(mode)
    if os.environ.get("WHY502_UPDATE_GOLDEN"):
        golden.write_text(rendered)
    assert rendered == golden.read_text(), f"{golden} differs; WHY502_UPDATE_GOLDEN=1 writes it anew"


@pytest.mark.parametrize("mode", MODES)
def test_its_configuration_is_one_that_why502_takes(mode, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_POD_IP", "127.0.0.1")
    monkeypatch.setenv("API_KEY", "s3cret")
    files = [one["data"]["config.yaml"] for one in yaml.safe_load_all(render(mode)) if one and one["kind"] == "ConfigMap"]
    assert len(files) == (0 if mode == "agent" else 1)
    for number, text in enumerate(files):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        done = run(binary(), "validate", "--config", path)
        if mode == "journal" and "`the file` has no key `journal`" in done.stderr:
            pytest.skip("this why502 has no journal")
        assert done.returncode == 0, done.stderr


def pods(mode):
    for one in yaml.safe_load_all(render(mode)):
        if one and "template" in one.get("spec", {}):
            yield one["spec"]["template"]


@pytest.mark.parametrize("mode", MODES)
def test_every_container_is_locked_in_and_has_a_memory_limit(mode):
    for pod in pods(mode):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        # Logs of containers are root's alone.
        assert spec["securityContext"]["runAsNonRoot"] is (mode != "agent")
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True and context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            if container.get("args", [""])[0] == "run":
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


def test_another_configuration_makes_other_pods():
    (before,), (after,) = pods("gateway"), [
        one["spec"]["template"]
        for one in yaml.safe_load_all(render("gateway", "--set", "config.processors.why502.hold=9s"))
        if one and one["kind"] == "Deployment"
    ]
    key = "checksum/config"
    assert before["metadata"]["annotations"][key] != after["metadata"]["annotations"][key]


def test_a_secret_stands_in_no_manifest():
    text = render("everything")
    assert "${env:API_KEY}" in text and "secretKeyRef" in text


@pytest.mark.parametrize("values, said", [
    ("gatway: {replicas: 2}", "at '': additional properties 'gatway' not allowed"),
    ("gateway: {replica: 2}", "at '/gateway': additional properties 'replica' not allowed"),
    ("mode: daemonset", "at '/mode': value must be one of 'gateway', 'agent', 'sidecar'"),
    ("image: {pullPolicy: always}", "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"),
    ("config: {exporter: {debug: {}}}", "at '/config': additional properties 'exporter' not allowed"),
    ("ports: {health: 99999}", "at '/ports/health': maximum: got 99,999, want 65,535"),
    ("resources: {limit: {memory: 1Gi}}", "at '/resources': additional properties 'limit' not allowed"),
    ("mode: sidecar", "sidecar.app.image is empty: name an image with Gunicorn and your application"),
])
def test_a_mistake_in_the_values_is_one_clear_sentence(values, said, tmp_path):
    path = tmp_path / "values.yaml"
    path.write_text(values)
    done = run(PROGRAMS / "helm", "template", "edge", CHART, *VERSION, "--values", path)
    assert done.returncode == 1 and done.stdout == ""
    told = [line.strip(" -") for line in done.stderr.splitlines() if said in line]
    assert len(told) == 1, done.stderr


def test_what_the_chart_carries_is_what_is_shipped():
    for name in ("rules.yaml", "dashboard.json"):
        assert (CHART / "files" / name).read_text() == (DEPLOY / "prometheus" / name).read_text()
    plain = (DEPLOY / "kubernetes" / "sidecar.yaml").read_text()
    shown = [line.strip() for line in (CHART / "files" / "nginx.conf").read_text().splitlines()]
    assert "\n".join(shown) in "\n".join(line.strip() for line in plain.splitlines())
    cargo = (DEPLOY.parent / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"', cargo, re.M).group(1)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version


def test_plain_manifests_carry_configurations_that_why502_takes(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_POD_IP", "127.0.0.1")
    texts = [(DEPLOY / "kubernetes" / "component" / "config.yaml").read_text()]
    for one in yaml.safe_load_all((DEPLOY / "kubernetes" / "sidecar.yaml").read_text()):
        if one["kind"] == "ConfigMap":
            texts.append(one["data"]["config.yaml"])
    assert len(texts) == 2
    for text in texts + [(DEPLOY / name).read_text() for name in ("container.yaml", "systemd/config.yaml")]:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        succeed(binary(), "validate", "--config", path)
