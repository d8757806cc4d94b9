"""A real Kafka broker (KRaft, one node) on free ports, and librdkafka as the client of the tests."""

import subprocess
import time
from pathlib import Path

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from harness import ROOT, Process, free_port, listens, wait_for

JARS = ROOT / ".work" / "kafka" / "lib"
# Users of the listener that asks for a password: by PLAIN, and by SCRAM.
PLAIN = ("alice", "alice-secret")
SCRAM = ("bob", "bob-secret")


def certificates(directory):
    """An authority, and what it signed for a broker and a client: key and certificate in files of their own."""
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=tests", "-keyout", directory / "ca.key", "-out", directory / "ca.crt")
    names = directory / "names"
    names.write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
    for name in ("broker", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.csr")
        openssl("x509", "-req", "-in", directory / f"{name}.csr", "-CA", directory / "ca.crt", "-CAkey", directory / "ca.key", "-CAcreateserial",
                "-days", 2, "-extfile", names, "-out", directory / f"{name}.crt")
    # Kafka wants both in one file.
    (directory / "broker.pem").write_text((directory / "broker.key").read_text() + (directory / "broker.crt").read_text())


class Broker:
    """`endpoint` lets everybody in, `guarded` only who shows a password, `secured` only who shows a certificate, over TLS."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port, self.guarded_port, self.secured_port, controller = free_port(), free_port(), free_port(), free_port()
        certificates(self.directory)
        self.log = self.directory / "broker.log"
        self.properties = self.directory / "server.properties"
        self.properties.write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=OPEN://127.0.0.1:{self.port},GUARDED://127.0.0.1:{self.guarded_port},SECURED://127.0.0.1:{self.secured_port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=OPEN://127.0.0.1:{self.port},GUARDED://127.0.0.1:{self.guarded_port},SECURED://127.0.0.1:{self.secured_port}
listener.security.protocol.map=OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT,SECURED:SSL
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={self.directory / "broker.pem"}
listener.name.secured.ssl.truststore.type=PEM
listener.name.secured.ssl.truststore.location={self.directory / "ca.crt"}
listener.name.secured.ssl.client.auth=required
controller.listener.names=CONTROLLER
inter.broker.listener.name=OPEN
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{PLAIN[0]}="{PLAIN[1]}";
listener.name.guarded.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={self.directory / "data"}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
# A member that was killed is gone soon.
group.consumer.min.session.timeout.ms=3000
group.consumer.session.timeout.ms=3000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
auto.create.topics.enable=false
""")
        scram = f"SCRAM-SHA-256=[name={SCRAM[0]},password={SCRAM[1]}]"
        made = subprocess.run(
            [*self.java("kafka.tools.StorageTool"), "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(self.properties), "--add-scram", scram],
            capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise RuntimeError(made.stdout + made.stderr)
        self.start()

    def java(self, main):
        log4j = ROOT / "tests" / "interop" / "kafka" / "log4j2.properties"
        return ["java", "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile=file:{log4j}", "-cp", f"{JARS}/*", main]

    def start(self):
        self.process = Process([*self.java("kafka.Kafka"), str(self.properties)], self.log)
        if not wait_for(lambda: listens(self.port), 60):
            self.stop()
            raise RuntimeError(self.log.read_text())
        self.admin = AdminClient({"bootstrap.servers": self.endpoint, "log_level": 0})

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.port}"

    @property
    def guarded(self):
        return f"127.0.0.1:{self.guarded_port}"

    @property
    def secured(self):
        return f"127.0.0.1:{self.secured_port}"

    def tls(self, authority="ca.crt", shown="client"):
        """Settings of a client of `secured`."""
        identity = f", cert_file: {self.directory / shown}.crt, key_file: {self.directory / shown}.key" if shown else ""
        return f"tls: {{ca_file: {self.directory / authority}{identity}}}"

    def stop(self):
        return self.process.stop(30)

    def topics(self, *names, partitions=4):
        made = self.admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1) for name in names])
        for one in made.values():
            one.result(30)
        # A producer that asks too early is told that there is none, or that a partition has no leader, and then waits for ten seconds.
        wait_for(lambda: all(name in self.admin.list_topics(timeout=10).topics for name in names))
        if not wait_for(lambda: all(self.is_led(name) for name in names), 30):
            raise RuntimeError(f"no leader for all partitions of {names}: " + self.log.read_text())

    def is_led(self, topic):
        """Each of its partitions has a leader that answers."""
        try:
            return bool(self.end(topic))
        except KafkaException:
            return False

    def produce(self, topic, messages, partition=None, linger=5):
        """Each a value, or a pair of a key and a value."""
        producer = Producer({"bootstrap.servers": self.endpoint, "log_level": 0, "linger.ms": linger, "acks": "all"})
        where = {} if partition is None else {"partition": partition}
        for message in messages:
            key, value = message if isinstance(message, tuple) else (None, message)
            producer.produce(topic, value=value, key=key, **where)
            producer.poll(0)
        assert producer.flush(30) == 0

    def messages(self, topic, count=None, seconds=15):
        """All that stands in a topic, at least `count`."""
        consumer = Consumer({"bootstrap.servers": self.endpoint, "log_level": 0, "group.id": "tests", "enable.auto.commit": False})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            ends = {number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in partitions}
            if count is not None:
                deadline = time.time() + seconds
                while sum(ends.values()) < count and time.time() < deadline:
                    time.sleep(0.1)
                    ends = {number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in partitions}
            consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
            found, left = [], sum(ends.values())
            deadline = time.time() + seconds
            while len(found) < left and time.time() < deadline:
                message = consumer.poll(0.5)
                if message is not None and message.error() is None:
                    found.append(message)
            return found
        finally:
            consumer.close()

    def end(self, topic):
        consumer = Consumer({"bootstrap.servers": self.endpoint, "log_level": 0, "group.id": "tests"})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return {number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in partitions}
        finally:
            consumer.close()

    def committed(self, group, *topics):
        """Offsets that a group has committed, by topic and partition."""
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        try:
            found = asked[group].result(30).topic_partitions
        except KafkaException:
            # The broker has just begun to look after groups.
            return {}
        return {(one.topic, one.partition): one.offset for one in found if one.topic in topics}

    def lag(self, group, *topics):
        """Messages that a group has not committed."""
        committed = self.committed(group, *topics)
        return sum(end - max(committed.get((topic, number), 0), 0) for topic in topics for number, end in self.end(topic).items())

    def members(self, group):
        """How many are in a group, and have their partitions."""
        try:
            described = self.admin.describe_consumer_groups([group], request_timeout=5)[group].result(10)
        except (KafkaException, TimeoutError):
            # Nobody has asked for it yet.
            return 0
        return sum(1 for member in described.members if member.assignment and member.assignment.topic_partitions)
