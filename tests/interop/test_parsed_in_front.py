"""The collector in front parses lines first, as people have it do: why502 knows them still."""

import re
import time

import pytest

from harness import attributes, wait_for
from test_in_front import follow, killed, received, stopped

COMBINED = (
    r"""'^(?P<remote_addr>\S+) - (?P<remote_user>\S+) \[(?P<time_local>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3}) """
    r"""(?P<body_bytes_sent>\d+) "(?P<http_referer>[^"]*)" "(?P<http_user_agent>[^"]*)"$'"""
)
CONVENTIONS = (
    r"""'^(?P<client_address>\S+) - \S+ \[(?P<time>[^\]]+)\] "(?P<http_request_method>\S+) (?P<url_path>\S+) \S+" """
    r"""(?P<http_response_status_code>\d{3}) '"""
)
ERROR = (
    r"""'^(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<level>\w+)\] (?P<pid>\d+)#(?P<tid>\d+): """
    r"""(?:\*(?P<connection>\d+) )?(?P<message>.*)$'"""
)
GUNICORN = r"""'^\[(?P<time>[^\]]+)\] \[(?P<pid>\d+)\] \[(?P<level>\w+)\] (?P<message>.*)$'"""


def parse(regex, *more):
    return ", ".join([f"{{type: regex_parser, on_error: send_quiet, regex: {regex}{''.join(more)}}}"])


def move(source, target):
    return f", {{type: move, from: '{source}', to: '{target}'}}"


ACCESS_TIME = ", timestamp: {parse_from: attributes.time_local, layout_type: gotime, layout: '02/Jan/2006:15:04:05 -0700'}"
ERROR_LEVEL = ", severity: {parse_from: attributes.level, mapping: {fatal: emerg, error2: crit}}"
NAMED = "".join(move(f"attributes.{name.replace('.', '_')}", f'attributes["{name}"]')
                for name in ("client.address", "http.request.method", "url.path", "http.response.status_code"))
ORIGINAL = move("body", 'attributes["log.record.original"]')
REMOVED = ", {type: remove, field: body}"
MESSAGE = move("attributes.message", "body")

# The log that is parsed, and how.
WAYS = {
    "combined_regex": ("combined.log", parse(COMBINED, ACCESS_TIME)),
    "combined_regex_moved": ("combined.log", parse(COMBINED, ACCESS_TIME) + ORIGINAL),
    "combined_regex_removed": ("combined.log", parse(COMBINED, ACCESS_TIME) + REMOVED),
    "combined_conventions": ("combined.log", parse(CONVENTIONS) + NAMED + ORIGINAL),
    "combined_only_moved": ("combined.log", ORIGINAL.removeprefix(", ")),
    "json": ("access.log", "{type: json_parser}"),
    "json_moved": ("access.log", "{type: json_parser}" + ORIGINAL),
    "json_into_body": ("access.log", "{type: json_parser, parse_to: body}"),
    "json_message": ("access.log", move("body", "body.message").removeprefix(", ")),
    "error_regex": ("error.log", parse(ERROR, ERROR_LEVEL)),
    "error_regex_moved": ("error.log", parse(ERROR, ERROR_LEVEL) + ORIGINAL),
    "error_regex_message": ("error.log", parse(ERROR, ERROR_LEVEL) + MESSAGE),
    "gunicorn_regex": ("gunicorn.log", parse(GUNICORN)),
    "gunicorn_regex_message": ("gunicorn.log", parse(GUNICORN) + MESSAGE),
}


@pytest.mark.parametrize("way", WAYS)
def test_parsed_lines_are_known_still(stage, way):
    name, operators = WAYS[way]
    if name == "combined.log":
        stage.access_log = name
    stage.why502(hold="1s")
    stage.gunicorn()
    front = stage.nginx()
    follow(stage, {name: operators})
    assert front.get("/") == 200
    # The cause is where the parsed line is: in nginx's error, or in Gunicorn's log.
    target, cause = (stopped if name == "error.log" else killed)(stage)
    assert front.get(target) == 502

    verdicts = wait_for(stage.live.verdicts, 15)
    assert [attributes(one)["why502.cause"] for one in verdicts] == [cause]
    log = stage.directory / name

    def of_log():
        return [record for record in received(stage.live) if attributes(record)["log.file.name"] == name]

    stage.end_of_lines()
    wait_for(lambda: len(of_log()) >= len(stage.lines(log)))
    assert len(of_log()) == len(stage.lines(log))
    uid = attributes(verdicts[0])["why502.request.uid"]
    enriched = [attributes(record) for record in of_log() if attributes(record).get("why502.request.uid") == uid]
    assert {record["why502.cause"] for record in enriched} == {cause}
    # One access line, one error line; of Gunicorn's lines, those about the worker.
    assert len(enriched) == 1 or name == "gunicorn.log"


# How the collector leaves nginx's error line, of which pid and connection are in attributes or in the body.
HEADS = {
    "message": parse(ERROR) + MESSAGE,
    "attributes": parse(ERROR) + REMOVED,
    "body": parse(ERROR, ", parse_to: body"),
}


@pytest.mark.parametrize("head", HEADS)
def test_the_connection_joins_where_all_else_is_the_same(stage, head):
    """Two requests of one client for one path in one second: the application answers one with 502, of which nginx's error
    log knows nothing; the header of the other is too big."""
    stage.why502(hold="2s")
    stage.gunicorn()
    front = stage.nginx()
    follow(stage, {"access.log": "{type: json_parser}" + REMOVED, "error.log": HEADS[head]})
    faults = {"status": "app_returned_error", "header": "response_header_too_big"}
    traces = {"status": "1" * 32, "header": "2" * 32}
    # Soon after a second began.
    time.sleep(1.05 - time.time() % 1)
    for fault, trace in traces.items():
        sent = {"X-Fault": fault, "traceparent": f"00-{trace}-{'3' * 16}-01"}
        assert front.get("/header-or-status", headers=sent) == 502

    wait_for(lambda: len(stage.live.verdicts()) == 2)
    found = {verdict["traceId"]: attributes(verdict)["why502.cause"] for verdict in stage.live.verdicts()}
    assert found == {traces[fault]: cause for fault, cause in faults.items()}


def test_the_worker_that_wrote_a_line_is_blamed(stage):
    """The pid in the head of Gunicorn's line is in an attribute, and nowhere else."""
    stage.why502(hold="2s")
    stage.gunicorn(workers=3)
    front = stage.nginx()
    follow(stage, {"gunicorn.log": parse(GUNICORN) + MESSAGE})
    assert front.get("/leave/1") == 500
    written = wait_for(lambda: re.findall(r"\[(\d+)\] \[ERROR\] Error handling request /leave/1", stage.back.log.read_text()))
    verdict, = wait_for(stage.live.verdicts)
    found = attributes(verdict)
    assert (found["why502.cause"], found["url.path"]) == ("worker_exited", "/leave/1")
    assert [str(found["why502.worker.pid"])] == written
