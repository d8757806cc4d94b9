"""`explain --html`: one file for a ticket, that loads and runs nothing."""

import subprocess
import time

import stage

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
HOSTILE = "/x?y=<script>document.title='taken'</script>\"'><img%20src=x%20onerror=document.title='taken'>"


def logs(directory, target="/report?month=10"):
    at = int(time.time()) - 600
    plain = target.replace('"', "%22")
    (directory / "error.log").write_text(stage.error(at, plain, stage.CLOSED) + "\n")
    (directory / "access.log").write_text(stage.access(at + 0.25, plain, 502, trace=stage.TRACE) + "\n")
    (directory / "gunicorn.log").write_text("\n".join([
        stage.gunicorn(at - 60, 3430, "INFO", "Listening at: http://127.0.0.1:8000 (3430)"),
        stage.gunicorn(at - 1, 3430, "CRITICAL", "WORKER TIMEOUT (pid:3438)"),
        stage.gunicorn(at, 3430, "ERROR", f"Worker (pid:3438) was sent SIGKILL! {target}"),
        stage.gunicorn(at, 3502, "INFO", "Booting worker with pid: 3502"),
    ]) + "\n")  # fmt: skip
    return [directory / name for name in ("access.log", "error.log", "gunicorn.log")]


def explained(directory, files):
    report = directory / "report.html"
    done = subprocess.run([stage.PROGRAM, "explain", *files, "--html", report], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "" and f"the report is in {report}" in done.stderr, done
    return report


def test_one_file_tells_everything(tmp_path, browser):
    report = explained(tmp_path, logs(tmp_path))
    for size in (DESK, PHONE):
        for dark in (False, True):
            window = browser(dark=dark, **size)
            window.open(report.as_uri())
            text = window.text()
            for words in ("1 failed request", "worker_timeout: 1 request failed", "What to do:", "WORKER TIMEOUT (pid:3438)", "Booting worker with pid: 3502", "502 GET /report?month=10", stage.TRACE):
                assert words in text, words
            assert window.complaints() == [] and window.barriers() == [] and window.overflows() <= 0
            assert window.js("return getComputedStyle(document.querySelector('.do')).borderLeftWidth") == "4px", "the styles are let in"
            assert window.js("return document.querySelectorAll('script, link, img, a').length") == 0
    assert report.stat().st_size < 60_000


def test_hostile_strings_stay_strings(tmp_path, browser):
    report = explained(tmp_path, logs(tmp_path, HOSTILE))
    window = browser(**DESK)
    window.open(report.as_uri())
    assert window.js("return document.title") == "why502: 1 failed request"
    assert window.js("return document.querySelectorAll('script, img, [onerror], [style]').length") == 0
    assert "<script>document.title" in window.text() and window.complaints() == []


def test_nothing_failed_and_nothing_was_read(tmp_path):
    quiet = tmp_path / "access.log"
    quiet.write_text(stage.access(time.time(), "/", 200) + "\n")
    text = explained(tmp_path, [quiet]).read_text()
    assert "<h1>No failed request</h1>" in text and text.rstrip().endswith("</html>")
    done = subprocess.run([stage.PROGRAM, "explain", quiet, "--html", tmp_path / "no/such/report.html"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "check the path and who may write there" in done.stderr
    done = subprocess.run([stage.PROGRAM, "explain", quiet, "--html", "x.html", "--format", "json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
