"""Several why502 without Kafka: the collector's `loadbalancing` exporter sends everything of a namespace, logs and spans
alike, to the same one. It is of a later collector than the other tests have; at 0.152 it cannot."""

import time
import urllib.request

import lines
import yaml
from harness import ROOT, Process, attributes, binary, free_port, listens, records, requests, spans, wait_for
from peers import PROGRAMS, is_own, is_verdict

NAMESPACES = [f"shop-{number}" for number in range(6)]
RECIPE = ROOT / "deploy" / "recipes" / "collector-loadbalancing.yaml"


class Why502:
    def __init__(self, directory, name):
        self.grpc, self.out = free_port(), directory / f"{name}.jsonl"
        config = directory / f"{name}.yaml"
        config.write_text(f"""receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{self.grpc}"}}, http: {{endpoint: "127.0.0.1:{free_port()}"}}}}}}
processors: {{why502: {{hold: 2s}}}}
exporters: {{file: {{path: {self.out}}}}}
service:
  pipelines:
    logs: {{receivers: [otlp], processors: [why502], exporters: [file]}}
    traces: {{receivers: [otlp], processors: [why502], exporters: [file]}}
web: {{endpoint: ""}}
""")
        self.process = Process([binary(), "run", "--config", str(config)], directory / f"{name}.log")
        assert wait_for(lambda: listens(self.grpc)), (directory / f"{name}.log").read_text()

    def stop(self):
        return self.process.stop(30)

    def verdicts(self):
        told = [record for record in records(self.out) if is_verdict(record)]
        return {attributes(one)["why502.request.uid"]: (one["body"]["stringValue"], one.get("traceId")) for one in told}

    def bodies(self):
        return [record["body"]["stringValue"] for record in records(self.out) if not is_own(record)]

    def namespaces(self, signal, group):
        """Whose logs or spans came here."""
        return {attributes(one["resource"])["k8s.namespace.name"] for request in requests(self.out) for one in request.get(group, [])
                if signal in str(one) and "k8s.namespace.name" in attributes(one["resource"])}


def balancer(stage, backends):
    """The recipe's exporter, with backends of this machine."""
    port = free_port()
    settings = yaml.safe_load(RECIPE.read_text())
    [(name, exporter)] = settings["exporters"].items()
    exporter["resolver"] = {"static": {"hostnames": [f"127.0.0.1:{one}" for one in backends]}}
    pipelines = {signal: {"receivers": ["otlp"], "exporters": [name]} for signal in ("logs", "traces")}
    config = {"receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}}, "exporters": {name: exporter},
              "service": {"pipelines": pipelines, "telemetry": {"metrics": {"level": "none"}}}}
    path, log = stage.directory / f"balancer-{port}.yaml", stage.directory / f"balancer-{port}.log"
    path.write_text(yaml.safe_dump(config))
    stage.run(Process([str(PROGRAMS / "balancer"), "--config", str(path)], log))
    assert wait_for(lambda: listens(port), 30), log.read_text()
    return port


def test_logs_and_spans_of_a_namespace_come_to_one_instance(stage):
    alone = stage.run(Why502(stage.directory, "alone"))
    several = [stage.run(Why502(stage.directory, f"one-of-two-{number}")) for number in (1, 2)]
    ports = balancer(stage, [live.grpc for live in several]), balancer(stage, [alone.grpc])
    sent = []
    for number in range(6):
        now = time.time()
        for namespace in NAMESPACES:
            for signal, request in lines.story(namespace, number, now):
                groups = request.resource_logs if signal == "logs" else request.resource_spans
                groups[0].resource.attributes.add(key="k8s.namespace.name").value.string_value = namespace
                sent += [record.body.string_value for record in groups[0].scope_logs[0].log_records] if signal == "logs" else []
                for port in ports:
                    path = "logs" if signal == "logs" else "traces"
                    call = urllib.request.Request(f"http://127.0.0.1:{port}/v1/{path}", request.SerializeToString(), {"Content-Type": "application/x-protobuf"})
                    urllib.request.urlopen(call, timeout=10).close()
    everything = sorted(sent)
    assert wait_for(lambda: sorted(alone.bodies()) == everything and sorted(several[0].bodies() + several[1].bodies()) == everything, 30)
    expected = 6 * len(NAMESPACES)
    assert wait_for(lambda: len(alone.verdicts()) == expected and sum(len(live.verdicts()) for live in several) == expected, 20)
    first, second = several
    assert first.verdicts() | second.verdicts() == alone.verdicts() and not first.verdicts().keys() & second.verdicts().keys()
    assert any(trace for _, trace in alone.verdicts().values())
    for live, other in ((first, second), (second, first)):
        logs, traces = live.namespaces("logRecords", "resourceLogs"), live.namespaces("spans", "resourceSpans")
        assert logs and traces == logs and not logs & other.namespaces("logRecords", "resourceLogs")
    assert len(spans(first.out)) + len(spans(second.out)) == len(NAMESPACES)
