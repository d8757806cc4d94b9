"""`why502 mcp` as an agent meets it, through the official client of the protocol."""

import asyncio
import json
import re
import subprocess
import urllib.error
import urllib.request

import stage
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

EXAMPLE = [str(stage.ROOT / "docs/example" / name) for name in ("access.log", "error.log", "gunicorn.log")]


def on_stdio(talk, *arguments):
    """What a conversation on standard input and output comes to."""

    async def run():
        parameters = StdioServerParameters(command=stage.PROGRAM, args=["mcp", *arguments])
        async with stdio_client(parameters) as (reading, writing), ClientSession(reading, writing) as session:
            await session.initialize()
            return await talk(session)

    return asyncio.run(asyncio.wait_for(run(), 120))


def words(result):
    return "\n".join(block.text for block in result.content)


def test_why_did_report_fail_at_a_quarter_past_ten():
    async def talk(session):
        tools = (await session.list_tools()).tools
        answer = await session.call_tool("request", {"path": "/report", "time": "10:15"})
        return tools, answer

    tools, answer = on_stdio(talk, *EXAMPLE)
    assert [tool.name for tool in tools] == ["request", "incidents", "causes", "explain"]
    assert all(tool.description and tool.input_schema["type"] == "object" and tool.annotations.read_only_hint for tool in tools)
    text = words(answer)
    print(text)
    assert not answer.is_error
    for expected in ("GET /report?month=10 -> 502: worker_timeout (99% sure)", "gunicorn.log:5 gunicorn: WORKER TIMEOUT (pid:3438)", "Ruled out: not out of memory", "What to do: Make the request faster"):
        assert expected in text, expected
    request = answer.structured_content["requests"][0]
    assert request["cause"] == "worker_timeout" and request["evidence"][1]["line"] == 5
    assert request["ruled_out"] == ["not out of memory: it had been timed out, and Gunicorn itself killed it"]
    assert answer.structured_content["matches"] == 1 and answer.structured_content["read"]["files"] == 3


def test_every_tool_answers():
    async def talk(session):
        asked = {
            "incidents": ("incidents", {}), "outside": ("incidents", {"since": "2026-11-26"}), "one": ("causes", {"id": "worker_timeout"}),
            "all": ("causes", {}), "report": ("explain", {"files": [EXAMPLE[0], EXAMPLE[1]]}), "uid": ("request", {"time": "25/Nov/2026:10:15:00 +0000"}),
            "elsewhen": ("request", {"path": "/report", "time": "11:00"}), "nothing": ("request", {"path": "/none"}),
        }  # fmt: skip
        return {name: await session.call_tool(tool, arguments) for name, (tool, arguments) in asked.items()}

    answers = on_stdio(talk, *EXAMPLE)
    assert not any(answer.is_error for answer in answers.values()), answers
    incident = answers["incidents"].structured_content["incidents"][0]
    assert incident["origin"] == "worker_timeout" and incident["ended"]["by"] == "booting"
    assert answers["incidents"].structured_content["causes"] == {"worker_timeout": 1}
    assert "what to do" in words(answers["incidents"]) and incident["uid"] in words(answers["incidents"])
    assert answers["outside"].structured_content["incidents"] == []
    assert "murder_workers" in answers["one"].structured_content["facts"]
    assert len(answers["all"].structured_content["causes"]) == 45
    assert "upstream_closed_early" in words(answers["report"]) and "WORKER TIMEOUT" not in words(answers["report"]), "two files alone"
    assert answers["uid"].structured_content["matches"] == 1
    assert "At another time there are" in words(answers["elsewhen"]) and "10:15:33Z GET /report" in words(answers["elsewhen"])
    assert "Nothing of this path, id or cause failed" in words(answers["nothing"])


def test_bad_questions_are_one_sentence_and_no_other_file_is_read(tmp_path):
    secret = tmp_path / "secret.log"
    secret.write_text("hidden\n")
    wrong = [
        ("request", {"time": "noon"}, "`time`: `noon` is not a time"), ("request", {"path": 7}, "`path` must be a text"),
        ("request", {"limit": 0}, "`limit` must be a whole number"), ("causes", {"id": "nothing"}, "`nothing` is no cause"),
        ("explain", {"files": [str(secret)]}, "is not among the files that this server was started with"),
        ("explain", {"files": ["/etc/passwd"]}, "is not among the files"), ("explain", {"files": ["../" * 9 + "etc/passwd"]}, "is not among the files"),
        ("incidents", {"since": "\u001b[31m"}, "`since`"), ("nothing", {}, "there is no tool `nothing`"),
    ]  # fmt: skip

    async def talk(session):
        return [await session.call_tool(tool, arguments) for tool, arguments, _ in wrong]

    for (tool, arguments, sentence), answer in zip(wrong, on_stdio(talk, *EXAMPLE)):
        assert answer.is_error and sentence in words(answer), (tool, arguments, answer)
        assert "\u001b" not in words(answer) and "hidden" not in words(answer) and "root:" not in words(answer)
    done = subprocess.run([stage.PROGRAM, "mcp", "-"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "standard input is where the client speaks" in done.stderr


def test_over_http_this_machine_alone_is_answered(tmp_path):
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen([stage.PROGRAM, "mcp", "--http", "127.0.0.1:0", *EXAMPLE], stderr=err)
    try:
        url = stage.eventually("it listens", lambda: re.search(r"answered at (\S+)", (tmp_path / "err").read_text())).group(1)

        async def talk():
            async with streamable_http_client(url) as (reading, writing, *_), ClientSession(reading, writing) as session:
                await session.initialize()
                return await session.call_tool("request", {"path": "/report", "time": "10:15"})

        answer = asyncio.run(asyncio.wait_for(talk(), 120))
        assert answer.structured_content["requests"][0]["cause"] == "worker_timeout"
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            request = urllib.request.Request(url, body, {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers})
            try:
                urllib.request.urlopen(request, timeout=60)
                raise AssertionError(f"{headers} was answered")
            except urllib.error.HTTPError as refused:
                assert refused.code == 403, (headers, refused.code)
    finally:
        process.terminate()
        assert process.wait(60) == 0
    done = subprocess.run([stage.PROGRAM, "mcp", "--http", "0.0.0.0:0", *EXAMPLE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "can be reached by others" in done.stderr
