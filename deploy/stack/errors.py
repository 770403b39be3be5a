"""The exceptions of the local stack, one tree; library errors are translated into it where they enter.

    LocalStackError
    ├── StateFolderError
    │   ├── StateFolderBusyError       another `up` holds the folder
    │   └── StateFolderUnusableError   no room, no permission, not a folder
    ├── PortInUseError                 something else listens where a server is to listen
    ├── JavaUnusableError              no Java that can run Kafka
    ├── KafkaJarsError
    │   ├── KafkaJarsUnavailableError  no way to the Maven repository
    │   └── KafkaJarsMismatchError     a jar is not the one that the lock names
    ├── StartError                     a child died or stayed silent while it was started
    └── SpecError                      the children depend on each other in a circle, or on nobody

Every message is one line that says what happened and how to mend it: the command line prints it as it stands.
"""


class LocalStackError(Exception):
    """Root of everything that `deploy/stack` raises on purpose."""


class StateFolderError(LocalStackError):
    """The state folder cannot be used."""


class StateFolderBusyError(StateFolderError):
    """Another process holds the state folder.

    `pid` is that process, 0 where the lock file does not say.
    """

    def __init__(self, message: str, pid: int) -> None:
        super().__init__(message)
        self.pid = pid


class StateFolderUnusableError(StateFolderError):
    """The state folder cannot be written."""


class PortInUseError(LocalStackError):
    """A port that was asked for is taken."""


class JavaUnusableError(LocalStackError):
    """No Java that can run Apache Kafka."""


class KafkaJarsError(LocalStackError):
    """The jars of Apache Kafka cannot be had."""


class KafkaJarsUnavailableError(KafkaJarsError):
    """The Maven repository is out of reach, and the cache does not hold every jar."""


class KafkaJarsMismatchError(KafkaJarsError):
    """A downloaded jar differs from its pinned sha256. Nothing of it is run."""


class StartError(LocalStackError):
    """A child died, or did not answer in time, while it was being started."""


class SpecError(LocalStackError):
    """The child specifications cannot be ordered."""
