"""Records of the SDKs that people have: Python, Go, Node and Java, by each of their exporters and compressions."""

import subprocess
from collections import Counter

import pytest

from harness import ROOT, wait_for

SOURCES, WORK = ROOT / "tests" / "interop" / "sdk", ROOT / ".work"
# More than one batch of each.
COUNT = 600

SENDERS = {
    "python": ([WORK / "venv/bin/python", SOURCES / "send.py"], 5),
    "go": ([WORK / "bin/otel-sdk"], 4),
    "node": (["node", WORK / "sdk/node/send.js"], 6),
    "java": (["java", "-cp", f"{WORK}/sdk/java/lib/*", SOURCES / "java/Send.java"], 4),
}


@pytest.mark.parametrize("language", SENDERS)
def test_every_record_arrives_once(stage, language):
    live = stage.why502()
    command, ways = SENDERS[language]
    ports = [f"http://127.0.0.1:{port}" for port in (live.grpc, live.http)]
    ended = subprocess.run([*map(str, command), *ports, str(COUNT)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr

    def bodies():
        return [record["body"]["stringValue"] for record in live.records()]

    wait_for(lambda: len(bodies()) >= ways * COUNT)
    seen = Counter(bodies())
    assert set(seen.values()) == {1} and len(seen) == ways * COUNT, ended.stderr
    assert len({body.rsplit(" ", 1)[0] for body in seen}) == ways
