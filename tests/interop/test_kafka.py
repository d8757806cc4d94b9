"""why502 between real topics: a KRaft broker, the real collector's kafka exporter and receiver, and librdkafka."""

import collections
import json
import signal
import threading
import time
import urllib.error
import urllib.request

import lines
import pytest
from broker import PLAIN, SCRAM, Broker
from harness import Process, attributes, binary, free_port, records, requests, spans, wait_for
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from peers import is_own, is_verdict, tags


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    made = Broker(tmp_path_factory.mktemp("kafka"))
    yield made
    made.stop()


class Why502:
    """`why502 run` with a configuration in which `{out}` is the file that it writes and `{health}` its probes."""

    def __init__(self, directory, text, name="why502"):
        self.out = directory / f"{name}.jsonl"
        self.log = directory / f"{name}.log"
        self.config = directory / f"{name}.yaml"
        self.health = free_port()
        self.config.write_text(
            text.replace("{out}", str(self.out)).replace("{health}", f"127.0.0.1:{self.health}") + '\nweb: {endpoint: ""}\n')
        self.start()

    def start(self):
        self.process = Process([binary(), "run", "--config", str(self.config)], self.log)

    def ready(self):
        """What `/readyz` says; nothing before it listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=5) as answer:
                return answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            return error.read().decode().strip()
        except OSError:
            return ""

    def records(self):
        return records(self.out)

    def stop(self):
        return self.process.stop(30)


def reads(broker, out="file", topics=("otlp_logs", "otlp_spans"), group="why502", more="", hold="2s", endpoint=None, exporters="", pipeline="", processors="[why502]"):
    """A configuration that reads two topics."""
    return f"""receivers:
  kafka: {{brokers: ["{endpoint or broker.endpoint}"], initial_offset: earliest, group_id: {group}, logs: {{topics: [{topics[0]}]}}, traces: {{topics: [{topics[1]}]}}{more}}}
processors: {{why502: {{hold: {hold}}}}}
exporters:
  file: {{path: {{out}}}}
{exporters}
extensions: {{health_check: {{endpoint: "{{health}}"}}}}
service:
  extensions: [health_check]
  pipelines:
    logs: {{receivers: [kafka], processors: {processors}, exporters: [{out}]}}
    traces: {{receivers: [kafka], processors: {processors}, exporters: [{out}]}}
{pipeline}"""


def topics(broker, name, partitions=4):
    made = (f"{name}_logs", f"{name}_spans")
    broker.topics(*made, partitions=partitions)
    return made


def lines_of(found):
    return sorted(record["body"]["stringValue"] for record in found if not is_own(record))


TRACE, SPAN = bytes(range(16)), bytes(range(8))


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
def test_what_the_collector_writes_into_topics_comes_out(stage, broker, encoding):
    names = topics(broker, f"in_{encoding}")
    collector = stage.collector(f"""receivers:
  otlp: {{protocols: {{http: {{endpoint: "{{http}}"}}}}}}
exporters:
  kafka: {{brokers: ["{broker.endpoint}"], logs: {{topic: {names[0]}, encoding: {encoding}}}, traces: {{topic: {names[1]}, encoding: {encoding}}}, partition_logs_by_resource_attributes: true}}
