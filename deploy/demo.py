"""The demo: real nginx, real Gunicorn, seven failures, and what why502 says of each."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "process"))
import harness  # noqa: E402
from harness import Gunicorn, Nginx, Process, listens, wait_for  # noqa: E402

COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def title(text):
    print("\n" + paint("1", text), flush=True)


def note(text):
    print(paint("2", text), flush=True)


class Demo:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.running = []
        self.rows = []
        self.seen = 0
        self.screen = self.directory / "verdicts.txt"

    def start_why502(self):
        for port in (4317, 4318):
            if listens(port):
                sys.exit(f"port {port} is taken: `why502 run` on its embedded default needs it; stop that program "
                         f"(`ss -ltnp 'sport = :{port}'` names it), then start again")
        out = open(self.screen, "wb")
        self.why502 = Process([harness.binary(), "run"], self.directory / "why502.log", stdout=out,
                              env={**os.environ, **({"CLICOLOR_FORCE": "1"} if COLOUR else {})})
        self.running.append(self.why502)
        if not wait_for(lambda: listens(4317)):
            sys.exit((self.directory / "why502.log").read_text())

    def show(self, wanted):
        """Prints the verdicts as they come; waits for so many."""
        until = time.monotonic() + 25
        while time.monotonic() < until:
            text = self.screen.read_text()
            end = text.rfind("\n\n")
            done = end + 2 if end >= 0 else 0
            if done > self.seen:
                sys.stdout.write("".join(f"    {line}\n" for line in text[self.seen:done].rstrip().splitlines()) + "\n")
                sys.stdout.flush()
                self.seen = done
            if text.count("% sure)") >= wanted:
                return
            time.sleep(0.2)

    def scene(self, number, what, expected, run):
        """One failure in a directory of its own."""
        title(f"{number}. {what}")
        place = self.directory / f"scene{number}"
        place.mkdir()
        place.chmod(0o755)
        before = self.screen.read_text().count("% sure)")
        started = []
        tails = []

        def front(upstream, **options):
            nginx = Nginx(place, upstream, **options)
            started.append(nginx)
            tails.append(Process([harness.binary(), "tail", "--from-start", str(nginx.access), str(nginx.error), str(place / "gunicorn.log")],
                                 place / "tail.log"))
            return nginx

        def back(bind, *options):
            gunicorn = Gunicorn(place, bind, *options, spans_to="http://127.0.0.1:4317")
            started.append(gunicorn)
            return gunicorn

        path = f"/scene/{number}"
        try:
            (place / "gunicorn.log").touch()
            path, status = run(place, front, back)
            note(f"   curl {path}  ->  {status}")
            self.show(before + 1)
            cause = self.cause_of(path)
        finally:
            for one in reversed(started):
                one.stop()
            for tail in tails:
                tail.stop()
        self.rows.append((what, status, cause, expected))

    def cause_of(self, path):
        """What the query API says of the newest verdict on this path."""
        command = [harness.binary(), "watch", "--backlog", "50", "--format", "json"]
        watch = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        os.set_blocking(watch.stdout.fileno(), False)
        text = b""
        deadline = time.monotonic() + 3
        try:
            while time.monotonic() < deadline:
                text += watch.stdout.read() or b""
                for line in text.split(b"\n")[:-1]:
                    verdict = json.loads(line)
                    # An incident has no target.
                    if verdict.get("target") == path:
                        return verdict["cause"]
                time.sleep(0.05)
            return "no verdict"
        finally:
            watch.terminate()
            watch.wait()
            watch.stdout.close()

    def summary(self):
        title("What was broken, and what why502 said")
        width = max(len(row[0]) for row in self.rows)
        right = 0
        for what, status, cause, expected in self.rows:
            fits = cause == expected
            right += fits
            mark = paint("32", "right") if fits else paint("31", f"WRONG, expected {expected}")
            print(f"  {what:{width}}  {status}  {cause:28} {mark}")
        print(f"\n  {right} of {len(self.rows)} right")
        return right == len(self.rows)

    def stop(self):
        for one in reversed(self.running):
            one.stop()


def curl(front, path):
    """As a person would: the status that curl prints."""
    done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-m", "30", "-w", "%{http_code}", f"http://127.0.0.1:{front.port}{path}"],
                          capture_output=True, text=True)
    return path, done.stdout


def stopped(place, front, back):
    port = harness.free_port()
    gunicorn = back(f"127.0.0.1:{port}")
    nginx = front(f"127.0.0.1:{port}")
    curl(nginx, "/")
    gunicorn.stop()
    time.sleep(1.1)
    return curl(nginx, "/stopped")


def missing_socket(place, front, back):
    return curl(front(f"unix:{place}/app.sock"), "/never-started")


def wrong_socket(place, front, back):
    back(f"unix:{place}/app.sock")
    return curl(front(f"unix:{place}/other.sock"), "/wrong-socket")


def no_permission(place, front, back):
    back(f"unix:{place}/app.sock", "--umask", "077")
    return curl(front(f"unix:{place}/app.sock"), "/no-permission")


def worker_timeout(place, front, back):
    port = harness.free_port()
    back(f"127.0.0.1:{port}", "--timeout", "2")
    return curl(front(f"127.0.0.1:{port}"), "/block/20")


def worker_killed(place, front, back):
    port = harness.free_port()
    back(f"127.0.0.1:{port}")
    return curl(front(f"127.0.0.1:{port}"), "/kill")


def nginx_timeout(place, front, back):
    port = harness.free_port()
    back(f"127.0.0.1:{port}")
    return curl(front(f"127.0.0.1:{port}", read_timeout="1s"), "/sleep/3")


def main():
    directory = tempfile.mkdtemp(prefix="why502-demo-")
    os.chmod(directory, 0o755)
    demo = Demo(directory)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        print("NGINX in front of Gunicorn answers 502 and its access log does not say why. This demo breaks Gunicorn in seven ways,\n"
              "asks for a page each time, and shows what why502 makes of the logs: a verdict comes after a second where nothing can change it,\n"
              "else after 8 seconds, so that the lines of all programs are there.")
        demo.start_why502()
        note("`why502 run` takes OTLP on 127.0.0.1:4317; `why502 tail` sends it the logs of nginx and Gunicorn, Gunicorn its traces")
        demo.scene(1, "Gunicorn is stopped", "gunicorn_not_running", stopped)
        demo.scene(2, "Gunicorn was never started: its socket is missing", "gunicorn_not_running", missing_socket)
        demo.scene(3, "nginx and Gunicorn name different sockets", "upstream_address_mismatch", wrong_socket)
        if os.getuid() == 0:
            demo.scene(4, "nginx may not use the socket", "socket_permission_denied", no_permission)
        else:
            note("4. (left out: without root nginx cannot have workers of another user)")
        demo.scene(5, "a request takes longer than Gunicorn's --timeout", "worker_timeout", worker_timeout)
        demo.scene(6, "a worker is killed from outside", "worker_killed", worker_killed)
        demo.scene(7, "a request takes longer than nginx's proxy_read_timeout", "slow_request", nginx_timeout)
        right = demo.summary()
    finally:
        demo.stop()
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
