"""A real kube-apiserver reads every manifest that we ship, with strict validation of its fields, and stores none of it."""

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest
import yaml

from conftest import DEPLOY, PROGRAMS
from harness import Process, free_port, wait_for
from test_chart import MODES, render

TOKEN = "admin-of-a-test"


class Cluster:
    """etcd and kube-apiserver, without a kubelet or a controller: what is stored stays as it is."""

    def __init__(self, directory):
        self.running = []
        store, peer, self.port = free_port(), free_port(), free_port()
        self.keep(Process(["etcd", "--data-dir", str(directory / "etcd"), "--listen-client-urls", f"http://127.0.0.1:{store}",
                           "--advertise-client-urls", f"http://127.0.0.1:{store}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                           "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}",
                           "--unsafe-no-fsync"], directory / "etcd.log"))
        key = directory / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (directory / "tokens").write_text(f'{TOKEN},admin,1,"system:masters"\n')
        self.log = directory / "apiserver.log"
        self.keep(Process([str(PROGRAMS / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{store}", f"--secure-port={self.port}",
                           "--bind-address=127.0.0.1", f"--cert-dir={directory}/certificates", f"--service-account-key-file={key}",
                           f"--service-account-signing-key-file={key}", "--service-account-issuer=https://kubernetes.default.svc",
                           "--authorization-mode=RBAC", f"--token-auth-file={directory}/tokens",
                           "--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=10.96.0.0/16"], self.log))
        if not wait_for(lambda: self.call("GET", "/readyz")[0] == 200, 90, 0.5):
            self.stop()
            raise RuntimeError(self.log.read_text()[-4000:])

    def keep(self, process):
        self.running.append(process)

    def stop(self):
        for one in reversed(self.running):
            one.stop()

    def call(self, method, path, body=None):
        """Status and answer; status 0 where nobody listens yet."""
        call = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", method=method,
                                      data=None if body is None else json.dumps(body).encode(),
                                      headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
        # It has made its certificate itself a moment ago.
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        try:
            with urllib.request.urlopen(call, timeout=30, context=trusting) as answer:
                text = answer.read().decode()
                return answer.status, text
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def resources(self, api):
        """Plural names of a group's kinds, and whether they are in a namespace."""
        status, text = self.call("GET", f"/api/{api}" if "/" not in api else f"/apis/{api}")
        if status != 200:
            return {}
        return {one["kind"]: (one["name"], one["namespaced"]) for one in json.loads(text)["resources"] if "/" not in one["name"]}

    def offer(self, manifest, namespace="default"):
        """Offers a manifest without storing it."""
        known = self.resources(manifest["apiVersion"]).get(manifest["kind"])
        assert known, f"the API server has no {manifest['apiVersion']} {manifest['kind']}"
        plural, is_namespaced = known
        api = manifest["apiVersion"]
        base = f"/api/{api}" if "/" not in api else f"/apis/{api}"
        where = f"/namespaces/{namespace}" if is_namespaced else ""
        status, text = self.call("POST", f"{base}{where}/{plural}?dryRun=All&fieldValidation=Strict", manifest)
        return status, json.loads(text)

    def define(self, definition):
        """Stores the definition of a kind that an operator brings, and waits for it."""
        status, text = self.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        assert status == 201, text
        spec = definition["spec"]
        api = f"{spec['group']}/{spec['versions'][0]['name']}"
        assert wait_for(lambda: spec["names"]["kind"] in self.resources(api), 30), api


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    definitions = PROGRAMS / "prometheus-operator"
    for name in ("servicemonitors", "prometheusrules"):
        made.define(yaml.safe_load((definitions / f"monitoring.coreos.com_{name}.yaml").read_text()))
    yield made
    made.stop()


def manifests(text):
    return [one for one in yaml.safe_load_all(text) if one]


def taken(cluster, one):
    """That the API server takes a manifest whole, without a warning."""
    one.get("metadata", {}).pop("namespace", None)
    status, answer = cluster.offer(one)
    assert status == 201, f"{one['kind']} {one['metadata']['name']}: {answer.get('message')}"
    return answer


@pytest.mark.parametrize("mode", MODES)
def test_the_api_server_takes_what_the_chart_renders(cluster, mode):
    rendered = manifests(render(mode))
    assert len(rendered) >= 2
    for one in rendered:
        taken(cluster, one)
    if mode == "everything":
        assert {"ServiceMonitor", "PrometheusRule", "NetworkPolicy", "PodDisruptionBudget"} <= {one["kind"] for one in rendered}


def test_the_api_server_takes_the_plain_manifests(cluster):
    for one in manifests((DEPLOY / "kubernetes" / "sidecar.yaml").read_text()):
        answer = taken(cluster, one)
        if one["kind"] == "Deployment":
            spec = answer["spec"]["template"]["spec"]
            # It knows them for sidecars: they keep their policy and their probe.
            assert [(of["name"], of["restartPolicy"]) for of in spec["initContainers"]] == [("why502", "Always"), ("why502-tail", "Always")]
            assert spec["initContainers"][0]["startupProbe"]["httpGet"]["path"] == "/livez"


@pytest.mark.parametrize("name", ["kubernetes", "kubernetes/overlay"])
def test_the_api_server_takes_what_kustomize_builds(cluster, name, tmp_path):
    if name == "kubernetes":
        folder = DEPLOY / "kubernetes"
    else:
        folder = overlay(tmp_path)
    done = subprocess.run([str(PROGRAMS / "kustomize"), "build", "--load-restrictor", "LoadRestrictionsNone", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = manifests(done.stdout)
    for one in built:
        taken(cluster, one)
    deployment, = [one for one in built if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert [one["name"] for one in pod["initContainers"]] == ["why502", "why502-tail"]
    assert {"nginx", "app"} == {one["name"] for one in pod["containers"]}


def overlay(directory):
    """An application of somebody's own, with the component."""
    (directory / "deployment.yaml").write_text("""apiVersion: apps/v1
kind: Deployment
metadata: {name: mine, labels: {why502: sidecar}}
spec:
  selector: {matchLabels: {app: mine}}
  template:
    metadata: {labels: {app: mine}}
    spec:
      containers:
        - {name: nginx, image: "nginx:1", volumeMounts: [{name: logs, mountPath: /logs}]}
        - {name: app, image: "mine:1", volumeMounts: [{name: logs, mountPath: /logs}]}
""")
    # Kustomize takes no absolute path.
    component = os.path.relpath(DEPLOY / "kubernetes" / "component", directory)
    (directory / "kustomization.yaml").write_text(f"resources: [deployment.yaml]\ncomponents: [{component}]\n")
    return directory


def test_the_api_server_refuses_what_is_wrong(cluster):
    """That the tests above could fail."""
    deployment, = [one for one in manifests(render("gateway")) if one["kind"] == "Deployment"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["livenessProb"] = container.pop("livenessProbe")
    status, answer = cluster.offer(deployment)
    assert status == 400 and 'unknown field "spec.template.spec.containers[0].livenessProb"' in answer["message"]
    container.pop("livenessProb")
    container["ports"][0]["containerPort"] = 99_999
    status, answer = cluster.offer(deployment)
    assert status == 422 and "must be between 1 and 65535" in answer["message"]