service:
  pipelines:
    logs: {{receivers: [otlp], exporters: [kafka]}}
    traces: {{receivers: [otlp], exporters: [kafka]}}""")
    text = reads(broker, topics=names, group=f"in_{encoding}")
    text = text.replace(f"topics: [{names[0]}]", f"topics: [{names[0]}], encoding: {encoding}")
    text = text.replace(f"topics: [{names[1]}]", f"topics: [{names[1]}], encoding: {encoding}")
    live = stage.run(Why502(stage.directory, text))
    now = time.time()
    sent = [lines.logs("shop", "error.log", [lines.refused(5, now)]), lines.logs("shop", "access.log", [lines.access(5, now)]),
            lines.healthy("other", 20, now)]
    for request in sent:
        call = urllib.request.Request(f"http://127.0.0.1:{collector.http}/v1/logs", request.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        urllib.request.urlopen(call, timeout=10).close()
    request = lines.spans("shop", [(TRACE, SPAN, "/other", now - 1, now, 200)])
    call = urllib.request.Request(f"http://127.0.0.1:{collector.http}/v1/traces", request.SerializeToString(), {"Content-Type": "application/x-protobuf"})
    urllib.request.urlopen(call, timeout=10).close()
    assert wait_for(lambda: len(lines_of(live.records())) >= 22 and spans(live.out)), live.log.read_text()
    expected = sorted(record.body.string_value for request in sent for group in request.resource_logs for scope in group.scope_logs for record in scope.log_records)
    assert lines_of(live.records()) == expected
    verdicts = [attributes(record) for record in live.records() if is_verdict(record)]
    assert [verdict["why502.cause"] for verdict in verdicts] == ["gunicorn_not_running"]
    assert [span["name"] for span in spans(live.out)] == ["GET /other"]
    # Both lines of the failed request say why, and nothing of the second service does.
    told = [record for record in live.records() if not is_own(record) and "why502.cause" in attributes(record)]
    assert len(told) == 2 and wait_for(lambda: broker.lag(f"in_{encoding}", *names) == 0)


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
def test_what_goes_into_topics_is_what_came(stage, broker, encoding):
    names = topics(broker, f"out_{encoding}")
    http = free_port()
    # Untouched, so that bytes can be compared.
    live = stage.run(Why502(stage.directory, f"""receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{http}"}}}}}}
exporters:
  kafka: {{brokers: ["{broker.endpoint}"], logs: {{topic: {names[0]}, encoding: {encoding}}}, traces: {{topic: {names[1]}, encoding: {encoding}}}, partition_by: [service.name]}}
service:
  pipelines:
    logs: {{receivers: [otlp], exporters: [kafka]}}
    traces: {{receivers: [otlp], exporters: [kafka]}}"""))
    collector = stage.collector(f"""receivers:
  kafka: {{brokers: ["{broker.endpoint}"], initial_offset: earliest, group_id: col_{encoding}, logs: {{topics: [{names[0]}], encoding: {encoding}}}, traces: {{topics: [{names[1]}], encoding: {encoding}}}}}
exporters:
  file: {{path: "{{out}}"}}
service:
  pipelines:
    logs: {{receivers: [kafka], exporters: [file]}}
    traces: {{receivers: [kafka], exporters: [file]}}""")
    assert wait_for(lambda: "takes OTLP" in live.log.read_text())
    now = time.time()
    shop, other = lines.healthy("shop", 30, now), lines.healthy("other", 10, now)
    # Two services in one request: each goes its own way.
    both = ExportLogsServiceRequest.FromString(shop.SerializeToString() + other.SerializeToString())
    traces = lines.spans("shop", [(TRACE, SPAN, "/a", now - 1, now, 200)])
    for path, request in (("logs", both), ("traces", traces)):
        call = urllib.request.Request(f"http://127.0.0.1:{http}/v1/{path}", request.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        urllib.request.urlopen(call, timeout=10).close()
    found = {message.key(): message for message in broker.messages(names[0], 2)}
    assert sorted(found) == [b"other", b"shop"]
    [trace] = broker.messages(names[1], 1)
    # Logs and traces of a service stand in partitions of one number: one instance reads both.
    assert (trace.key(), trace.partition()) == (b"shop", found[b"shop"].partition())
    if encoding == "otlp_proto":
        assert found[b"shop"].value() == shop.SerializeToString()
        assert found[b"other"].value() == other.SerializeToString()
        assert trace.value() == traces.SerializeToString()
    else:
        [group] = json.loads(found[b"other"].value())["resourceLogs"]
        assert len(group["scopeLogs"][0]["logRecords"]) == 10
    # And the real collector reads it.
    assert wait_for(lambda: len(collector.records()) == 40 and spans(collector.out)), collector.log.read_text()
    sent = [record.body.string_value for group in both.resource_logs for record in group.scope_logs[0].log_records]
    assert sorted(record["body"]["stringValue"] for record in collector.records()) == sorted(sent)


def test_a_poisoned_message_is_skipped_counted_and_kept(stage, broker):
    names = topics(broker, "poison", partitions=1)
    dead = stage.directory / "dead.jsonl"
    metrics = free_port()
    text = reads(broker, topics=names, group="poison", more=f", dead_letter: {{path: {dead}}}")
    text += f'  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {metrics}}}}}}}}}]}}}}\n'
    live = stage.run(Why502(stage.directory, text))
    now = time.time()
    good = lines.healthy("shop", 5, now).SerializeToString()
    broker.produce(names[0], [good, (b"key", b"\xff\xff poison"), b"", good, b"{}", good], partition=0)
    assert wait_for(lambda: len(live.records()) == 15), live.log.read_text()
    assert wait_for(lambda: broker.lag("poison", *names) == 0)
    letters = [json.loads(line) for line in dead.read_text().splitlines()]
    assert [(letter["topic"], letter["partition"], letter["offset"]) for letter in letters] == [(names[0], 0, 1), (names[0], 0, 4)]
    assert (letters[0]["key"], letters[0]["value"]) == ("a2V5", "//8gcG9pc29u") and "OTLP" in letters[0]["reason"]
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as answer:
        counted = [line for line in answer.read().decode().splitlines() if "malformed" in line]
    assert counted and all(line.endswith(" 2") for line in counted), counted
    # Told of at a limited rate, with its place.
    assert live.log.read_text().count("is skipped") == 1
    assert f"offset 1 of `{names[0]}`, partition 0, is skipped: it is no OTLP" in live.log.read_text()
    live.stop()
    assert wait_for(lambda: broker.members("poison") == 0)


def test_a_broker_that_is_away_is_waited_for(stage, tmp_path):
    broker = stage.run(Broker(tmp_path / "broker"))
    names = topics(broker, "away")
    broker.stop()
    text = reads(broker, topics=names, group="away", exporters=f"""  kafka: {{brokers: ["{broker.endpoint}"], logs: {{topic: {names[0]}}}, retry_on_failure: {{initial_interval: 200ms, max_interval: 1s}}}}
