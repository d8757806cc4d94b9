"""How sure links to traces were, and how often they were right: recordings whose access log has no ids.

Nothing is fitted to these: a link is judged by spans and times alone, and this says how well.
"""
import json
import os
import tempfile

import observe

IDS = ("traceparent", "sent_traceparent", "request_id")


def observations(program, paths):
    """Of each link that was not exact: what it said, and whether the trace was the request's."""
    found = []
    for kind, folder in observe.inputs(paths):
        path = lambda name: os.path.join(folder, name)
        # Where nginx is traced itself its trace is none that the truth knows.
        if kind != "recording" or "otel_module" in folder or not os.path.exists(path("traces.jsonl")):
            continue
        rich = observe.lines_of(path("access_rich.log"))
        owner = observe.owners(observe.lines_of(path("truth.jsonl")), rich)
        with tempfile.TemporaryDirectory() as scratch:
            access = os.path.join(scratch, "access.log")
            with open(access, "w") as file:
                for line in rich:
                    kept = {key: value for key, value in line.items() if key not in IDS}
                    file.write(json.dumps(kept, separators=(",", ":")) + "\n")
            others = [path(name) for name in ("error.log", "gunicorn.log") if os.path.exists(path(name))]
            verdicts = observe.explain(program, [access, *others], path("traces.jsonl"))
        for verdict in verdicts:
            lines = [record["line"] for record in verdict["records"] if record["source"] == "nginx.access"]
            request = next((owner[line] for line in lines if line in owner), None)
            link = verdict["link"]
            named = [trace for trace in [verdict["trace_id"], *link["candidates"]] if trace]
            if request is None or not named or link["confidence"] == 0 or link["method"] != "timing":
                continue
            own = {trace for trace, _ in request.get("app_spans") or []} | {request.get("trace_id")}
            found.append((link["confidence"], named[0] in own))
    return found
