"""What programs are promised: real output fits its JSON Schema, and what does not fit is refused by it."""

import copy
import json
import re
import subprocess

import pytest
import stage
import test_report
import yaml
from jsonschema import Draft202012Validator

ROOT = stage.ROOT


def printed(of):
    done = subprocess.run([stage.PROGRAM, "schema", of], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    Draft202012Validator.check_schema(schema)
    assert json.loads((ROOT / f"docs/{of}.schema.json").read_text()) == schema, "the document is what the program prints"
    return Draft202012Validator(schema)


def lines(*arguments):
    done = subprocess.run([stage.PROGRAM, "explain", *arguments, "--format", "json"], capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_line_of_explain_fits(tmp_path):
    schema = printed("explain")
    files = test_report.logs(tmp_path)
    (tmp_path / "more.log").write_text("\n".join([
        stage.access(1_795_000_000, "/gone", 499, took=3.0), stage.access(1_795_000_001, "/ok", 200),
        stage.gunicorn(1_795_000_100, 9, "ERROR", "Worker failed to boot."),
    ]) + "\n")  # fmt: skip
    examples = sorted((ROOT / "docs/example").glob("*.log"))
    found = lines(*files, tmp_path / "more.log", *examples, "--all")
    assert {line["type"] for line in found} == {"request", "failure", "incident", "good"}, found
    for line in found:
        assert list(schema.iter_errors(line)) == [], line
    request = next(line for line in found if line["type"] == "request")
    for change in ({"cause": "nothing"}, {"confidence": 1.5}, {"uid": "x"}, {"type": "other"}, {"more": 1}, {"link": {}}):
        assert not schema.is_valid({**request, **change}), change
    for key in request:
        without = copy.deepcopy(request)
        del without[key]
        assert not schema.is_valid(without), key


def test_configurations_that_are_valid_fit_and_others_do_not(tmp_path):
    schema = printed("configuration")
    shown = [block for block in re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S) if block.startswith("receivers:")]
    shown += re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/configuration.md").read_text(), re.S)
    assert len(shown) >= 2
    shown.append("""
receivers: {otlp/a: {protocols: {grpc: {endpoint: ":4317", max_recv_msg_size_mib: "${env:SIZE}", keepalive: {server_parameters: {max_connection_age: 1h30m}}}}}}
processors: {why502: {hold: 500ms, link: {threshold: 0.9}, time_zone: "+02:00", sites: {upstreams: [{nginx: {host.name: a}, server: {service.name: b}}]}}, batch: {}}
exporters: {otlp_http/b: {endpoint: "https://b", headers: {a: b}, compression: zstd, sending_queue: {queue_bytes: 64MiB}}, file: {path: x}, debug: }
service: {pipelines: {logs/1: {receivers: [otlp/a], processors: [why502], exporters: [otlp_http/b]}}, telemetry: {logs: {level: warn}}}
web: {endpoint: "", hosts: [a.example]}
""")
    for text in shown:
        assert list(schema.iter_errors(yaml.safe_load(text))) == [], text
    whole = yaml.safe_load(shown[-1])
    wrong = [
        {"recievers": {}}, {"receivers": {"zipkin": {}}}, {"receivers": {"kafka": {"broker": ["a:9092"]}}}, {"processors": {"why502": {"holdd": "8s"}}}, {"processors": {"why502": {"hold": "8 apples"}}},
        {"processors": {"why502": {"link": {"threshold": 2}}}}, {"exporters": {"otlp": {"compression": "brotli"}}}, {"service": {"pipelines": {"profiles": {}}}},
        {"web": {"endpoint": ["x"]}}, {"web": {"port": 1}}, {"service": {"pipelines": {"logs": {"receivers": "otlp"}}}},
    ]  # fmt: skip
    for change in wrong:
        assert not schema.is_valid({**whole, **change}), change


@pytest.mark.parametrize("of", ["nothing", ""])
def test_there_is_no_other(of):
    assert subprocess.run([stage.PROGRAM, "schema", of], capture_output=True, timeout=60).returncode == 2