""")
    live = stage.run(Why502(stage.directory, text))
    assert wait_for(lambda: "cannot reach" in live.ready()), live.log.read_text()
    assert live.process.child.poll() is None
    said = [line for line in live.log.read_text().splitlines() if "cannot reach" in line]
    assert len(said) == 1 and broker.endpoint in said[0] and "check receivers::kafka::brokers" in said[0]
    broker.start()
    broker.produce(names[0], [lines.healthy("shop", 5, time.time()).SerializeToString()])
    assert wait_for(lambda: len(live.records()) == 5, 40), live.log.read_text()
    assert wait_for(lambda: live.ready() == "ready")
    # Away once more, in the middle: what was read stays, and it goes on by itself.
    broker.stop()
    assert wait_for(lambda: "kafka" in live.ready(), 30), live.log.read_text()
    broker.start()
    broker.produce(names[0], [lines.healthy("shop", 5, time.time(), first=5).SerializeToString()])
    assert wait_for(lambda: len(live.records()) >= 10, 60), live.log.read_text()
    assert sorted(set(lines_of(live.records()))) == lines_of(live.records()), "committed before it went away: not read twice"


def test_what_is_missing_or_refused_is_one_sentence(stage, broker):
    made = topics(broker, "refused")

    count = 0

    def run(text):
        nonlocal count
        count += 1
        return Why502(stage.directory, text, f"why502-{count}")

    def check(text, *words):
        live = run(text)
        try:
            # Before the first try it says that there was none.
            says = lambda: "has not reached" not in live.ready() and all(word in live.ready() for word in words)  # noqa: E731
            assert wait_for(says, 30), (live.ready(), live.log.read_text())
            told = wait_for(lambda: [line for line in live.log.read_text().splitlines() if "WARN" in line])
            assert len(told) == 1 and all(word in told[0] for word in words), told
            assert live.process.child.poll() is None
        finally:
            live.stop()

    check(reads(broker, topics=("no_such_topic", made[1])), "topic `no_such_topic` does not exist", "make it")

    def sasl(mechanism, user, password):
        return f", auth: {{sasl: {{mechanism: {mechanism}, username: {user}, password: {password}}}}}"

    for mechanism, (user, password) in (("PLAIN", PLAIN), ("SCRAM-SHA-256", SCRAM)):
        check(reads(broker, topics=made, endpoint=broker.guarded, more=sasl(mechanism, user, "wrong")),
              "refuses the password", f"`{user}`", "auth::sasl")
        live = run(reads(broker, topics=made, group=f"g_{user}", endpoint=broker.guarded, more=sasl(mechanism, user, password)))
        assert wait_for(lambda: live.ready() == "ready", 30), live.log.read_text()
        live.stop()
    # Plain text to a listener that wants a password.
    check(reads(broker, topics=made, endpoint=broker.guarded), "receivers::kafka")


def test_over_tls_it_reads_and_writes_with_a_certificate(stage, broker):
    made = topics(broker, "tls")
    broker.topics("tls_out", "tls_out_spans")
    exporters = f"""  kafka: {{brokers: ["{broker.secured}"], {broker.tls()}, logs: {{topic: tls_out}}, traces: {{topic: tls_out_spans}}}}
