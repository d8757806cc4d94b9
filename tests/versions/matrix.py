"""why502 before real Gunicorns of many versions and worker classes: every fault is made for real, every verdict is judged.

For each combination nginx and Gunicorn run on the loopback while healthy requests go on; one fault is made several times;
`why502 explain` reads the logs, once with the access log that has the upstream's variables and once with `combined`. A
request that failed must get one of the causes that its fault can have; one that was answered must get none.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "process"))
import harness  # noqa: E402
from harness import Gunicorn, Nginx, binary, free_port, wait_for  # noqa: E402

HERE = Path(__file__).resolve().parent
CLASSES = {
    "sync": ["-k", "sync"],
    "gthread": ["-k", "gthread", "--threads", "4"],
    "gevent": ["-k", "gevent"],
    "eventlet": ["-k", "eventlet"],
    "tornado": ["-k", "tornado"],
    "uvicorn": ["-k", "uvicorn_worker.UvicornWorker"],
    "asgi": ["-k", "asgi"],
}


class Run:
    """One combination: its programs, and what each failed request may be blamed on."""

    def __init__(self, directory, worker, transport, venv):
        self.directory, self.worker, self.venv = directory, worker, venv
        self.address = f"unix:{directory}/app.sock" if transport == "unix" else f"127.0.0.1:{free_port()}"
        self.transport = transport
        self.expected = {}
        self.around = set()
        self.statuses = {}
        self.number = 0
        self.lock = threading.Lock()
        self.front = self.back = None
        self.stopping = threading.Event()
        self.load = None

    def gunicorn(self, *options, workers=2, **named):
        asgi = self.worker in ("uvicorn", "asgi")
        command = [*CLASSES[self.worker], "--timeout", "30", *options]
        self.back = Gunicorn(self.directory, self.address, *command, venv=self.venv, workers=workers,
                             app=named.pop("app", "asgi_app:app" if asgi else "app:app"),
                             chdir=HERE if asgi else harness.APP, **named)
        return self.back

    def nginx(self, upstream=None, **named):
        self.front = Nginx(self.directory, upstream or self.address, **named)
        return self.front

    def healthy(self, pause=0.07):
        """Healthy requests until the end, one after the other, on two connections' worth of threads."""
        def loop():
            while not self.stopping.wait(pause):
                self.get("/", self.around)
        self.load = [threading.Thread(target=loop) for _ in range(2)]
        for thread in self.load:
            thread.start()

    def get(self, path, causes=(), **named):
        """One request with a target of its own; `causes` are those that it may get if it fails."""
        with self.lock:
            self.number += 1
            target = f"{path}?n={self.number}"
            self.expected[target] = causes
        try:
            status = self.front.get(target, **named)
        except Exception:  # the client gave up or was cut off: the access log says what became of it
            status = 0
        with self.lock:
            self.statuses[target] = status
        return status

    def fault(self, path, *causes, times=4, pause=1.3, **named):
        time.sleep(2)  # workers that boot now are the first
        for _ in range(times):
            self.get(path, set(causes), **named)
            time.sleep(pause)

    def at_once(self, path, *causes, times, **named):
        threads = [threading.Thread(target=self.get, args=(path, set(causes)), kwargs=named) for _ in range(times)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self):
        self.stopping.set()
        for thread in self.load or []:
            thread.join()
        # The stop that follows shall not look like the cause of what came before it.
        time.sleep(2.2)
        for one in (self.back and self.back.process, self.front):
            if one:
                one.stop()


FAULTS = {}


def fault(only=None, unless=None):
    def register(function):
        FAULTS[function.__name__] = (function, only, unless)
        return function
    return register


@fault()
def killed(run):
    run.around = {"worker_killed"}  # those on the same worker
    run.gunicorn(), run.nginx(), run.healthy()
    run.fault("/kill", "worker_killed")


@fault()
def crashed(run):
    run.around = {"worker_crashed"}
    run.gunicorn(), run.nginx(), run.healthy()
    run.fault("/crash", "worker_crashed")


@fault()
def exited(run):
    run.around = {"worker_exited"}
    run.gunicorn(), run.nginx(), run.healthy()
    run.fault("/exit/7", "worker_exited")


