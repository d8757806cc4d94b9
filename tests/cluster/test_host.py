"""On a host: systemd's own look at the units, what the service manager is told, and what the packages hold."""

import json
import os
import re
import signal
import socket

import pytest

from conftest import DEPLOY, ROOT, Watched, run, succeed
from harness import Process, binary, wait_for

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PACKAGES = ROOT / "target" / "package"
CONFIG = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:{grpc}"}, http: {endpoint: "127.0.0.1:{http}"}}}}
exporters: {file: {path: {out}}}
service: {pipelines: {logs: {receivers: [otlp], exporters: [file]}}}
"""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_a_unit(unit, tmp_path):
    # Where the package puts the program there is none.
    text = unit.read_text().replace("/usr/bin/why502", binary())
    for other in UNITS:
        (tmp_path / other.name).write_text(other.read_text().replace("/usr/bin/why502", binary()))
    (tmp_path / unit.name).write_text(text)
    done = run("systemd-analyze", "verify", "--man=no", tmp_path / unit.name)
    told = [line for line in done.stderr.splitlines() if "why502" in line]
    assert done.returncode == 0 and not told, done.stderr
    exposed = succeed("systemd-analyze", "security", "--offline=true", tmp_path / unit.name)
    level = float(re.search(r"Overall exposure level.*: ([0-9.]+)", exposed).group(1))
    assert level < 2.0, exposed


class Manager:
    """The socket by which systemd is told."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(15)

    def told(self):
        return self.socket.recv(4096).decode().strip()


def test_the_service_manager_is_told(tmp_path, monkeypatch, started):
    manager = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
    live = Watched(tmp_path, CONFIG)
    assert manager.told() == "READY=1"
    # Reload, as ExecReload has it: it goes on.
    live.process.signal(signal.SIGHUP)
    assert wait_for(lambda: "read anew" in live.log.read_text())
    log = tmp_path / "access.log"
    log.write_text("a line\n")
    tail = started(Process([binary(), "tail", "--to", f"http://127.0.0.1:{live.grpc}", str(log)], tmp_path / "tail.log"))
    assert manager.told() == "READY=1"
    assert tail.stop() == 0
    assert manager.told() == "STOPPING=1"
    assert live.stop() == 0
    assert manager.told() == "STOPPING=1"


def test_without_a_service_manager_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    live = Watched(tmp_path, CONFIG)
    assert live.stop() == 0


def test_the_bill_of_materials_names_what_is_linked():
    told = json.loads(succeed("python3", DEPLOY / "sbom.py"))
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.5")
    names = {one["name"] for one in told["components"]}
    assert {"tokio", "tonic", "rustls", "prometheus"} <= names
    assert not {"proptest", "divan", "prost-build"} & names, "what only tests and builds need"
    assert all(one["hashes"] and one["licenses"] for one in told["components"])
    refs = {told["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in told["components"])}
    assert all(set(one["dependsOn"]) <= refs and one["ref"] in refs for one in told["dependencies"])
    assert told == json.loads(succeed("python3", DEPLOY / "sbom.py")), "the same of the same"


def packages(ending):
    return sorted(PACKAGES.glob(f"*.{ending}")) if PACKAGES.is_dir() else []


@pytest.mark.skipif(not packages("deb"), reason="deploy/packages.sh builds them")
def test_the_deb_holds_program_units_pages_and_a_configuration(tmp_path):
    deb, = packages("deb")
    listed = succeed("dpkg-deb", "--contents", deb)
    for path in ("./usr/bin/why502", "./usr/lib/systemd/system/why502.service", "./usr/lib/systemd/system/why502-tail.service",
                 "./etc/why502/config.yaml", "./usr/share/man/man1/why502-run.1.gz", "./usr/share/bash-completion/completions/why502",
                 "./usr/share/why502/prometheus/rules.yaml"):
        assert path in listed.replace("./lib/systemd", "./usr/lib/systemd"), (path, listed)
    succeed("dpkg-deb", "--extract", deb, tmp_path)
    program = tmp_path / "usr" / "bin" / "why502"
    assert succeed(program, "--version").startswith("why502 ")
    succeed(program, "validate", "--config", tmp_path / "etc" / "why502" / "config.yaml")
    succeed("dpkg-deb", "--control", deb, tmp_path / "control")
    assert (tmp_path / "control" / "conffiles").read_text().strip() == "/etc/why502/config.yaml"
    scripts = "".join(path.read_text() for path in (tmp_path / "control").glob("p*"))
    assert "why502.service" in scripts
    print(f"deb: {os.path.getsize(deb) / 1e6:.1f} MB")


@pytest.mark.skipif(not packages("rpm"), reason="deploy/packages.sh builds them")
def test_the_rpm_holds_the_same(tmp_path):
    rpm, = packages("rpm")
    # Its lead, and the names of its files as they stand in its header.
    raw = rpm.read_bytes()
    assert raw[:4] == b"\xed\xab\xee\xdb"
    for name in (b"why502-tail.service", b"config.yaml", b"why502-run.1", b"rules.yaml"):
        assert name in raw
    print(f"rpm: {len(raw) / 1e6:.1f} MB")