"""

    def run(name, tls):
        return stage.run(Why502(stage.directory, reads(
            broker, topics=made, group="tls", endpoint=broker.secured, more=f", {tls}", out="kafka", exporters=exporters), name))

    bodies = [f"line {number}" for number in range(100)]
    broker.produce(made[0], (lines.logs("shop", "app.log", [body]).SerializeToString() for body in bodies))
    # Who shows no certificate, or trusts somebody else, is told of it and reads nothing.
    for name, tls, word in (("nobody", broker.tls(shown=None), "fatal alert"), ("stranger", broker.tls(authority="client.crt"), "UnknownIssuer")):
        live = run(name, tls)
        words = ("cannot reach", word, "check receivers::kafka::tls::ca_file", "cert_file")
        assert wait_for(lambda: all(word in live.ready() for word in words), 40), (live.ready(), live.log.read_text())
        live.stop()
    live = run("good", broker.tls())
    assert wait_for(lambda: live.ready() == "ready", 30), (live.ready(), live.log.read_text())
    assert wait_for(lambda: broker.lag("tls", *made) == 0, 30), live.log.read_text()
    requests = [ExportLogsServiceRequest.FromString(message.value()) for message in broker.messages("tls_out")]
    groups = [group for request in requests for group in request.resource_logs]
    assert sorted(record.body.string_value for group in groups for record in group.scope_logs[0].log_records) == sorted(bodies)


def test_an_exporter_waits_for_its_topic_and_loses_nothing(stage, broker):
    http = free_port()
    live = stage.run(Why502(stage.directory, f"""receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{http}"}}}}}}
exporters:
  kafka: {{brokers: ["{broker.endpoint}"], logs: {{topic: later}}, retry_on_failure: {{initial_interval: 100ms, max_interval: 500ms}}}}
