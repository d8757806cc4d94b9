#!/usr/bin/env bash
# How fast `why502 explain` is.
#   healthy   reads healthy access lines on one core, beside `wc -l` and `rg ' 50[0-9] '` on the same file
#   outage    explains requests that all fail, with an error line and an access line each and a Gunicorn that dies
#   files     opens many small files
#
#   benches/explain.sh                    builds, makes the files (about 1 GB each), prints the tables, then JSON
#   benches/explain.sh outage files       only these
#   MIB=100 benches/explain.sh            smaller files of healthy lines
#   FAILED=100000 benches/explain.sh      fewer failed requests (1,000,000)
#   FILES=20000 benches/explain.sh        fewer files (100,000)
#   WHY502_BIN=path benches/explain.sh    a program that was built before
# Each figure is the best of three runs with the files in the page cache. Needs: cargo, python3, taskset, ripgrep.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mib=${MIB:-1000}
failed=${FAILED:-1000000}
many=${FILES:-100000}
[ $# -gt 0 ] || set -- healthy outage files
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

python3 - "$WHY502_BIN" "$files" "$mib" "$failed" "$many" "$@" <<'PYTHON'
import json, os, random, shutil, subprocess, sys, tempfile, time

program, directory = sys.argv[1:3]
mib, failed, many = map(int, sys.argv[3:6])
wanted = sys.argv[6:]
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


def run(command, one_core=True):
    """Processor seconds, peak resident MiB, output and seconds of the clock, best of three by the first."""
    best = None
    prefix = ["taskset", "-c", "0"] if one_core else []
    for _ in range(3):
        with tempfile.TemporaryFile() as out:
            before = time.perf_counter()
            child = subprocess.Popen(prefix + command, stdout=out, stderr=subprocess.DEVNULL)
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


def outage(folder, form, pages):
    """1,000 requests a second that all fail: a Gunicorn that is killed each half minute, and refuses connections."""
    os.makedirs(folder)
    rate, start, worker = 1_000, 1_772_614_800, 8
    with open(folder + "/error.log", "w") as errors, open(folder + "/access.log", "w") as accesses, \
            open(folder + "/gunicorn.log", "w") as gunicorn:
        for second in range(-(-failed // rate)):
            stamp = time.gmtime(start + second)
            of_gunicorn = time.strftime("[%Y-%m-%d %H:%M:%S +0000]", stamp)
            if second == 0:
                gunicorn.write("%s [7] [INFO] Listening at: http://127.0.0.1:8000 (7)\n" % of_gunicorn)
            elif second % 30 == 0:
                gunicorn.write("%s [7] [ERROR] Worker (pid:%d) was sent SIGKILL! Perhaps out of memory?\n" % (of_gunicorn, worker))
                worker += 1
                gunicorn.write("%s [%d] [INFO] Booting worker with pid: %d\n" % (of_gunicorn, worker, worker))
            of_error = time.strftime("%Y/%m/%d %H:%M:%S", stamp)
            local = "%02d/%s/%s" % (stamp.tm_mday, MONTHS[stamp.tm_mon - 1], time.strftime("%Y:%H:%M:%S +0000", stamp))
            iso = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", stamp)
            refused = second // 10 % 3 > 0
            message = ("connect() failed (111: Connection refused) while connecting to upstream" if refused else
                       "upstream prematurely closed connection while reading response header from upstream")
            for number in range(second * rate, min((second + 1) * rate, failed)):
                target = "/catalogue/item/%d?page=%d&sort=price" % (random.randrange(pages), number % 17)
                client = "198.51.%d.%d" % (random.randrange(256), random.randrange(256))
                errors.write(
                    '%s [error] 31#31: *%d %s, client: %s, server: shop.test, request: "GET %s HTTP/1.1", '
                    'upstream: "http://127.0.0.1:8000%s", host: "shop.test"\n'
                    % (of_error, number + 1, message, client, target, target))
                if form == "json":
                    accesses.write(
                        '{"time_iso8601":"%s","remote_addr":"%s","request":"GET %s HTTP/1.1","status":502,'
                        '"body_bytes_sent":157,"request_time":0.003,"upstream_addr":"127.0.0.1:8000",'
                        '"upstream_status":"502","upstream_connect_time":"%s","upstream_header_time":"-",'
                        '"upstream_response_time":"0.003","pid":"31","connection":"%d"}\n'
                        % (iso, client, target, "-" if refused else "0.000", number + 1))
                else:
                    accesses.write('%s - - [%s] "GET %s HTTP/1.1" 502 157 "-" "curl/8.15.0"\n' % (client, local, target))


def many_files(folder):
    """Each with three lines: of nginx's error log, of its access log, or of Gunicorn's."""
    start = 1_772_614_800
    for number in range(many):
        below = "%s/%03d" % (folder, number % 200)
        os.makedirs(below, exist_ok=True)
        with open("%s/app-%d.log" % (below, number), "w") as out:
            for line in range(3):
                stamp = time.gmtime(start + (number * 7 + line * 1_200) % 86_400)
                if number % 3 == 0:
                    out.write('%s [error] 31#31: *%d connect() failed (111: Connection refused) while connecting to upstream, '
                              'client: 192.0.2.1, server: s, request: "GET /%d/%d HTTP/1.1", upstream: "http://127.0.0.1:8000/", '
                              'host: "s"\n' % (time.strftime("%Y/%m/%d %H:%M:%S", stamp), number * 3 + line, number, line))
                elif number % 3 == 1:
                    local = "%02d/%s/%s" % (stamp.tm_mday, MONTHS[stamp.tm_mon - 1], time.strftime("%Y:%H:%M:%S +0000", stamp))
                    out.write('192.0.2.1 - - [%s] "GET /%d/%d HTTP/1.1" 200 157 "-" "curl/8.15.0"\n' % (local, number, line))
                else:
                    out.write(time.strftime("[%Y-%m-%d %H:%M:%S +0000]", stamp)
                              + " [%d] [INFO] Booting worker with pid: %d\n" % (number, number))


def measure(load, folder, count):
    """On all cores: somebody waits for it."""
    busy, rss, out, took = run([program, "explain", "--format", "json", folder], one_core=False)
    shutil.rmtree(folder)
    return {"load": load, "verdicts": out.count(b"\n") - out.count(b'"type":"incident"'), "cpu_seconds": round(busy, 2), "seconds": round(took, 2),
            "cpu_us_each": round(busy * 1e6 / count, 1), "peak_rss_mib": round(rss, 1)}


loads = []
if "outage" in wanted:
    for form in ("combined", "json"):
        for pages in (100_000, 1):
            outage(directory + "/outage", form, pages)
            name = "outage, %s, %s" % (form, "one page" if pages == 1 else "many pages")
            loads.append(measure(name, directory + "/outage", failed))
if "files" in wanted:
    many_files(directory + "/files")
    loads.append(measure("%d files" % many, directory + "/files", many))
if loads:
    print("%-30s %9s %7s %7s %9s %8s" % ("load", "verdicts", "CPU s", "s", "CPU us/1", "RSS MiB"))
    for row in loads:
        print("%-30s %9d %7.2f %7.2f %9.1f %8.1f" % tuple(row.values()))
    print(json.dumps(loads))

if "healthy" not in wanted:
    sys.exit()
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
        "verdicts": out.count(b"\n") - out.count(b'"type":"incident"'),
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