@fault()
def exited_with_zero(run):
    run.around = {"worker_exited"}
    run.gunicorn(), run.nginx(), run.healthy()
    run.fault("/exit/0", "worker_exited")


@fault(only={"sync"})
def left_politely(run):
    run.around = {"worker_exited"}
    run.gunicorn(), run.nginx(), run.healthy()
    run.fault("/leave/1", "worker_exited")


@fault(only={"sync"})
def timed_out(run):
    run.around = {"worker_timeout"}
    run.gunicorn("--timeout", "2"), run.nginx(), run.healthy()
    run.fault("/sleep/8", "worker_timeout", times=3)


@fault(only={"uvicorn", "asgi", "gevent", "eventlet", "tornado"})
def loop_blocked(run):
    run.around = {"worker_timeout"}
    run.gunicorn("--timeout", "2"), run.nginx(), run.healthy()
    run.fault("/block/9", "worker_timeout", times=3)


@fault(only={"sync"})
def timed_out_in_c(run):
    run.around = {"worker_timeout"}
    run.gunicorn("--timeout", "2"), run.nginx(), run.healthy()
    run.fault("/block/9", "worker_timeout", times=3)


@fault()
def header_too_big(run):
    run.gunicorn(), run.nginx(), run.healthy()
    run.fault("/header", "response_header_too_big", pause=0.3)


@fault()
def application_says_so(run):
    run.gunicorn(), run.nginx(), run.healthy()
    for status in (502, 503, 504):
        run.fault(f"/status/{status}", "app_returned_error", times=3, pause=0.2)


@fault()
def restarted(run):
    run.around = {"gunicorn_restarting"}
    run.gunicorn(), run.nginx(), run.healthy(0.03)
    for _ in range(2):
        time.sleep(1.5)
        run.back.stop()
        time.sleep(1.0)
        run.back.start()
    time.sleep(1)


@fault(unless={"uvicorn"})
def cut_after_graceful_timeout(run):
    run.around = {"gunicorn_restarting"}
    run.gunicorn("--graceful-timeout", "2"), run.nginx(), run.healthy()
    time.sleep(0.5)
    long = threading.Thread(target=run.get, args=("/sleep/12", {"gunicorn_restarting"}))
    long.start()
    time.sleep(1)
    run.back.stop()
    run.back.start()
    long.join()
    time.sleep(0.5)


@fault()
def reloaded(run):
    run.around = {"gunicorn_restarting", "keepalive_race"}
    run.gunicorn("--graceful-timeout", "5"), run.nginx(keepalive=8), run.healthy(0.02)
    for _ in range(3):
        time.sleep(1.5)
        run.back.process.signal(signal.SIGHUP)
    time.sleep(2)


@fault()
def cannot_boot(run):
    run.around = {"worker_boot_failed", "app_load_failed"}
    run.nginx()
    back = run.gunicorn(app="no_such_module:app", wait=False)
    wait_for(lambda: "Listening" in back.log.read_text())
    run.healthy()
    back.process.child.wait(30)
    time.sleep(2)


@fault()
def no_such_application(run):
    run.around = {"worker_boot_failed", "app_load_failed"}
    run.nginx()
    module = "asgi_app" if run.worker in ("uvicorn", "asgi") else "app"
    back = run.gunicorn(app=f"{module}:nothing", wait=False)
    wait_for(lambda: "Listening" in back.log.read_text())
    run.healthy()
    back.process.child.wait(30)
    time.sleep(2)


@fault()
def stopped(run):
    run.around = {"gunicorn_not_running", "gunicorn_restarting"}  # the edge of the stop
    run.gunicorn(), run.nginx(), run.healthy()
    time.sleep(2)
    run.back.stop()
    run.around = {"gunicorn_not_running"}
    time.sleep(4)


@fault()
def primary_killed(run):
    run.around = {"master_killed", "gunicorn_not_running"}
    run.gunicorn(), run.nginx(), run.healthy()
    time.sleep(2)
    run.back.kill_all()
    time.sleep(3)