service:
  pipelines:
    logs: {{receivers: [otlp], exporters: [kafka]}}"""))
    assert wait_for(lambda: "takes OTLP" in live.log.read_text())
    sent = lines.healthy("shop", 7, time.time()).SerializeToString()
    call = urllib.request.Request(f"http://127.0.0.1:{http}/v1/logs", sent, {"Content-Type": "application/x-protobuf"})
    urllib.request.urlopen(call, timeout=10).close()
    assert wait_for(lambda: "topic `later`" in live.log.read_text(), 20), live.log.read_text()
    broker.topics("later")
    [message] = broker.messages("later", 1)
    assert message.value() == sent and message.key() is None


SITES = [f"site-{number}" for number in range(8)]


class Stream:
    """Failures of several sites in two topics, keyed by site: `count` of each site, all at once or in the course of a time."""

    def __init__(self, broker, names, count, seconds=0.0):
        self.broker, self.names = broker, names
        self.bodies = []
        begin = time.time()
        for number in range(count):
            now = begin + seconds * number / count
            time.sleep(max(0.0, now - time.time()))
            by_topic = {"logs": [], "spans": []}
            for site in SITES:
                for signal, request in lines.story(site, number, now):
                    by_topic[signal].append((site, request.SerializeToString()))
                    if signal == "logs":
                        self.bodies += [record.body.string_value for group in request.resource_logs for record in group.scope_logs[0].log_records]
            broker.produce(names[0], by_topic["logs"], linger=0)
            broker.produce(names[1], by_topic["spans"], linger=0)

    def wait(self, group, seconds=60):
        """Until a group has committed all of it."""
        assert wait_for(lambda: self.broker.lag(group, *self.names) == 0, seconds, 0.3), self.broker.committed(group, *self.names)


def verdicts_of(instances):
    """What verdicts say, by what they are about, each time that they say it."""
    found = {}
    for live in instances:
        for record in live.records():
            if is_verdict(record):
                known = attributes(record)
                found.setdefault(known["why502.request.uid"], []).append(
                    (known["why502.cause"], record["body"]["stringValue"], record.get("traceId")))
    return found


def bodies_of(instances):
    return [record["body"]["stringValue"] for live in instances for record in live.records() if not is_own(record)]


def instances(stage, broker, names, group, count, first=1):
    made = [stage.run(Why502(stage.directory, reads(broker, topics=names, group=group), f"{group}-{first + number}")) for number in range(count)]
    assert wait_for(lambda: broker.members(group) >= (count if first == 1 else 2), 40), [live.log.read_text() for live in made]
    return made


def reference(stream, alone, group):
    """What one instance alone says about a stream, while it comes."""
    stream.wait(group)
    found = verdicts_of([alone])
    assert sorted(bodies_of([alone])) == sorted(stream.bodies)
    return found


def test_one_two_and_four_instances_say_the_same(stage, broker):
    names = topics(broker, "many")
    # Who joins when everything is read has nothing to do.
    groups = {count: instances(stage, broker, names, f"many_{count}", count) for count in (2, 4)}
    [alone] = instances(stage, broker, names, "many_1", 1)
    stream = Stream(broker, names, 12)
    expected = reference(stream, alone, "many_1")
    assert len(expected) == 12 * len(SITES) and all(len(said) == 1 for said in expected.values())
    causes = {said[0][0] for said in expected.values()}
    assert "gunicorn_not_running" in causes and len(causes) >= 3 and any(said[0][2] for said in expected.values())
    for count, several in groups.items():
        stream.wait(f"many_{count}")
        assert all(live.records() for live in several), "the partitions are shared"
        assert verdicts_of(several) == expected
        assert sorted(bodies_of(several)) == sorted(stream.bodies)


def same(found, expected):
    """Everything was said, as one instance says it; how often it was said is another matter."""
    assert found.keys() == expected.keys()
    differ = {uid: (said, expected[uid]) for uid, said in found.items() if set(said) != set(expected[uid])}
    assert not differ, differ


def test_an_instance_that_is_killed_loses_nothing(stage, broker):
    names = topics(broker, "killed")
    first, second = instances(stage, broker, names, "killed", 2)
    [alone] = instances(stage, broker, names, "not_killed", 1)
    begun = threading.Timer(5, lambda: first.process.signal(signal.SIGKILL))
    begun.start()
    stream = Stream(broker, names, 48, seconds=16)
    stream.wait("killed")
    begun.join()
    expected = reference(stream, alone, "not_killed")
    assert first.records() and second.records()
    same(verdicts_of([first, second]), expected)
    found = collections.Counter(bodies_of([first, second]))
    sent = collections.Counter(stream.bodies)
    assert not sent - found, "every record arrives"
    # What is doubled was delivered and not committed: of the partitions of the first, of some seconds.
    doubled = sum((found - sent).values())
    print(f"{sum(sent.values())} records, {doubled} of them twice")
    assert not found.keys() - sent.keys() and doubled < sum(sent.values()) / 10


def test_an_instance_that_ends_and_one_that_comes_lose_and_double_no_verdict(stage, broker):
    names = topics(broker, "moved")
    first, second = instances(stage, broker, names, "moved", 2)
    [alone] = instances(stage, broker, names, "not_moved", 1)
    third = []
    threads = [threading.Timer(4, first.stop), threading.Timer(11, lambda: third.extend(instances(stage, broker, names, "moved", 1, first=3)))]
    for thread in threads:
        thread.start()
    stream = Stream(broker, names, 54, seconds=18)
    for thread in threads:
        thread.join()
    stream.wait("moved")
    expected = reference(stream, alone, "not_moved")
    several = [first, second, *third]
    assert all(live.records() for live in several)
    found = verdicts_of(several)
    same(found, expected)
    assert not {uid: said for uid, said in found.items() if len(said) > 1}, "each is said once"
    found = collections.Counter(bodies_of(several))
    sent = collections.Counter(stream.bodies)
    assert not sent - found, "every record arrives"
    doubled = sum((found - sent).values())
    print(f"{sum(sent.values())} records, {doubled} of them twice")
    assert doubled == 0


def test_older_brokers_have_the_classic_protocol(stage, broker):
    names = topics(broker, "classic")
    classic = ", group_protocol: classic, session_timeout: 6s, heartbeat_interval: 500ms"
    several = []
    for number in (1, 2):
        several.append(stage.run(Why502(stage.directory, reads(broker, topics=names, group="classic", more=classic), f"classic-{number}")))
        assert wait_for(lambda: all("has classic_logs" in live.log.read_text() for live in several), 30), [live.log.read_text() for live in several]
    [alone] = instances(stage, broker, names, "not_classic", 1)
    assert "lets go of classic_logs-0, classic_logs-1, classic_logs-2, classic_logs-3" in several[0].log.read_text(), "of everything, when the second comes"
    ends = threading.Timer(4, several[0].stop)
    ends.start()
    stream = Stream(broker, names, 30, seconds=10)
    ends.join()
    stream.wait("classic")
    expected = reference(stream, alone, "not_classic")
    assert all(live.records() for live in several)
    same(verdicts_of(several), expected)
    sent = collections.Counter(stream.bodies)
    assert not sent - collections.Counter(bodies_of(several)), "every record arrives"


def test_one_request_through_collector_two_instances_and_jaeger(stage, broker, monkeypatch):
    """The collector's own kafka exporter cannot give a key to traces: what it writes is read by a first pipeline of the two
    instances, which gives everything of one shop one key, and judged by the second, wherever it then is."""
    raw, keyed = topics(broker, "raw"), topics(broker, "keyed")
    store = stage.jaeger()
    several = [stage.run(Why502(stage.directory, f"""receivers:
  kafka/raw: {{brokers: ["{broker.endpoint}"], initial_offset: earliest, group_id: raw, logs: {{topics: [{raw[0]}]}}, traces: {{topics: [{raw[1]}]}}}}
  kafka: {{brokers: ["{broker.endpoint}"], initial_offset: earliest, group_id: judged, logs: {{topics: [{keyed[0]}]}}, traces: {{topics: [{keyed[1]}]}}}}
