"""The driver of compare.sh: starts each program in turn, sends it the same load, and prints what it took."""

import argparse
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPARE = ROOT / "benches/compare/target/release/compare"
WHY502 = ROOT / "target/release/why502"
BEFORE = None
COLLECTOR = ROOT / ".work/bin/otelcol"
TICK = os.sysconf("SC_CLK_TCK")
# Records a second of the load that is not as fast as it is taken, and for how long.
RATE = 20_000
RATE_SECONDS = 90

APPLICATIONS = {
    f"{lines}-{name}": (
        f"lines of another application, {what}, {size} bytes each",
        [["--failing", "0", "--lines", lines, "--line-bytes", str(size), *batch]],
        share,
    )
    for lines, what in (("text", "plain text"), ("json", "JSON"), ("postgres", "PostgreSQL"))
    for name, size, batch, share in (("300", 300, [], 1.0), ("4k", 4_096, ["--batch", "200"], 0.2))
}
HEALTHY_RATE = ["--failing", "0", "--rate", "4000", "--batch", "100", "--streams", "4"]
# name -> (what it is, options of each `compare load` that runs at once, share of --records or None for RATE_SECONDS)
LOADS = {
    "healthy": ("combined access lines, none failed", [["--failing", "0"]], 1.0),
    "json": ("JSON access lines, none failed", [["--failing", "0", "--json"]], 1.0),
    **APPLICATIONS,
    "mixed": ("combined access lines, 1 % of them 502s with their error lines", [["--failing", "10"]], 1.0),
    "traces": ("server spans, none failed", [["--failing", "0", "--traces"]], 1.0),
    "storm": ("502s alone: the error line and the access line of each", [["--storm"]], 0.6),
    "steady": (
        f"{RATE:,} records and {RATE:,} spans a second, 1 % of both failed",
        [["--failing", "10", "--rate", str(RATE)], ["--failing", "10", "--rate", str(RATE), "--traces"]],
        None,
    ),
    "beside": (
        "4,000 healthy records and 4,000 healthy spans a second while another path fails 2,000 times a second",
        [HEALTHY_RATE, [*HEALTHY_RATE, "--traces"], ["--storm", "--rate", "4000", "--batch", "100", "--streams", "2"]],
        None,
    ),
}

COLLECTOR_CONFIG = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:PORT", max_recv_msg_size_mib: 64}}}}
exporters: {otlp: {endpoint: "127.0.0.1:SINK", tls: {insecure: true}, compression: none}}
service:
  telemetry: {metrics: {level: none}, logs: {level: error}}
  pipelines:
    logs: {receivers: [otlp], exporters: [otlp]}
    traces: {receivers: [otlp], exporters: [otlp]}
"""
WHY502_CONFIG = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:PORT"}}}}
processors: {why502: {}}
exporters: {otlp: {endpoint: "127.0.0.1:SINK", tls: {insecure: true}, compression: none}}
service:
  pipelines:
    logs: {receivers: [otlp], processors: [why502], exporters: [otlp]}
    traces: {receivers: [otlp], processors: [why502], exporters: [otlp]}
"""

# The same with every request on the disk before it is acknowledged.
JOURNAL_CONFIG = WHY502_CONFIG.replace("compression: none", "compression: none, sending_queue: {storage: journal}")
JOURNAL_CONFIG += "journal: {directory: FOLDER/journal, max_bytes: 4GiB}\n"


