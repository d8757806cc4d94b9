"""What why502 said of requests whose truth is known: one observation a rule that fired.

Recordings of a real nginx and Gunicorn are looked at in several views: with the access log in JSON, with `combined`, and
without; and each log of nginx alone, without spans. Truth is joined to a verdict by the lines that the verdict names,
never by its cause. Lines that people posted have a reader's label, which accepts several causes where the line cannot
tell them apart: such a case is right whichever is named, so it says less than a recording does (`lenient`).
"""
import collections
import datetime
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, replace

# Views of a recording: which access log is read, and which other logs.
VIEWS = {
    "rich": ("access_rich.log", ("error.log", "gunicorn.log")),
    "combined": ("access.log", ("error.log", "gunicorn.log")),
    "errors": (None, ("error.log", "gunicorn.log")),
    "rich_alone": ("access_rich.log", ()),
    "combined_alone": ("access.log", ()),
    "error_alone": (None, ("error.log",)),
}
# Those with the spans.
SEVERAL = ("rich", "combined", "errors")
ERROR_LINE = re.compile(r"^\S+ \S+ \[\w+\] (\d+)#\d+: \*(\d+) ")
REQUEST = re.compile(r'request: "([^"]*)"')


@dataclass(frozen=True)
class Observation:
    """One rule that fired for one case."""

    unit: str  # the recording, or the posted case
    view: str
    case: int  # within the unit and view
    rule: str
    completeness: str
    leads: bool
    right: bool
    lenient: bool = False  # right, and so would another cause have been


def lines_of(path):
    with open(path, errors="replace") as file:
        return [json.loads(line) for line in file if line.strip()]


def explain(program, files, traces=None):
    command = [program, "explain", *files, "--format", "json"]
    command += ["--traces", traces] if traces else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-500:]}")
    verdicts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    # What tells of no request and no failure (an incident) is no verdict.
    return [verdict for verdict in verdicts if verdict.get("considered")]


def observed(unit, view, case, verdict, accepted, lenient=False):
    """The observations of one verdict."""
    for place, claim in enumerate(verdict["considered"]):
        completeness = verdict["completeness"] if place == 0 else "outranked"
        right = claim["cause"] in accepted
        yield Observation(unit, view, case, claim["rule"], completeness, place == 0, right, right and lenient)


def with_lenient_apart(observations):
    """A lenient one tells how often its rule is right only where no recording shows the rule with as much in sight; elsewhere
    it is put under a unit of its own, by which it is left out there."""
    shown = {(one.rule, one.completeness) for one in observations if one.view != "posted"}
    apart = lambda one: one.lenient and (one.rule, one.completeness) in shown
    return [replace(one, unit="lenient " + one.unit) if apart(one) else one for one in observations]


# Recordings


def owners(truth, rich):
    """The request of each rich line: the same port of the client, and the nearest time of sending."""
    by_port = collections.defaultdict(list)
    for request in truth:
        by_port[str(request.get("local_port"))].append(request)
    taken, owner = set(), {}
    for number, line in enumerate(rich, 1):
        began = float(line["msec"]) - float(line["request_time"] or 0)
        left = [request for request in by_port[str(line.get("remote_port"))] if id(request) not in taken]
        if left:
            owner[number] = min(left, key=lambda request: abs(request.get("t_send", 0) - began))
            taken.add(id(owner[number]))
    return owner


def owners_of_errors(path, rich, owner):
    """The request of each error line: nginx's process, its connection and the request line."""
    by_key = collections.defaultdict(list)
    for number, line in enumerate(rich, 1):
        if number in owner:
            by_key[line["pid"], line["connection"], line["request"]].append(owner[number])
    found = {}
    with open(path, errors="replace") as file:
        for number, text in enumerate(file, 1):
            head, request = ERROR_LINE.match(text), REQUEST.search(text)
            fitting = by_key.get((head[1], head[2], request[1])) if head and request else None
            # Several equal requests on one connection: their truth is one, or is not known.
            if fitting and len({one.get("cause", "none") for one in fitting}) == 1:
                found[number] = fitting[0]
    return found


def boots_after(folder):
    """When Gunicorn's log first says that it cannot boot; before, nothing listens yet, which is right to say."""
    told = re.compile(
        r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})\].*(Exception in worker process|Shutting down: Master)"
    )
    path = os.path.join(folder, "gunicorn.log")
    if os.path.exists(path):
        with open(path, errors="replace") as file:
            for line in file:
                found = told.match(line)
                if found:
                    return datetime.datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S %z").timestamp() + 1
    return float("inf")


def accepted_for(request, labels, booted):
    accepted = list(labels.get(request.get("cause", "none")) or [])
    if request.get("cause") == "boot_failure" and request.get("t_end", float("inf")) < booted:
        accepted.append("gunicorn_not_running")
    return accepted


