"""Talk to a stack: one that runs, the kept state of one, or servers by address.

Which stack that is decides `deploy/stack/stacks.py`. The kept state of a demo is as useful as a running stack: its Kafka or ClickHouse is
started for the length of the command.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossbook.runtime.kafka import wait_for_broker
from crossbook.runtime.settings import CONFIG_VARIABLE, ClickHouseSettings, Settings, load_settings
from deploy.errors import StackError
from deploy.stack.clickhouse.child import ClickHouseServer
from deploy.stack.kafka.child import KafkaServer
from deploy.stack.stacks import COMMANDS, SETTINGS_FILE, FoundStack, choose_stack, own_settings
from deploy.stack.state import StateFolder

BROKER_WAIT_S = 5.0


def settings_of(folder: Path) -> Settings:
    """Settings that a stack's stages ran with, and what the environment says otherwise."""
    before = os.environ.get(CONFIG_VARIABLE)
    os.environ[CONFIG_VARIABLE] = str(folder / SETTINGS_FILE)
    try:
        return load_settings().model_copy(update={"state_dir": str(folder)})
    finally:
        if before is None:
            del os.environ[CONFIG_VARIABLE]
        else:
            os.environ[CONFIG_VARIABLE] = before


@contextlib.contextmanager
def attached(command: str, stack: str = "", *, kafka: bool = True, clickhouse: bool = True) -> Iterator[Settings]:
    """The settings of the stack that a command means, whose Kafka and ClickHouse (where asked for) answer.

    `command` is one of the table in `deploy/stack/stacks.py`, `stack` what `--stack` says. A command that reads and had to choose says on
    stderr what it reads.

    Raises:
        UsageError: several stacks could be meant, or none has that name.
        StackError: there is no stack, running or kept, and no address that answers.
        BrokerAwayError: the broker that the settings name does not answer.
    """
    choice = choose_stack(command, stack)
    if choice.note:
        sys.stderr.write(f"crossbook: {choice.note}\n")
    with serving(choice.stack, command, kafka=kafka, clickhouse=clickhouse) as settings:
        yield settings


@contextlib.contextmanager
def serving(found: FoundStack, command: str, *, kafka: bool = True, clickhouse: bool = True) -> Iterator[Settings]:
    """Settings of a stack whose servers answer; what had to be started is stopped afterwards. Raises as `attached`."""
    if found.state == "by address":
        base = load_settings()
        if kafka:
            wait_for_broker(base.kafka, BROKER_WAIT_S)
        yield base
        return
    settings = own_settings(found.folder) if COMMANDS[command] == "operates" else settings_of(found.folder)
    if found.state == "running":
        yield settings
        return
    folder = StateFolder(found.folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(folder)
        if kafka:
            broker = stack.enter_context(KafkaServer(folder=folder.kafka, log_path=folder.log_path("kafka")))
            settings = replaced(settings, "kafka", bootstrap=broker.bootstrap)
        if clickhouse:
            server = stack.enter_context(
                ClickHouseServer(folder=folder.clickhouse, log_path=folder.log_path("clickhouse"))
            )
            settings = replaced(settings, "clickhouse", port=server.port, password=server.password)
        yield settings


def replaced(settings: Settings, section: str, **values: Any) -> Settings:
    """The same settings with some values of a section changed."""
    dump = settings.model_dump()
    return Settings(**(dump | {section: dump[section] | values}))


@contextlib.contextmanager
def sql_errors() -> Iterator[None]:
    """Turn ClickHouse's errors into one line.

    Raises:
        StackError: what ClickHouse says, shortened to its first sentence.
    """
    from clickhouse_connect.driver.exceptions import Error

    try:
        yield
    except Error as error:
        text = str(error).split("server response: ")[-1].split(" (for url")[0]
        raise StackError(f"ClickHouse: {text.splitlines()[0]}") from error


def reader_client(settings: Settings) -> tuple[Any, str]:
    """ClickHouse as its read-only user, and the database of the prefix.

    Raises:
        StackError: ClickHouse does not answer.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import Error, OperationalError

    place = settings.clickhouse
    database = ClickHouseSettings.database(settings.kafka.prefix)
    user, password = place.username, place.password
    path = Path(settings.state_dir).absolute()
    if (path / SETTINGS_FILE).is_file():
        local = ClickHouseServer(folder=StateFolder(path).clickhouse)
        if local.password == password:
            user, password = local.reader_username, local.reader_password
    # It logs each refused connection before it raises; the error says it all.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    try:
        client = clickhouse_connect.get_client(
            host=place.host,
            port=place.port,
            username=user,
            password=password,
            database=database,
            autogenerate_session_id=False,
        )
    except OperationalError as error:
        raise StackError(
            f"ClickHouse does not answer at {place.host}:{place.port}; start a stack with `crossbook up`, "
            "or mend clickhouse.host and clickhouse.port"
        ) from error
    except Error as error:
        raise StackError(f"ClickHouse at {place.host}:{place.port}: {str(error).splitlines()[0]}") from error
    return client, database
