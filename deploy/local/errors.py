"""The exceptions of the local stack, one tree; library errors are translated into it where they enter.

    LocalStackError
    ├── StateFolderError
    │   ├── StateFolderBusy      another `up` holds the folder
    │   └── StateFolderUnusable  no room, no permission, not a folder
    ├── PortInUse                something else listens where a server is to listen
    ├── JavaUnusable             the Java that was found does not run, or is too old
    ├── KafkaJarsError
    │   ├── KafkaJarsUnavailable no way to the Maven repository
    │   └── KafkaJarsMismatch    a jar is not the one that the lock names
    ├── StartFailed              a child died or stayed silent while it was started
    └── SpecInvalid              the children depend on each other in a circle, or on nobody

Every message is one line that says what happened and how to mend it: the command line prints it as it stands.
"""


class LocalStackError(Exception):
    """Root of everything that `deploy/local` raises on purpose."""


class StateFolderError(LocalStackError):
    """The state folder cannot be used."""


class StateFolderBusy(StateFolderError):
    """Another process holds the state folder.

    `pid` is that process, 0 where the lock file does not say.
    """

    def __init__(self, message: str, pid: int) -> None:
        super().__init__(message)
        self.pid = pid


class StateFolderUnusable(StateFolderError):
    """The state folder cannot be written."""


class PortInUse(LocalStackError):
    """A port that was asked for is taken."""


class JavaUnusable(LocalStackError):
    """No Java that can run Apache Kafka."""


class KafkaJarsError(LocalStackError):
    """The jars of Apache Kafka cannot be had."""


class KafkaJarsUnavailable(KafkaJarsError):
    """The Maven repository is out of reach, and the cache does not hold every jar."""


class KafkaJarsMismatch(KafkaJarsError):
    """A downloaded jar differs from its pinned sha256. Nothing of it is run."""


class StartFailed(LocalStackError):
    """A child died, or did not answer in time, while it was being started."""


class SpecInvalid(LocalStackError):
    """The child specifications cannot be ordered."""
