"""why502 with its page, and browsers of several kinds before it."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import browser as browsers  # noqa: E402
import stage  # noqa: E402


@pytest.fixture
def why502(tmp_path):
    """Starts one with these settings; the test's end stops it."""
    running = []

    def start(**settings):
        directory = tmp_path / str(len(running))
        directory.mkdir()
        running.append(stage.Why502(directory, **settings))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.stop()


@pytest.fixture
def browser():
    """Opens a browser of this kind; the test's end closes it."""
    opened = []

    def start(**kind):
        directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        opened.append((browsers.Browser(directory.name, **kind), directory))
        return opened[-1][0]

    yield start
    for one, directory in opened:
        one.close()
        directory.cleanup()
