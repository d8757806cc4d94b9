"""What the tests of this folder share: the processes of tests/process, the peers of tests/interop, and a why502 that is
watched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in ("process", "interop"):
    sys.path.insert(0, str(HERE.parent / folder))

import harness  # noqa: E402
from harness import ROOT, Process, binary, free_port, wait_for  # noqa: E402

PROGRAMS = ROOT / ".work" / "bin"
DEPLOY = ROOT / "deploy"


def run(*command, **options):
    """A command to its end, with what it says."""
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=options.pop("timeout", 300), **options)


def succeed(*command, **options):
    """The same, which must succeed; its standard output."""
    done = run(*command, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Watched:
    """why502 with a configuration of which the ports are free ones: `{grpc}`, `{http}`, `{probes}`, `{metrics}`, `{out}`."""

    def __init__(self, directory, text, name="why502"):
        self.directory = Path(directory)
        self.out = self.directory / f"{name}.jsonl"
        self.log = self.directory / f"{name}.log"
        self.config = self.directory / f"{name}.yaml"
        for key in ("grpc", "http", "probes", "metrics"):
            setattr(self, key, free_port())
            text = text.replace(f"{{{key}}}", str(getattr(self, key)))
        self.config.write_text(text.replace("{out}", str(self.out)))
        self.process = Process([binary(), "run", "--config", str(self.config)], self.log)
        ready = wait_for(lambda: run(binary(), "health", "--config", self.config).returncode == 0)
        if not ready:
            self.stop()
            raise RuntimeError(self.log.read_text())

    def stop(self):
        return self.process.stop(30)


@pytest.fixture
def started(tmp_path):
    """Keeps what a test starts and ends it, newest first."""
    running = []

    def keep(process):
        running.append(process)
        return process

    yield keep
    for one in reversed(running):
        one.stop()


@pytest.fixture(scope="session")
def static_program():
    """why502 as one static file."""
    named = os.environ.get("WHY502_STATIC")
    if not named:
        pytest.skip("WHY502_STATIC names no static program; tests/cluster.sh builds one")
    return Path(named)


__all__ = ["DEPLOY", "HERE", "PROGRAMS", "ROOT", "Watched", "harness", "run", "succeed"]