@fault()
def wrong_address(run):
    run.around = {"upstream_address_mismatch"}
    run.gunicorn()
    other = f"unix:{run.directory}/other.sock" if run.transport == "unix" else f"127.0.0.1:{free_port()}"
    run.nginx(other), run.healthy()
    time.sleep(3)


@fault()
def read_timeout(run):
    run.gunicorn(workers=3), run.nginx(read_timeout="1s"), run.healthy()
    run.fault("/sleep/3", "slow_request", times=3, pause=2.2)


@fault(only={"sync"})
def all_busy(run):
    run.around = {"workers_saturated"}
    run.gunicorn(workers=2), run.nginx(read_timeout="2s")
    run.at_once("/sleep/1.5", "workers_saturated", times=14)


# Tornado sends nothing before the view is done.
@fault(unless={"tornado"})
def cut_in_the_body(run):
    run.around = {"worker_exited", "response_truncated"}
    run.gunicorn(), run.nginx(), run.healthy()
    run.fault("/cut/1", "response_truncated", times=3)


@fault()
def body_not_read(run):
    run.gunicorn(), run.nginx(extra="client_max_body_size 20m; proxy_request_buffering off;"), run.healthy()
    run.fault("/refuse", "request_body_unread", times=8, pause=0.2, method="POST", data=b"x" * 6_000_000)


@fault()
def recycled(run):
    run.around = {"worker_recycled", "keepalive_race"}
    run.gunicorn("--max-requests", "20"), run.nginx(keepalive=8), run.healthy(0.01)
    for _ in range(8):
        run.at_once("/", "worker_recycled", "keepalive_race", times=10, method="POST", data=b"x")
        time.sleep(0.4)


@fault(only={"gthread", "gevent", "uvicorn"})
def keepalive_race(run):
    run.gunicorn("--keep-alive", "1", workers=1), run.nginx(keepalive=8)
    for step in range(40):
        run.get("/refuse", {"keepalive_race"}, method="POST", data=b"x")
        time.sleep(0.97 + step * 0.002)


@fault()
def client_gave_up(run):
    run.gunicorn(workers=3), run.nginx(), run.healthy()
    run.fault("/sleep/4", "client_closed_request", times=3, pause=3.5, timeout=0.7)


@fault(only={"sync", "gthread"})
def out_of_files(run):
    run.around = {"gunicorn_files_exhausted"}
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    run.nginx(read_timeout="3s")
    run.gunicorn()
    for pid in run.back.workers():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, hard))
    run.healthy()
    time.sleep(4)


@fault()
def plain_spoken_to_as_tls(run):
    run.around = {"tls_to_plain_port", "tls_handshake_failed"}
    run.gunicorn("--timeout", "2"), run.nginx(proxy_pass="https://app"), run.healthy()
    time.sleep(5)


