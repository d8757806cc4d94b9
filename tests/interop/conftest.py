"""The stage of these tests: real nginx and Gunicorn as in tests/process, why502, and the real collector and Jaeger."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "process"))

import harness  # noqa: E402
import peers  # noqa: E402


class Stage:
    """What a test starts, in one directory; the test's end stops it, newest first."""

    def __init__(self, directory):
        self.directory = directory
        self.running = []
        self.access_log = "access.log"
        (directory / "gunicorn.log").touch()

    def run(self, process):
        self.running.append(process)
        return process

    def why502(self, **options):
        self.live = self.run(harness.Why502(self.directory, **options))
        return self.live

    def collector(self, text, **options):
        return self.run(peers.Collector(self.directory, text, **options))

    def jaeger(self):
        return self.run(peers.Jaeger(self.directory))

    def gunicorn(self, *options, **named):
        """Gunicorn on a free port; its spans go to why502 with `spans=True`."""
        if named.pop("spans", False):
            named["spans_to"] = self.live.endpoint
        self.back = self.run(harness.Gunicorn(self.directory, f"127.0.0.1:{harness.free_port()}", *options, **named))
        return self.back

    def nginx(self, **options):
        """nginx before that Gunicorn."""
        self.front = self.run(harness.Nginx(self.directory, self.back.bind, **options))
        return self.front

    @property
    def logs(self):
        """Those that a tail or a collector follows."""
        return [self.directory / name for name in (self.access_log, "error.log", "gunicorn.log")]

    def tail(self):
        return self.run(self.live.tail(*self.logs))

    def end_of_lines(self):
        """Gunicorn and nginx write their last lines and end: from here on the logs are what they are."""
        for one in (self.back, self.front):
            one.stop()

    def lines(self, *logs):
        """All lines of the logs in order, without what a file-log receiver strips."""
        return sorted(line.strip() for log in logs or self.logs for line in log.read_text().splitlines() if line.strip())

    def close(self):
        for one in reversed(self.running):
            one.stop()


@pytest.fixture
def stage(tmp_path):
    # nginx's workers run as nobody and must reach sockets in here.
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(0o755)
    made = Stage(tmp_path)
    yield made
    made.close()