processors: {{why502: {{hold: 4s}}}}
exporters:
  kafka: {{brokers: ["{broker.endpoint}"], logs: {{topic: {keyed[0]}}}, traces: {{topic: {keyed[1]}}}, partition_by: [service.namespace]}}
  otlp/jaeger: {{endpoint: "127.0.0.1:{store.grpc}", tls: {{insecure: true}}}}
  file: {{path: {{out}}}}
service:
  pipelines:
    logs/raw: {{receivers: [kafka/raw], exporters: [kafka]}}
    traces/raw: {{receivers: [kafka/raw], exporters: [kafka]}}
    logs: {{receivers: [kafka], processors: [why502], exporters: [file]}}
    traces: {{receivers: [kafka], processors: [why502], exporters: [otlp/jaeger, file]}}""", f"story-{number}")) for number in (1, 2)]
    assert wait_for(lambda: broker.members("judged") == 2 and broker.members("raw") == 2, 40), [live.log.read_text() for live in several]
    receivers = "".join(f"""
  filelog/{log.stem}: {{include: ["{log}"], start_at: beginning, poll_interval: 100ms, resource: {{service.namespace: shop, host.name: shop-1}}}}""" for log in stage.logs)
    collector = stage.collector(f"""receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "{{grpc}}"}}, http: {{endpoint: "{{http}}"}}}}}}{receivers}
exporters:
  kafka: {{brokers: ["{broker.endpoint}"], logs: {{topic: {raw[0]}}}, traces: {{topic: {raw[1]}}}, partition_logs_by_resource_attributes: true}}
