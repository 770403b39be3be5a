"""What an error of the Kafka client library means to a stage.

Decides which errors pass by themselves, which say that another instance took over, and which that a topic is not there. Every error
that leaves `crossbook.runtime.kafka` was translated here.
"""

from confluent_kafka import KafkaError, KafkaException

from crossbook.domain.errors import StageError
from crossbook.log.errors import LogError
from crossbook.runtime.errors import BrokerAwayError, FencedError, RecordTooLargeError

_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
}
#: What passes by itself: the broker comes back, or a leader or coordinator is found. librdkafka's own `retriable()` is set on
#: errors of transactions only.
_PASSING = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError._RETRY,
    KafkaError._WAIT_COORD,
    KafkaError._WAIT_CACHE,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
}
ABSENT = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC}


def passes(error: KafkaException) -> bool:
    """Whether it passes by itself."""
    return bool(error.args[0].retriable()) or error.args[0].code() in _PASSING


def absent(topic: str | None) -> LogError:
    """A topic or partition is not there."""
    return LogError(f"{topic} does not exist; create the topics with: crossbook topics --create")


def translate(error: KafkaException, who: str) -> StageError:
    """The error in the words of the stages; `who` or what it happened to."""
    kafka_error: KafkaError = error.args[0]
    if kafka_error.code() in _FENCED:
        return FencedError(f"{who}: another instance took over ({kafka_error.str()})")
    if kafka_error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return RecordTooLargeError(f"{who} is too large")
    if passes(error):
        return BrokerAwayError(f"{who}: the broker does not answer ({kafka_error.str()})")
    return StageError(f"{who}: {kafka_error.str()}")
