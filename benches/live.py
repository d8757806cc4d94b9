"""The pipeline's word on log files, in the words of `why502 explain --format json`: what scores the one scores the other.

    benches/live.py explain access.log error.log gunicorn.log --format json --traces traces.jsonl

`why502 tail` sends the files to `why502 run`, after the spans; what comes out is read back. An access line is named by its
file and number, as `explain` names it. With `--apart` each file has a sender of its own, as agents on several hosts are. The
program is WHY502_BIN, else the debug build.
"""

import argparse
import collections
import json
import os
import pathlib
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("WHY502_BIN", str(ROOT / "target" / "debug" / "why502"))
sys.path.insert(0, str(ROOT / "tests" / "process"))

from harness import Process, Why502, attributes, binary, wait_for  # noqa: E402

# Every record is there within the hold of the last, and some.
HOLD = "3s"
QUIET = 1.5


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("command", choices=["explain"])
    options.add_argument("files", nargs="+")
    options.add_argument("--format", choices=["json"], default="json")
    options.add_argument("--traces", action="append", default=[])
    options.add_argument("--apart", action="store_true", help="a sender for each file")
    options = options.parse_args()
    lines = {path: pathlib.Path(path).read_text(errors="replace").splitlines() for path in options.files}
    with tempfile.TemporaryDirectory() as directory:
        live = Why502(directory, hold=HOLD)
        try:
            for path in options.traces:
                send_spans(live, path)
            senders = [[file] for file in options.files] if options.apart else [options.files]
            tail = [binary(), "tail", "--from-start", "--to", live.endpoint]
            tails = [Process([*tail, *files], f"{directory}/tail{number}.log") for number, files in enumerate(senders)]
            expected = sum(bool(line) for all in lines.values() for line in all)
            told = lambda: [one for one in live.records() if not str(one.get("eventName")).startswith("why502.")]
            wait_for(lambda: len(told()) >= expected, 30)
            # What was released first may be asked for again, by what came behind it.
            time.sleep(QUIET)
            for tail in tails:
                tail.stop()
        finally:
            live.stop()
        for one in failures(told(), live.verdicts(), lines):
            print(json.dumps(one))


def send_spans(live, path):
    for request in pathlib.Path(path).read_text().splitlines():
        post = urllib.request.Request(f"http://127.0.0.1:{live.http}/v1/traces", request.encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(post, timeout=10).read()


def failures(records, verdicts, lines):
    """One for each request, with its lines. Equal lines are taken in their order."""
    places = collections.defaultdict(collections.deque)
    for path, all in lines.items():
        for number, line in enumerate(all, 1):
            places[line].append({"file": path, "line": number})
    of_request = collections.defaultdict(list)
    for record in records:
        known = attributes(record)
        place = places[record["body"]["stringValue"]]
        place = place.popleft() if place else None
        if place and "why502.request.uid" in known:
            of_request[known["why502.request.uid"]].append(place)
    # The last verdict of a request counts.
    last = {attributes(verdict)["why502.request.uid"]: verdict for verdict in verdicts}
    for uid, verdict in last.items():
        known = attributes(verdict)
        yield {
            "type": "request",
            "cause": known["why502.cause"],
            "confidence": known["why502.confidence"],
            "symptom": known.get("why502.symptom"),
            "trace_id": verdict.get("traceId") or None,
            "records": sorted(of_request[uid], key=lambda place: (place["file"], place["line"])),
        }


main()
