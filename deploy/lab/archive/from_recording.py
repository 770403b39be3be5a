"""A recording becomes an archive with no broker between: what `crossbook import … --archive` does.

Decides the settings that decide is to work under (those in force now, with the code that runs) and nothing else of the log, which the
recording decides alone: the archive's `market` equals, byte for byte, the topic that the stage `import` writes under the same settings.
"""

from itertools import islice
from pathlib import Path

from crossbook.log.archive.encode_many import ManyEncoder
from crossbook.log.archive.errors import ArchiveConflictError
from crossbook.log.archive.write import ArchiveWriter
from crossbook.log.reading import LogLine
from crossbook.market.configuration import Configuration
from crossbook.runtime.settings import Settings
from processors.decide.code_digest import decision_digest
from processors.decide.settings import announcement
from producers.recordings.frame import ImportReport, Recording, recording_lines
from schemas.codec import load_codec

#: Lines held between the recording and the archive.
LINES = 4_096


def archive_recording(recording: Recording, settings: Settings, folder: Path) -> ImportReport:
    """Write the `market` log of a recording into a new archive.

    Raises:
        ArchiveConflictError: the folder holds an archive already.
        RecordingError: a row cannot be read.
    """
    if (folder / "manifest.json").exists():
        raise ArchiveConflictError(f"{folder} holds an archive already; choose another folder")
    report = ImportReport(log_id=recording.log_id(settings))
    said = announcement(settings.decide, decision_digest(), ts_ns=recording.ts_first_ns, operator="import")
    decide = Configuration.of(said, ts_received_ns=recording.ts_first_ns, control_offset=-1)
    lines = recording_lines(recording, settings, ManyEncoder(load_codec()), decide, report)
    with ArchiveWriter(
        folder, source=f"recording {report.log_id}", prefix=settings.kafka.prefix, partitions=settings.kafka.partitions
    ) as writer:
        while batch := list(islice(lines, LINES)):
            by_partition: dict[int, list[LogLine]] = {}
            for partition, line in batch:
                by_partition.setdefault(partition, []).append(line)
            for partition, taken in by_partition.items():
                writer.extend("market", partition, taken)
    return report