service:
  pipelines:
    logs: {{receivers: [otlp, {", ".join(f"filelog/{log.stem}" for log in stage.logs)}], exporters: [kafka]}}
    traces: {{receivers: [otlp], exporters: [kafka]}}""")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop,host.name=shop-1")
    stage.live = several[0]
    several[0].endpoint = f"http://127.0.0.1:{collector.grpc}"
    stage.gunicorn(spans=True)
    front = stage.nginx()
    good, bad = "11111111d2c872e8321cf37308d69df2", "5b8aa5a2d2c872e8321cf37308d69df2"
    assert front.get("/", headers={"traceparent": f"00-{good}-051581bf3cb55c13-01"}) == 200
    # A second shop fails at the same moment on the same path, for another reason, and stands in another partition.
    now = time.time()
    both = lines.logs("billing", "error.log", [lines.refused(7, now, "/status/502")]), lines.logs("billing", "access.log", [lines.access(7, now, "/status/502")])
    for request in both:
        request.resource_logs[0].resource.attributes.add(key="service.namespace").value.string_value = "billing"
        call = urllib.request.Request(f"http://127.0.0.1:{collector.http}/v1/logs", request.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        urllib.request.urlopen(call, timeout=10).close()
    assert front.get("/status/502", headers={"traceparent": f"00-{bad}-051581bf3cb55c13-01"}) == 502

    def blamed():
        return [span for span in store.spans(bad) if "why502.cause" in tags(span["tags"])]

    assert wait_for(lambda: blamed() and all(verdicts_of([live]) for live in several), 40), [live.log.read_text() for live in several]
    [span] = blamed()
    shown = tags(span["tags"])
    assert (shown["why502.cause"], shown["why502.link.method"]) == ("app_returned_error", "trace_context")
    assert not [span for span in store.spans(good) if "why502.cause" in tags(span["tags"])]
    told = {live: [(attributes(record)["why502.cause"], record.get("traceId")) for record in live.records() if is_verdict(record)] for live in several}
    assert sorted(told.values()) == [[("app_returned_error", bad)], [("gunicorn_not_running", None)]], "each by the instance that has its partition"
    # Everything of one shop stands in one partition, and everything of the other in another.
    where = {}
    for topic in keyed:
        for message in broker.messages(topic):
            where.setdefault(message.key(), set()).add(message.partition())
    assert where[b"shop"] != where[b"billing"] and all(len(partitions) == 1 for partitions in where.values()), where
    # The first pipeline changes nothing: what comes out is what the collector wrote.
    stage.end_of_lines()
    assert wait_for(lambda: sorted(body for body in bodies_of(several) if "/status/502" not in body or "10.0.0.8" not in body) == stage.lines(), 20)


def test_a_backend_that_is_down_stops_the_partitions_and_loses_nothing(stage, broker):
    names = topics(broker, "down")
    port = free_port()
    exporters = f"""  otlphttp: {{endpoint: "http://127.0.0.1:{port}", compression: none, sending_queue: {{queue_bytes: 256KiB}}, retry_on_failure: {{initial_interval: 100ms, max_interval: 500ms}}}}
"""
    text = reads(broker, topics=names, group="down", out="otlphttp", exporters=exporters) + "\nmemory: {limit: 64MiB}"
    scraped = free_port()
    readers = f"[{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {scraped}}}}}}}}}]"
    text = text.replace("\nservice:\n", f"\nservice:\n  telemetry: {{metrics: {{readers: {readers}}}}}\n")
    live = stage.run(Why502(stage.directory, text))
    now = time.time()
    # Twenty times what the queue takes.
    requests = [lines.healthy(f"site-{number % 8}", 200, now, first=200 * number) for number in range(240)]
    broker.produce(names[0], ((f"site-{number % 8}", request.SerializeToString()) for number, request in enumerate(requests)))
    assert wait_for(lambda: "queue" in live.ready() and "full" in live.ready(), 30), (live.ready(), live.log.read_text())
    time.sleep(2)
    assert sum(broker.committed("down", *names).values()) == 0, "nothing is delivered, so nothing is committed"

    def lag():
        """By our own metrics, of the topic of logs and of all."""
        with urllib.request.urlopen(f"http://127.0.0.1:{scraped}/metrics", timeout=5) as answer:
            told = [line.decode() for line in answer if line.startswith(b"why502_kafka_receiver_offset_lag{")]
        assert all('receiver="kafka"' in line and 'partition="' in line for line in told), told
        return [sum(float(line.split()[-1]) for line in told if topic in line) for topic in (f'topic="{names[0]}"', "topic=")]

    assert wait_for(lambda: lag() == [len(requests)] * 2, 20), (lag(), broker.lag("down", *names))
    resident = int(next(line for line in open(f"/proc/{live.process.child.pid}/status") if line.startswith("VmRSS")).split()[1])
    assert resident < 100 * 1024, "of a program without optimisation"
    assert broker.members("down") == 1, "it stays in its group"
    backend = stage.run(Why502(stage.directory, f"""receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{file: {{path: {{out}}}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}}}""", "backend"))
    assert wait_for(lambda: broker.lag("down", *names) == 0, 60), live.log.read_text()
    assert wait_for(lambda: lag() == [0, 0], 20), lag()
    sent = [record.body.string_value for request in requests for record in request.resource_logs[0].scope_logs[0].log_records]
    assert wait_for(lambda: len(backend.records()) >= len(sent)) and lines_of(backend.records()) == sorted(sent), "each once"
    assert "lost" not in live.log.read_text()
