"""The page as people use it: on a desk and on a telephone, by day and by night, by keys alone, without JavaScript, and with
strings in it that want to be more than strings."""

import base64
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import stage
from selenium.webdriver.common.keys import Keys
from stage import eventually

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


def told(why502, path="/", words=""):
    """The page at a path, as soon as it has these words."""

    def look():
        status, _, text = why502.get(path)
        return text if status == 200 and words in text else None

    return eventually(f"{path} has {words}", look)


def links(text, kind):
    return list(dict.fromkeys(re.findall(rf'href="(/{kind}/[0-9a-f]+)"', text)))


def story(why502):
    """Two services, each with an incident of its own; the paths of both, and of the request to /report."""
    running = why502()
    stage.report_fails(running, time.time() - 2)
    stage.stock_is_down(running, time.time())
    text = told(running, words="worker_timeout: 1 request failed")
    text = told(running, words="GET /stock/11")
    timeout = next(path for path in links(text, "incident") if "worker_timeout:" in running.get(path)[2])
    down = next(path for path in links(text, "incident") if "gunicorn_not_running:" in running.get(path)[2])
    report = links(running.get(timeout)[2].split('id="requests"')[1], "request")[0]
    return running, timeout, down, report


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_fits_and_nothing_stands_in_the_way(why502, browser, size, dark, tmp_path):
    running, timeout, down, report = story(why502)
    window = browser(dark=dark, **size)
    for number, path in enumerate(["/", "/incidents", timeout, down, report, "/search", "/search?q=/stock&cause=gunicorn_not_running"]):
        window.open(running.page + path)
        assert window.overflows() <= 0, path
        assert window.complaints() == [], path
        assert window.barriers() == [], path
        first, sent = window.paint()
        assert first is not None and first < 1000, (path, first)
        assert 0 < sent <= 200_000, (path, sent)
        window.picture(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").stat().st_size > 5_000


def test_an_incident_and_a_request_tell_their_story(why502):
    running, timeout, down, report = story(why502)
    text = told(running, timeout, "Booting worker with pid: 3502")
    told_in_order = [text.find(words) for words in ("WORKER TIMEOUT (pid:3438)", "upstream prematurely closed", "was sent SIGKILL", "Booting worker")]
    assert -1 not in told_in_order and told_in_order == sorted(told_in_order), told_in_order
    assert "What to do: " in text and "Make the request faster" in text
    assert "not out of memory: it had been timed out" in text and "SELECT orders on db.internal" in text
    for lane in ("failed", "NGINX", "Gunicorn", "spans"):
        assert f'<span class="name">{lane}</span>' in text, lane
    assert "/stock" not in text and "8100" not in text, "another service's words"
    text = told(running, report, "took the most time")
    for words in ("502 GET /report?month=10", "worker_timeout", "99% sure", "203.0.113.7", "pid 3438", stage.TRACE, "<mark>WORKER TIMEOUT (pid:3438)</mark>"):
        assert words in text, words
    assert timeout in text and "/stock" not in text
    text = told(running, down)
    assert "Gunicorn killed" not in text and "nothing listens where nginx tries to connect" in text


def test_a_link_by_time_is_told_with_its_odds(why502):
    running = why502()
    at = int(time.time()) - 2
    stage.report_fails(running, at)
    running.spans([stage.span("aa", "", "GET /slow", at - 5.01, at - 0.01, 2, {"http.request.method": "GET", "url.path": "/slow"}, failed=True)])
    running.lines("/var/log/nginx/error.log", [stage.error(at, "/slow", stage.CLOSED, connection=9)])
    running.lines("/var/log/nginx/access.log", [stage.access(at + 0.01, "/slow", 502, took=5.02, connection=9)])
    text = told(running, words="GET /slow")
    request = next(path for path in links(text, "request") if "502 GET /slow" in running.get(path)[2])
    text = told(running, request, "Its trace")
    assert "What speaks for the likeliest" in text and "× " in text, text


def test_search_finds_by_path_id_trace_cause_and_time(why502):
    running, timeout, _, report = story(why502)
    uid, incident = report.rsplit("/", 1)[1], timeout.rsplit("/", 1)[1]
    hour = stage.stamp(time.time() - 3600, "%d/%b/%Y:%H:%M:%S %%2B0000")
    tomorrow = stage.stamp(time.time() + 86_400, "%Y-%m-%d")

    def count(query):
        status, _, text = running.get(f"/search?{query}")
        assert status == 200, query
        return len(links(text, "request"))

    for query in ("q=/report", "q=GET%20/report", f"q={uid}", f"q={incident}", f"q={stage.TRACE}", "cause=worker_timeout", "q=203.0.113.7&cause=worker_timeout", "q=127.0.0.1:8000"):
        assert count(query) == 1, query
    assert count("") == 13 and count("since=1h") == 13 and count("until=1h") == 0
    assert count(f"since={hour.replace(' ', '+')}") == 13 and count(f"since={tomorrow}") == 0
    assert count("q=nothing") == 0 and "Nothing fits." in running.get("/search?q=nothing")[2]
    for query, words in (("since=noon", "Since: “noon” is not a time"), ("cause=nothing", "“nothing” is no cause")):
        status, _, text = running.get(f"/search?{query}")
        assert status == 400 and words in text and links(text, "request") == []


def test_what_is_unknown_is_one_sentence(why502):
    running = why502()
    unknown = {
        "/request/nothing": "This request is not kept here", "/incident/%3Cb%3E": "This incident is not kept here",
        "/nothing": "There is no such page", "/%3Cscript%3E": "There is no such page",
    }  # fmt: skip
    for path, words in unknown.items():
        status, _, text = running.get(path)
        inside = text.split("<main")[1]
        assert status == 404 and words in inside and "<b>" not in inside and "<script" not in inside, path
    assert "No incident is open" in running.get("/")[2]


def test_an_open_page_renews_itself_and_says_when_why502_is_away(why502, browser):
    running = why502()
    window = browser(**DESK)
    window.open(running.page + "/")
    assert "No incident is open" in window.text()
    # The stream of events is open before anything happens.
    eventually("it listens", lambda: window.js("return performance.getEntriesByName(location.origin + '/events').length >= 0"))
    time.sleep(1)
    stage.report_fails(running, time.time() - 2)
    eventually("it is shown without loading the page", lambda: "worker_timeout: 1 request failed" in window.text())
    assert window.complaints() == []
    running.stop()
    eventually("it says so", lambda: "why502 does not answer" in window.text())
    assert "worker_timeout" in window.text(), "what was known stays"


def test_keys_alone_lead_everywhere(why502, browser):
    running, _, _, _ = story(why502)
    window = browser(**DESK)
    window.open(running.page + "/")
    window.press(Keys.TAB)
    assert window.focused()[0] == "To the content"
    assert window.js("return document.activeElement.getBoundingClientRect().left") >= 0, "it is to be seen"
    window.press(Keys.ENTER, Keys.TAB)
    text, href = window.focused()
    assert "requests failed" in text or "request failed" in text, text
    assert window.js("return getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is to be seen"
    window.press(Keys.ENTER)
    eventually("the incident", lambda: window.driver.current_url == href)
    window.press("j")
    assert "/request/" in (window.focused()[1] or ""), window.focused()
    window.press(Keys.ENTER)
    eventually("the request", lambda: "/request/" in window.driver.current_url)
    window.press("/")
    window.press("/report", Keys.ENTER)
    eventually("what was searched", lambda: "/search?q=" in window.driver.current_url)
    eventually("one request", lambda: "1 failed request, newest first." in window.text())
    reached = set()
    for _ in range(20):
        window.press(Keys.TAB)
        reached.add(window.js("return document.activeElement.name || document.activeElement.tagName"))
    assert {"q", "cause", "since", "until", "BUTTON", "A"} <= reached, reached


def test_without_javascript_it_is_the_same_list(why502, browser):
    running, timeout, _, report = story(why502)
    window = browser(script=False, **PHONE)
    window.open(running.page + "/")
    # What selenium calls text leaves `noscript` out, which is shown all the same.
    text = window.js("return document.body.innerText")
    assert "2 incidents are open" in text and "GET /report?month=10" in text and "Without JavaScript" in text
    window.driver.find_element("css selector", f'a[href="{timeout}"]').click()
    assert "WORKER TIMEOUT" in window.text()
    window.driver.find_element("css selector", f'a[href="{report}"]').click()
    assert "named by its records" in window.text()
    window.open(running.page + "/search?q=/stock")
    assert "12 failed requests" in window.text()
    assert window.complaints() == []


HOSTILE = [
    "<script>document.title='taken'</script>",
    "\"><img src=x onerror=document.title='taken'>",
    "'/onmouseover='document.title=1",
    "javascript:document.title='taken'",
    "</title></main></body><h1>taken</h1>",
    "&lt;script&gt;&#x3c;b&#x3e;",
    "{{7*7}}${7*7}<%=7*7%>",
    "\u202etxt.exe\u200b\ufeff",
    "\x1b[31mred\x1b]8;;http://evil.example\x07",
    "a" * 3_000,
    "`--code`<b>",
    "é你好🙂",
]


def test_hostile_strings_stay_strings_in_every_field(why502, browser):
    running = why502(verdicts=1000)
    at = int(time.time()) - 3
    for number, hostile in enumerate(HOSTILE):
        where = {"service": f"{hostile[:200]}", "host": f"h{number}"}
        plain = hostile.replace('"', "%22").replace("\x1b", "%1b").replace("\x07", "%07")
        target = f"/{number}/{plain}".replace(" ", "+")
        running.spans([
            stage.span("02", "01", hostile, at - 29, at, 3, {"db.operation.name": hostile, "db.collection.name": hostile, "server.address": hostile}),
            stage.span("01", "", hostile, at - 30, at, 2, {"http.request.method": "GET", "url.path": hostile, "http.route": hostile}, failed=True),
        ], **where)  # fmt: skip
        running.lines(f"/var/log/{hostile}", [stage.gunicorn(at - 1, 3430, "CRITICAL", f"WORKER TIMEOUT (pid:{4000 + number})"), stage.gunicorn(at, 3430, "ERROR", f"Worker (pid:{4000 + number}) was sent SIGKILL! {hostile}")], **where)
        words = stage.error(at, target, stage.CLOSED, client=f"203.0.113.{number}", connection=100 + number)
        running.lines(f"/var/log/{hostile}", [words.replace('host: "shop.example"', f'host: "{plain[:60]}", referrer: "{plain}"')], **where)
        running.lines(f"/var/log/{hostile}", [stage.access(at + 0.25, target, 502, client=f"203.0.113.{number}", connection=100 + number, request_id=hostile, trace=stage.TRACE)], **where)
    text = told(running, words=f"GET /{len(HOSTILE) - 1}/")
    window = browser(**PHONE)
    # More of them than the first page shows.
    found = running.get("/search")[2]
    paths = ["/", "/incidents", "/search", *links(text, "incident"), *links(found, "request"), "/search?q=" + "%3Cscript%3E%22%27"]
    assert len(links(found, "request")) >= len(HOSTILE), found
    for path in paths:
        window.open(running.page + path)
        inside = window.js("""return [document.title, document.querySelectorAll("script").length, document.querySelectorAll("img, iframe, object, [style], [onerror], [onmouseover]").length,
            [...document.querySelectorAll("a")].every((a) => a.origin === location.origin), document.querySelectorAll("h1").length, document.querySelectorAll("main").length]""")
        assert inside[1:] == [1, 0, True, 1, 1], (path, inside)
        assert "taken" not in inside[0].split("</title>")[0].replace("document.title='taken'", "").replace("<h1>taken</h1>", ""), (path, inside)
        assert window.complaints() == [], path
        assert window.overflows() <= 0, path
        source = window.driver.page_source
        for bad in ("\x1b", "\x07", "\u202e"):
            assert bad not in source, (path, bad)
    window.open(running.page + links(text, "incident")[0])
    assert window.barriers() == []


def test_ten_thousand_requests_of_one_incident_are_paged(why502, browser):
    running = why502(verdicts=20_000)
    stage.stock_is_down(running, time.time(), count=10_000)
    stage.report_fails(running, time.time() - 2)
    text = told(running, words="gunicorn_not_running")
    incident = next(path for path in links(text, "incident") if "gunicorn_not_running:" in running.get(path)[2])
    told(running, incident, "10,000 are kept")
    window = browser(**PHONE)
    for path in ("/", incident, f"{incident}?page=2", f"{incident}?page=100", "/search?q=/stock"):
        window.open(running.page + path)
        first, sent = window.paint()
        assert first < 1000, (path, first)
        assert sent <= 200_000, (path, sent)
        print(f"{path}: first paint after {first:.0f} ms, {sent:,} bytes")
        assert len(window.driver.find_elements("css selector", ".requests > li")) <= 110, path
        assert window.complaints() == [] and window.overflows() <= 0
    window.open(running.page + incident)
    window.driver.find_element("link text", "Older").click()
    assert "Page 2 of 100" in window.text()
    window.driver.find_element("link text", "Newer").click()
    assert "What to do" in window.text()
    assert "Page 100 of 100" in running.get(f"{incident}?page=100")[2]
    assert len(links(running.get(f"{incident}?page=101")[2], "request")) == 0


def test_nobody_reads_it_from_elsewhere(why502):
    running = why502()
    status, headers, _ = running.get("/")
    assert status == 200 and headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in headers["content-security-policy"] and headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store" and headers["access-control-allow-origin"] is None
    for host in ("evil.example", "localhost.evil.example", "evil.example:80"):
        status, headers, text = running.get("/", Host=host)
        assert status == 421 and "not the name of this why502" in text and "shop" not in text
        assert headers["access-control-allow-origin"] is None
    for host in ("localhost", "127.0.0.1:1", "[::1]:80", "10.1.2.3"):
        assert running.get("/", Host=host)[0] == 200, host
    status, headers, _ = running.get("/", Origin="http://evil.example")
    assert status == 200 and headers["access-control-allow-origin"] is None
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        request = urllib.request.Request(running.page + "/", b"x" if method == "POST" else None, method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code == 405, method
    assert running.get("/search?q=" + "a" * 3_000)[0] == 414


def test_it_asks_who_somebody_is(why502, browser):
    users = 'basicauth: {htpasswd: {inline: "night:a shift at three"}}'
    running = why502(web='{endpoint: "127.0.0.1:0", auth: {authenticator: basicauth}}', extensions=users)
    status, headers, text = running.get("/")
    assert status == 401 and headers["www-authenticate"].startswith("Basic") and "web::auth" in text
    pair = base64.b64encode(b"night:a shift at three").decode()
    assert running.get("/", Authorization=f"Basic {pair}")[0] == 200
    for path in ("/events", "/assets/style.css", "/request/x"):
        assert running.get(path)[0] == 401, path
    assert running.get("/", Authorization="Basic " + base64.b64encode(b"night:wrong").decode())[0] == 401
    window = browser(**DESK)
    window.open(running.page.replace("//", "//night:a%20shift%20at%20three@"))
    eventually("let in", lambda: "No incident is open" in window.text())
    assert "a shift" not in running.log.read_text()
    secret = "bearertokenauth: {token: s3cret-token-of-ours}"
    token = why502(web='{endpoint: "127.0.0.1:0", auth: {authenticator: bearertokenauth}}', extensions=secret)
    assert token.get("/", Authorization="Bearer s3cret-token-of-ours")[0] == 200
    assert token.get("/", Authorization="Bearer s3cret")[0] == 401


def test_a_port_that_is_taken_is_one_sentence(why502, tmp_path):
    first = why502()
    port = first.page.rsplit(":", 1)[1]
    config = tmp_path / "second.yaml"
    config.write_text(
        'receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}}}}\nexporters: {debug: {}}\n'
        f'service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}}}\nweb: {{endpoint: "127.0.0.1:{port}"}}\n'
    )
    second = subprocess.run([stage.PROGRAM, "run", "--config", config], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    sentence = f"error: 127.0.0.1:{port} is taken by another program: stop it (`ss -ltnp` names it), or change `web::endpoint` (line 4)"
    assert sentence in second.stderr, second.stderr


def test_streams_and_requests_have_a_limit(why502):
    running = why502()
    host, port = running.page.split("//")[1].split(":")
    held = []
    refused = 0
    for _ in range(40):
        one = socket.create_connection((host, int(port)))
        one.sendall(f"GET /events HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        answer = one.recv(4096).decode()
        refused += "503" in answer.split("\r\n")[0]
        held.append(one)
    assert refused == 8, refused
    assert running.get("/")[0] == 200, "pages are still answered"
    for one in held:
        one.close()
    eventually("places are given back", lambda: running_events(running) == 200)
    started = time.monotonic()
    keep = socket.create_connection((host, int(port)))
    keep.sendall(f"GET /events HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    keep.recv(4096)
    running.stop()
    assert time.monotonic() - started < 5, "an open page does not hold up the end"


def running_events(running):
    try:
        return urllib.request.urlopen(running.page + "/events", timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code


def test_many_tabs_and_pages_behind_the_back_button_leave_a_connection_for_the_next(why502, browser):
    running = why502()
    stage.report_fails(running, time.time() - 2)
    text = told(running, words="worker_timeout")
    window = browser(**DESK)
    window.driver.set_page_load_timeout(20)
    # A browser has six connections to one server, and a page that renews itself keeps one.
    for _ in range(8):
        window.driver.switch_to.new_window("tab")
        for path in ("/", links(text, "incident")[0], "/search"):
            window.open(running.page + path)
    assert window.js("return document.querySelectorAll('main').length") == 1
    assert window.complaints() == []
