#!/usr/bin/env bash
# How fast `why502 explain` reads healthy access lines on one core, beside `wc -l` and `rg ' 50[0-9] '` on the same file.
#   benches/explain.sh                    builds, makes the files (about 1 GB each), prints the table, then JSON
#   MIB=100 benches/explain.sh            smaller files
#   WHY502_BIN=path benches/explain.sh    a program that was built before
# Each figure is the best of three runs with the file in the page cache. Needs: cargo, python3, taskset, ripgrep.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mib=${MIB:-1000}
if [ -z "${WHY502_BIN:-}" ]; then
  cargo build --release --quiet
  WHY502_BIN=${CARGO_TARGET_DIR:-target}/release/why502
fi
if ! command -v rg >/dev/null; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get install -y -qq ripgrep >/dev/null 2>&1 || true
  fi
  command -v rg >/dev/null || echo 'ripgrep is not here and could not be installed: its column stays empty' >&2
fi
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

python3 - "$WHY502_BIN" "$files" "$mib" <<'PYTHON'
import json, os, random, shutil, subprocess, sys, tempfile, time

program, directory, mib = sys.argv[1], sys.argv[2], int(sys.argv[3])
random.seed(502)
AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "curl/8.15.0",
    "kube-probe/1.33",
]
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def fields(second, failing):
    """One request so many seconds after a full hour; the hour itself is filled in for each copy."""
    clock = "%02d:%02d" % (second // 60, second % 60)
    page = random.randrange(100_000)
    return {
        "client": "198.51.%d.%d" % (random.randrange(256), random.randrange(256)),
        "local": "@LOCAL@:" + clock + " +0000",
        "iso": "@ISO@:" + clock + "+00:00",
        "request": "%s /catalogue/item/%d?page=%d&sort=price HTTP/1.1" % (
            random.choice(["GET", "GET", "GET", "POST"]), page, page % 17),
        "status": 502 if failing else random.choice([200] * 20 + [304, 301, 404, 201]),
        "bytes": 157 if failing else random.randrange(200, 90_000),
        "agent": random.choice(AGENTS),
        "forwarded": "203.0.113.%d" % random.randrange(256),
        "took": "%.3f" % (random.random() / 5),
    }


def combined(f):
    return '%(client)s - - [%(local)s] "%(request)s" %(status)s %(bytes)s "https://shop.example.net/" "%(agent)s"' % f


def main(f):
    return combined(f) + ' "%(forwarded)s"' % f


def as_json(f):
    return ('{"time_iso8601":"%(iso)s","remote_addr":"%(client)s","request":"%(request)s","status":%(status)s,'
            '"body_bytes_sent":%(bytes)s,"http_user_agent":"%(agent)s","request_time":%(took)s}' % f)


def docker(f):
    return json.dumps({"log": main(f) + "\n", "stream": "stdout", "time": "@ISO@:00:00.1Z"}, separators=(",", ":"))


def generate(path, line):
    """100,000 requests of one hour, copied for the next hours until the file is large enough; 0.01 % fail."""
    requests = [line(fields(number // 200, number % 10_000 == 7_777)) for number in range(100_000)]
    text = "\n".join(requests) + "\n"
    hour = 1_772_614_800
    with open(path, "w") as out:
        while out.tell() < mib << 20:
            stamp = time.gmtime(hour)
            local = "%02d/%s/%d:%02d" % (stamp.tm_mday, MONTHS[stamp.tm_mon - 1], stamp.tm_year, stamp.tm_hour)
            out.write(text.replace("@LOCAL@", local).replace("@ISO@", time.strftime("%Y-%m-%dT%H", stamp)))
            hour += 3_600


def error_log(access, path):
    """An error line for each failing line of a combined log: every request line has then to be looked at."""
    number = 0
    with open(path, "w") as out, open(access) as lines:
        for line in lines:
            if '" 502 ' not in line:
                continue
            number += 1
            request = line.split('"')[1]
            day, month, rest = line.split("[")[1].split("/", 2)
            stamp = "%s/%02d/%s %s" % (rest[:4], MONTHS.index(month) + 1, day, rest[5:13])
            out.write(
                "%s [error] 7#7: *%d upstream prematurely closed connection while reading response header from upstream, "
                'client: %s, server: shop.test, request: "%s", upstream: "http://127.0.0.1:8000%s", host: "shop.test"\n'
                % (stamp, number, line.split(" ")[0], request, request.split(" ")[1]))


def peak(pid):
    """Peak resident MiB so far; wait4 would count the memory of this script, which the child began as."""
    try:
        with open("/proc/%d/status" % pid) as status:
            return max([int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM")], default=0)
    except OSError:
        return 0


def run(command):
    """Processor seconds, peak resident MiB, output and seconds of the clock, on one core, best of three."""
    best = None
    for _ in range(3):
        with tempfile.TemporaryFile() as out:
            before = time.perf_counter()
            child = subprocess.Popen(["taskset", "-c", "0"] + command, stdout=out, stderr=subprocess.DEVNULL)
            rss = 0
            while True:
                rss = max(rss, peak(child.pid))
                ended, _, usage = os.wait4(child.pid, os.WNOHANG)
                if ended:
                    break
                time.sleep(0.01)
            took = time.perf_counter() - before
            child.returncode = 0
            # The processor's time: another program on the machine does not count.
            busy = usage.ru_utime + usage.ru_stime
            out.seek(0)
            if best is None or busy < best[0]:
                best = (busy, rss, out.read(), took)
    return best


results = []
cases = [("combined", combined, False), ("main", main, False), ("json", as_json, False), ("main in Docker's", docker, False),
         ("main, error log", main, True)]
for name, line, with_errors in cases:
    path = os.path.join(directory, "access.log")
    generate(path, line)
    size = os.path.getsize(path)
    command = [program, "explain", "--format", "json", path]
    if with_errors:
        error_log(path, os.path.join(directory, "error.log"))
        command.append(os.path.join(directory, "error.log"))
    subprocess.run(["cat", path], stdout=subprocess.DEVNULL)
    why, rss, out, took = run(command)
    wc, _, _, _ = run(["wc", "-l", path])
    rg = run(["rg", "--no-config", "-j1", "-c", " 50[0-9] ", path])[0] if shutil.which("rg") else None
    results.append({
        "format": name,
        "mb": round(size / 1e6),
        "verdicts": out.count(b"\n"),
        "mb_per_cpu_second": round(size / 1e6 / why),
        "mb_per_second": round(size / 1e6 / took),
        "ratio_to_wc": round(why / wc, 2),
        "ratio_to_rg": round(why / rg, 2) if rg else None,
        "peak_rss_mib": round(rss, 1),
    })
    os.remove(path)

print("%-16s %7s %9s %8s %9s %7s %7s %9s" % (
    "format", "MB", "failures", "MB/CPU-s", "MB/s", "x wc", "x rg", "RSS MiB"))
for row in results:
    print("%-16s %7d %9d %8d %9d %7.2f %7s %9.1f" % (
        row["format"], row["mb"], row["verdicts"], row["mb_per_cpu_second"], row["mb_per_second"],
        row["ratio_to_wc"], row["ratio_to_rg"] or "-", row["peak_rss_mib"]))
print(json.dumps(results))
PYTHON