def syncs_a_second(folder, size=4_096, count=300):
    """What the disk itself does: so much appended and synced, one after the other."""
    with open(folder / "syncs", "wb", buffering=0) as file:
        began = time.monotonic()
        for _ in range(count):
            file.write(b"x" * size)
            os.fdatasync(file.fileno())
        return count / (time.monotonic() - began)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process):
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit(f"error: {process.args[0]} ended with {process.returncode} before it listened")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"error: {process.args[0]} does not listen on port {port}")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mib(pid, key="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def command_of(subject, port, sink, folder):
    if subject == "proxy":
        return [COMPARE, "proxy", "--listen", f"127.0.0.1:{port}", "--to", f"http://127.0.0.1:{sink}"]
    config = folder / f"{subject}.yaml"
    text = {"collector": COLLECTOR_CONFIG, "journal": JOURNAL_CONFIG}.get(subject, WHY502_CONFIG)
    config.write_text(text.replace("PORT", str(port)).replace("SINK", str(sink)).replace("FOLDER", str(folder)))
    program = {"collector": COLLECTOR, "before": BEFORE}.get(subject)
    return [program, "--config", config] if subject == "collector" else [program or WHY502, "run", "--config", config]


class Sampler(threading.Thread):
    """Reads resident memory four times a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.samples, self.over = pid, [], threading.Event()

    def run(self):
        while not self.over.wait(0.25):
            try:
                self.samples.append(resident_mib(self.pid))
            except OSError:
                return


def run_once(subject, load, records, seconds, folder):
    port, sink_port = free_port(), free_port()
    sink = subprocess.Popen([COMPARE, "sink", "--listen", f"127.0.0.1:{sink_port}"], stdout=subprocess.PIPE, text=True)
    process = None
    try:
        wait_for(sink_port, sink)
        log = open(folder / f"{subject}.log", "w+")
        process = subprocess.Popen(command_of(subject, port, sink_port, folder), stdout=log, stderr=log)
        wait_for(port, process)
        before = cpu_seconds(process.pid)
        sampler = Sampler(process.pid)
        sampler.start()
        senders = []
        for options in LOADS[load][1]:
            rate = int(options[options.index("--rate") + 1]) if "--rate" in options else 0
            count = rate * seconds if rate else int(records * LOADS[load][2])
            command = [COMPARE, "load", "--to", f"http://127.0.0.1:{port}", "--records", str(count), *options]
            senders.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        done = [(sender.communicate(timeout=900)[0], sender.returncode) for sender in senders]
        if any(code for _, code in done):
            raise SystemExit(f"error: {subject}, {load}: a load ended early")
        done = [json.loads(text) for text, _ in done]
        # What is held or queued counts too: until nothing more is used.
        last = cpu_seconds(process.pid)
        for _ in range(60):
            time.sleep(0.5)
            now = cpu_seconds(process.pid)
            if now - last < 0.02:
                break
            last = now
        sampler.over.set()
        sent = sum(one["sent"] for one in done)
        cpu = cpu_seconds(process.pid) - before
        result = {
            "cpu_s_per_million": cpu / sent * 1e6,
            "per_second": sum(one["sent"] / one["seconds"] for one in done),
            # Of a storm, in which two records are one request.
            "requests_per_core": sent / 2 / max(cpu, 1 / TICK) if load == "storm" else None,
            "refused": sum(one["refused"] for one in done),
            "rss_peak_mib": resident_mib(process.pid, "VmHWM"),
        }
        third = max(len(sampler.samples) // 3, 1)
        result["rss_first_third_mib"] = statistics.median(sampler.samples[:third] or [0.0])
        result["rss_last_third_mib"] = statistics.median(sampler.samples[-third:] or [0.0])
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=60) != 0 and subject in ("why502", "journal"):
            raise SystemExit(f"error: {subject} ended with {process.returncode}")
        sink.send_signal(signal.SIGTERM)
        took = json.loads(sink.communicate(timeout=60)[0])
        arrived = took["spans"] + took["log_records"]
        if arrived != sent and subject != "before":
            raise SystemExit(f"error: {subject}, {load}: {sent:,} sent, {arrived:,} arrived")
        if arrived != sent:
            print(f"{subject}, {load}: {sent - arrived:,} of {sent:,} did not arrive", file=sys.stderr)
        delays = ("delay_ms_p50", "delay_ms_p99", "span_delay_ms_p50", "span_delay_ms_p99")
        result.update({key: took[key] for key in ("verdicts", *delays)})
        return result
    finally:
        for one in (process, sink):
            if one and one.poll() is None:
                one.kill()
                one.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=2_000_000, help="of each load that is as fast as it is taken")
    parser.add_argument("--seconds", type=int, default=RATE_SECONDS, help="of each load that has a rate")
    parser.add_argument("--why502", type=pathlib.Path, help="another binary than that of this folder")
    parser.add_argument("--before", type=pathlib.Path, help="an older binary of why502, which runs beside it")
    parser.add_argument("--only", help="loads, by comma: " + ", ".join(LOADS))
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go as JSON, beside the table")
    parser.add_argument("--without-collector", action="store_true")
    parser.add_argument("--journal", action="store_true", help="why502 with a journal as well, in the folder for temporary files")
    options = parser.parse_args()
    global WHY502, BEFORE
    WHY502, BEFORE = options.why502 or WHY502, options.before
    loads = options.only.split(",") if options.only else list(LOADS)
    if unknown := [load for load in loads if load not in LOADS]:
        parser.error(f"no load is named {unknown[0]}; there are {', '.join(LOADS)}")
    subjects = ["proxy", *(["before"] if options.before else []), "why502", *(["journal"] if options.journal else [])]
    subjects += [] if options.without_collector else ["collector"]
    figures = {load: {subject: [] for subject in subjects} for load in loads}
    with tempfile.TemporaryDirectory() as folder:
        if options.journal:
            print(f"the disk alone: {syncs_a_second(pathlib.Path(folder)):,.0f} syncs of 4 KiB a second")
        for number in range(options.rounds):
            for load in loads:
                # Side by side: a noisy minute hits all of a round.
                for subject in subjects:
                    print(f"round {number + 1} of {options.rounds}: {load}, {subject}      ", end="\r", file=sys.stderr)
                    figures[load][subject].append(run_once(subject, load, options.records, options.seconds, pathlib.Path(folder)))
    summary = summarise(figures)
    print(table(summary))
    if options.json:
        options.json.write_text(json.dumps({"rounds": options.rounds, "records": options.records, "loads": summary}, indent=1) + "\n")
    else:
        print(json.dumps(summary))


def summarise(figures):
    summary = {}
    for load, subjects in figures.items():
        summary[load] = {}
        for subject, runs in subjects.items():
            medians = {}
            for key in runs[0]:
                values = [run[key] for run in runs if run[key] is not None]
                medians[key] = round(statistics.median(values), 3) if values else None
            ratios = [run["cpu_s_per_million"] / base["cpu_s_per_million"] for run, base in zip(runs, subjects["proxy"])]
            medians["cpu_ratio"] = round(statistics.median(ratios), 3)
            medians["cpu_ratio_range"] = [round(min(ratios), 3), round(max(ratios), 3)]
            medians["rss_peak_mib"] = round(max(run["rss_peak_mib"] for run in runs), 1)
            summary[load][subject] = medians
    return summary


def table(summary):
    lines = [
        "| load | program | CPU s / million | ratio to the proxy (range) | records/s | requests/s a core | peak RSS MiB | RSS first -> last third | records' delay p50 / p99 ms | spans' delay p50 / p99 ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for load, subjects in summary.items():
        for subject, of in subjects.items():
            low, high = of["cpu_ratio_range"]
            delay, span_delay = (
                "" if of[key + "_p99"] is None else f"{of[key + '_p50']:.1f} / {of[key + '_p99']:.1f}"
                for key in ("delay_ms", "span_delay_ms")
            )
            per_core = "" if of["requests_per_core"] is None else f"{of['requests_per_core']:,.0f}"
            lines.append(
                f"| {load} | {subject} | {of['cpu_s_per_million']:.2f} | {of['cpu_ratio']:.2f} ({low:.2f} - {high:.2f}) "
                f"| {of['per_second']:,.0f} | {per_core} | {of['rss_peak_mib']:.0f} "
                f"| {of['rss_first_third_mib']:.0f} -> {of['rss_last_third_mib']:.0f} | {delay} | {span_delay} |"
            )
    lines += ["", *(f"{load}: {LOADS[load][0]}" for load in summary)]
    return "\n".join(lines)


main()
