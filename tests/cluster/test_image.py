"""The image: built without an engine, looked into, and run as its user in a network of its own, with nothing but what is in it."""

import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import DEPLOY, ROOT, run, succeed
from harness import Process, wait_for

# What issue and README promise.
IMAGE_BYTES_MAX = 20_000_000
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class Image:
    def __init__(self, directory, program):
        folder = directory / "program"
        folder.mkdir()
        shutil.copy(program, folder / "why502")
        shutil.copy(CERTIFICATES, folder)
        self.storage = ["--storage-driver", "vfs", "--root", str(directory / "storage"), "--runroot", str(directory / "run")]
        # Docker's format has the health check, which OCI's has no place for.
        self.buildah("bud", "--isolation", "chroot", "--format", "docker", "--file", DEPLOY / "Dockerfile", "--target", "prebuilt",
                     "--build-context", f"program={folder}", "--build-arg", "VERSION=0.1.0", "--build-arg", "REVISION=abc",
                     "--tag", "why502:test", ROOT)
        self.config = json.loads(self.buildah("inspect", "--type", "image", "why502:test"))["Docker"]["config"]
        self.container = self.buildah("from", "--pull-never", "why502:test").strip()
        self.mount = self.buildah("mount", self.container).strip()

    def buildah(self, *words):
        return succeed("buildah", *self.storage, *words, cwd=ROOT)

    def files(self):
        return sorted(os.path.relpath(os.path.join(folder, name), self.mount) for folder, _, names in os.walk(self.mount) for name in names)

    def close(self):
        self.buildah("umount", self.container)
        self.buildah("rm", self.container)

    def inside(self, *words):
        """A command line that runs a program of the image, as its user."""
        return ["chroot", f"--userspec={self.config['User']}", self.mount, *words]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    program = os.environ.get("WHY502_STATIC")
    if not program:
        pytest.skip("WHY502_STATIC names no static program; tests/cluster.sh builds one")
    made = Image(tmp_path_factory.mktemp("image"), program)
    yield made
    made.close()


def test_it_says_what_it_is_and_runs_as_nobody_else(image):
    config = image.config
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["/why502"] and config["Cmd"] == ["run", "--config", "/etc/why502/config.yaml"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/why502", "health", "--live", "--config", "/etc/why502/config.yaml"]
    assert set(config["ExposedPorts"]) == {"4317/tcp", "4318/tcp", "8888/tcp", "13133/tcp"}
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert {"title", "description", "licenses", "source"} <= labels.keys()
    assert (labels["version"], labels["revision"]) == ("0.1.0", "abc")


def test_it_is_small_and_holds_one_program(image):
    assert image.files() == ["etc/ssl/certs/ca-certificates.crt", "etc/why502/config.yaml", "why502"]
    size = sum(os.path.getsize(os.path.join(image.mount, name)) for name in image.files())
    print(f"image: {size / 1e6:.1f} MB, of it the program {os.path.getsize(image.mount + '/why502') / 1e6:.1f} MB")
    assert size <= IMAGE_BYTES_MAX
    headers = succeed("readelf", "--program-headers", "--sections", image.mount + "/why502")
    assert "INTERP" not in headers and ".debug_info" not in headers and ".gnu_debuglink" in headers


def test_it_runs_is_healthy_explains_and_ends(image, tmp_path):
    logs = os.path.join(image.mount, "logs")
    shutil.copytree(ROOT / "docs" / "example", logs)
    os.makedirs(os.path.join(image.mount, "etc"), exist_ok=True)
    with open(os.path.join(image.mount, "etc", "hosts"), "w") as hosts:
        hosts.write("127.0.0.1 localhost\n127.0.0.9 backend.test\n")
    out = tmp_path / "out"
    with open(out, "wb") as stdout:
        # A network of its own, so that its ports are free; without `ip` a loopback is brought up by nothing else.
        live = Process(["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
                        *image.inside("/why502", "run", "--config", "/etc/why502/config.yaml")], tmp_path / "log", stdout=stdout)
    try:
        def beside(*words, **options):
            return run("nsenter", "--net", "--target", live.child.pid, *image.inside(*words), **options)

        health = image.config["Healthcheck"]["Test"][1:]
        assert wait_for(lambda: beside(*health).returncode == 0, 20), live.log.read_text()
        assert beside("/why502", "health").returncode == 0
        followed = subprocess.Popen(["nsenter", "--net", "--target", str(live.child.pid),
                                     *image.inside("/why502", "tail", "--from-start", "/logs/*.log")], stderr=subprocess.DEVNULL)
        try:
            assert wait_for(lambda: re.search(r"% sure\)", out.read_text()), 30), live.log.read_text()
        finally:
            followed.terminate()
            followed.wait(20)
        # Names are looked up without the shared libraries that it does not have.
        config = os.path.join(image.mount, "logs", "named.yaml")
        with open(config, "w") as text:
            text.write('receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {otlp: {endpoint: "backend.test:9", tls: {insecure: true}}}\n'
                       "service: {pipelines: {logs: {receivers: [otlp], exporters: [otlp]}}}\n")
        tried = beside("/why502", "validate", "--connect", "--config", "/logs/named.yaml")
        assert "127.0.0.9:9 does not take connections" in tried.stderr, tried.stderr
        status = open(f"/proc/{live.child.pid}/status").read()
        assert re.search(r"^Uid:\s+10001\s", status, re.M) and re.search(r"^Gid:\s+10001\s", status, re.M)
    finally:
        assert live.stop(30) == 0


def test_nothing_of_a_shell_is_needed(image):
    for program in ("sh", "bash", "ls", "cat"):
        assert shutil.which(program, path=":".join(os.path.join(image.mount, folder) for folder in ("bin", "usr/bin", "."))) is None