def combined_pairs(rich, combined, owner, verdicts_by_line, labels):
    """Equal lines of `combined` are interchangeable: their verdicts and truths are paired as well as they go."""
    escaped = lambda text: "".join(
        f"\\x{ord(c):02X}" if c in '"\\' or ord(c) < 32 or ord(c) > 126 else c for c in text
    )
    truths, told = collections.defaultdict(list), collections.defaultdict(list)
    for number, line in enumerate(rich, 1):
        if number in owner:
            key = (line["time_local"], escaped(line["request"]), str(line["status"]), str(line["body_bytes_sent"]))
            truths[key].append(owner[number])
    for number, line in enumerate(combined, 1):
        parts = line.split('"')
        if len(parts) > 2 and "[" in parts[0]:
            time = parts[0].split("[", 1)[1].split("]")[0]
            status, size = (parts[2].split() + ["", ""])[:2]
            told[time, parts[1], status, size].append(verdicts_by_line.get(number))
    for key, requests in truths.items():
        left = list(told[key])
        for request in requests:
            accepted = labels.get(request.get("cause", "none")) or []
            fits = lambda verdict: (verdict is not None and verdict["cause"] in accepted) if accepted else verdict is None
            best = next((verdict for verdict in left if fits(verdict)), left[0] if left else None)
            if best in left:
                left.remove(best)
            if best is not None:
                yield request, best


def of_recording(program, folder, labels):
    unit = os.path.basename(folder)
    path = lambda name: os.path.join(folder, name)
    truth, rich = lines_of(path("truth.jsonl")), lines_of(path("access_rich.log"))
    owner = owners(truth, rich)
    booted = boots_after(folder)
    errors = owners_of_errors(path("error.log"), rich, owner) if os.path.exists(path("error.log")) else {}
    # A line about a process that no request joins is right where such an end failed requests of the recording.
    failing = {cause for request in truth for cause in accepted_for(request, labels, booted)}
    for view, (access, others) in VIEWS.items():
        files = [path(name) for name in (access, *others) if name and os.path.exists(path(name))]
        traces = path("traces.jsonl") if view in SEVERAL and os.path.exists(path("traces.jsonl")) else None
        by_line, alone = {}, []
        for verdict in explain(program, files, traces):
            lines = {(record["source"], record["line"]) for record in verdict["records"]}
            of_access = [line for source, line in lines if source == "nginx.access"]
            of_error = [line for source, line in lines if source == "nginx.error"]
            if of_access:
                by_line[of_access[0]] = verdict
            elif of_error:
                request = next((errors[line] for line in of_error if line in errors), None)
                alone.append((request, accepted_for(request or {}, labels, booted), verdict))
            else:
                alone.append(({}, failing, verdict))
        if access == "access.log":
            with open(path(access), errors="replace") as file:
                pairs = list(combined_pairs(rich, file.read().split("\n"), owner, by_line, labels))
        else:
            pairs = [(owner[number], verdict) for number, verdict in sorted(by_line.items()) if number in owner]
        judged = [(request, accepted_for(request, labels, booted), verdict) for request, verdict in pairs]
        for case, (request, accepted, verdict) in enumerate(judged + alone):
            # One that a retry saved did not fail: nobody wrote down why its first attempt did.
            if request is None or access is None and request.get("cause") == "none":
                continue
            yield from observed(unit, view, case, verdict, accepted)


# What people post


def of_corpus(program, path, labels):
    with tempfile.TemporaryDirectory() as folder:
        posted = os.path.join(folder, "posted.log")
        for case in lines_of(path):
            accepted = labels.get(case["label"])
            if accepted is None:
                continue
            accepted = set(accepted).union(*(labels.get(label) or [] for label in case.get("also_ok") or []))
            with open(posted, "w") as file:
                file.write("\n".join(case["lines"]) + "\n")
            for number, verdict in enumerate(explain(program, [posted])):
                yield from observed("posted " + case["id"], "posted", number, verdict, accepted, len(accepted) > 1)


def of_report(program, folder):
    with open(os.path.join(folder, "expect.json")) as file:
        expected = json.load(file)
    accepted = {expected["expect"], *expected.get("also_ok", [])} - {"none", "unknown"}
    logs = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".log"))
    for number, verdict in enumerate(explain(program, logs)):
        yield from observed("report " + os.path.basename(folder), "posted", number, verdict, accepted)


def inputs(paths):
    """Each recording, corpus and report below the paths: its kind and its path, in order of names."""
    for path in paths:
        if os.path.isfile(path):
            yield "corpus", path
            continue
        for name in sorted(os.listdir(path)):
            folder = os.path.join(path, name)
            if os.path.exists(os.path.join(folder, "truth.jsonl")):
                yield "recording", folder
            elif os.path.exists(os.path.join(folder, "expect.json")):
                yield "report", folder


def observations(program, paths, labels):
    for kind, path in inputs(paths):
        if kind == "recording":
            yield from of_recording(program, path, labels["lab"])
        elif kind == "corpus":
            yield from of_corpus(program, path, labels["corpus"])
        else:
            yield from of_report(program, path)
