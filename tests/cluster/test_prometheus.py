"""Prometheus: its tools read our rules and our metrics, and a real one scrapes a running why502 and evaluates both."""

import json
import re
import urllib.parse
import urllib.request

from conftest import DEPLOY, Watched, run, succeed
from harness import Gunicorn, Nginx, Process, binary, free_port, wait_for

# One backend waits behind a journal, whose metrics the rules ask for as well; nobody is there.
CONFIG = """
journal: {directory: {out}.journal}
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:{grpc}"}}}}
processors: {why502: {hold: 500ms}}
exporters:
  file: {path: {out}}
  otlp/kept: {endpoint: "http://127.0.0.1:9", sending_queue: {storage: journal}}
extensions: {health_check: {endpoint: "127.0.0.1:{probes}"}}
service:
  extensions: [health_check]
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: {metrics}}}}}]}}
  pipelines: {logs: {receivers: [otlp], processors: [why502], exporters: [file, otlp/kept]}}
"""


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_rules_are_sound_and_fire_when_they_should():
    rules = DEPLOY / "prometheus" / "rules.yaml"
    assert "SUCCESS" in succeed("promtool", "check", "rules", rules)
    succeed("promtool", "test", "rules", DEPLOY / "prometheus" / "rules.test.yaml")


def test_a_real_prometheus_scrapes_what_rules_and_dashboard_ask_for(tmp_path, started):
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(0o755)
    live = started(Watched(tmp_path, CONFIG))
    # A failure for real: the socket is dead, nginx answers 502.
    back = Gunicorn(tmp_path, f"127.0.0.1:{free_port()}")
    front = started(Nginx(tmp_path, back.bind))
    back.stop()
    started(Process([binary(), "tail", "--to", f"http://127.0.0.1:{live.grpc}", "--from-start", str(front.access), str(front.error),
                     str(back.log)], tmp_path / "tail.log"))
    assert front.get("/cart") == 502

    # What it says is what Prometheus's linter wants.
    page = f"http://127.0.0.1:{live.metrics}/metrics"
    assert wait_for(lambda: re.search(r"^why502_incidents_open\{.*\} 1$", get(page), re.M), 20), get(page)
    text = get(page)
    checked = run("promtool", "check", "metrics", input=text)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stderr.strip() == ""

    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(f"""global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{DEPLOY}/prometheus/rules.yaml]
scrape_configs: [{{job_name: why502, static_configs: [{{targets: ["127.0.0.1:{live.metrics}"]}}]}}]
""")
    succeed("promtool", "check", "config", config)
    started(Process(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/tsdb",
                     f"--web.listen-address=127.0.0.1:{port}"], tmp_path / "prometheus.log"))

    def ask(expression):
        try:
            answer = json.loads(get(f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
        except OSError:
            return None
        assert answer["status"] == "success", (expression, answer)
        return answer["data"]["result"]

    found = wait_for(lambda: ask('why502_verdicts_total{cause="gunicorn_not_running"} > 0'), 30)
    assert found and found[0]["value"][1] == "1", found
    assert wait_for(lambda: ask('ALERTS{alertname="Why502IncidentOpen"}'), 15)
    assert not ask('ALERTS{alertname=~"Why502(Loses|Down|QueueFills|JournalFills|JournalPoisoned|KafkaLags|Refuses|Restarts)"}')

    # Whatever the dashboard asks is understood, and the metrics that it names are there.
    dashboard = json.loads((DEPLOY / "prometheus" / "dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked += [one["expr"] for one in dashboard["annotations"]["list"]]
    assert len(asked) > 12
    for expression in asked:
        for name, value in (("$__rate_interval", "1m"), ("$__range", "1h"), ("$job", ".*"), ("$instance", ".*")):
            expression = expression.replace(name, value)
        assert ask(expression) is not None, expression
    rules = (DEPLOY / "prometheus" / "rules.yaml").read_text()
    named = set(re.findall(r"\bwhy502_[a-z_]+", "\n".join(asked) + rules))
    # That of topics is there where one is read: tests/interop/test_kafka.py asks for it.
    for name in named - {"why502_kafka_receiver_offset_lag"}:
        assert ask(name), name