def judge(run, access):
    """(right, wrong) of one access log; each wrong one is (target, status, expected, said)."""
    logs = [access, run.front.error, run.back.log if run.back else run.directory / "gunicorn.log"]
    command = [binary(), "explain", *map(str, logs), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return 0, [("", 0, set(), done.stderr.strip())]
    said = collections.defaultdict(list)
    for line in done.stdout.splitlines():
        one = json.loads(line)
        if one["type"] != "incident":
            said[one["target"]].append(one)
    right, wrong = 0, []
    for line in run.front.access.read_text(errors="replace").splitlines():
        one = json.loads(line)
        target, status = one["request"].split(" ")[1], int(one["status"])
        verdicts = said.get(target, [])
        causes = [verdict["cause"] for verdict in verdicts]
        allowed = run.expected.get(target, ())
        failed = status in (502, 504, 499, 9) or (status == 503 and allowed) or (status == 500 and allowed)
        cut = status == 200 and "response_truncated" in allowed and int(one["body_bytes_sent"]) in (0, *range(1, 100_000)) \
            and target.startswith("/cut")
        if failed or cut:
            if len(causes) == 1 and causes[0] in allowed:
                right += 1
            else:
                told = [(v["cause"], v["confidence"]) for v in verdicts]
                wrong.append((target, status, allowed or "nothing should fail", told))
        elif causes:
            wrong.append((target, status, "no verdict", causes))
    return right, wrong


def one(name, version, worker, transport, venv, keep):
    directory = Path(tempfile.mkdtemp(prefix="why502-")) if not keep else \
        Path(keep) / f"{name}__{version}__{worker}__{transport}"
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    run = Run(directory, worker, transport, venv)
    try:
        FAULTS[name][0](run)
        run.stop()
        results = {}
        for mode, access in (("rich", run.front.access), ("combined", run.front.combined)):
            results[mode] = judge(run, access)
        (directory / "expected.json").write_text(json.dumps({k: sorted(v) for k, v in run.expected.items()}))
        return results
    finally:
        run.stop()
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def judge_again(kept, only):
    """Judges what an earlier run left, with the program of today."""
    totals = collections.Counter()
    for directory in sorted(kept.iterdir()):
        expected = directory / "expected.json"
        if not re.search(only, directory.name) or not expected.exists():
            continue
        run = argparse.Namespace(
            directory=directory, back=None, expected=json.loads(expected.read_text()),
            front=argparse.Namespace(access=directory / "access.log", error=directory / "error.log"))
        for mode, access in (("rich", "access.log"), ("combined", "combined.log")):
            right, wrong = judge(run, directory / access)
            totals[mode, "right"] += right
            totals[mode, "all"] += right + len(wrong)
            if wrong:
                print(f"WRONG   {directory.name} {mode}: {right} of {right + len(wrong)}")
                for target, status, allowed, causes in wrong[:3]:
                    print(f"        {status} {target}: expected {allowed}, said {causes}")
    for mode in ("rich", "combined"):
        print(f"{mode}: {totals[mode, 'right']} of {totals[mode, 'all']}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", metavar="DIRECTORY", help="only judge the logs that --keep left there")
    parser.add_argument("venvs", nargs="*", help="VERSION=DIRECTORY of a Python environment with that Gunicorn")
    parser.add_argument("--only", default="", help="run combinations whose name holds this text (regular expression)")
    parser.add_argument("--transports", default="tcp,unix")
    parser.add_argument("--keep", help="keep the logs of each combination in this directory")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", help="write the results here")
    options = parser.parse_args()
    if options.again:
        return judge_again(Path(options.again), options.only)
    combinations = []
    for venv in options.venvs:
        version, directory = venv.split("=", 1)
        for name, (_, only, unless) in FAULTS.items():
            for worker in CLASSES:
                major = int(version.split(".")[0])
                # Gunicorn has its own ASGI worker since 25; uvicorn's wants Gunicorn 21 or later.
                if (worker == "asgi" and major < 25) or (worker == "uvicorn" and major < 21):
                    continue
                # Its own eventlet worker is gone since 26; eventlet itself no longer fits older ones.
                if worker == "eventlet" and not 23 <= major < 26:
                    continue
                if (only and worker not in only) or (unless and worker in unless):
                    continue
                for transport in options.transports.split(","):
                    if re.search(options.only, f"{name}__{version}__{worker}__{transport}"):
                        combinations.append((name, version, worker, transport, directory, options.keep))
    totals, failed = collections.Counter(), 0
    rows = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = {pool.submit(one, *combination): combination for combination in combinations}
        for future in concurrent.futures.as_completed(futures):
            name, version, worker, transport, *_ = futures[future]
            label = f"{name} {version} {worker} {transport}"
            try:
                results = future.result()
            except Exception as error:
                failed += 1
                print(f"ERROR   {label}: {str(error).strip()[-600:]}", flush=True)
                continue
            for mode, (right, wrong) in results.items():
                totals[mode, "right"] += right
                totals[mode, "all"] += right + len(wrong)
                rows.append({"fault": name, "version": version, "worker": worker, "transport": transport, "mode": mode,
                             "right": right, "wrong": len(wrong)})
                mark = "ok     " if not wrong else "WRONG  "
                print(f"{mark} {label} {mode}: {right} of {right + len(wrong)}", flush=True)
                for target, status, allowed, causes in wrong[:4]:
                    print(f"        {status} {target}: expected {allowed}, said {causes}", flush=True)
    for mode in ("rich", "combined"):
        right, everything = totals[mode, "right"], totals[mode, "all"]
        print(f"{mode}: {right} of {everything} = {right / max(everything, 1):.4f}")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
