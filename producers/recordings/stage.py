"""The stage `import`: a recording takes the place of the live feeds as the writer of `market`."""

from pathlib import Path

from crossbook.runtime.errors import SettingsError
from crossbook.runtime.settings import Settings
from producers.recordings.formats import open_recording
from producers.recordings.frame import run_import


def run(settings: Settings) -> None:
    """Import the recordings that the settings name.

    Raises:
        SettingsError: no file is named, or no fee file where something in them can be traded.
        RecordingError: they cannot be imported.
    """
    said = settings.recording
    if not said.files:
        raise SettingsError("recording.files must be set; see `crossbook import --help`")
    files = [Path(file) for file in said.files]
    fees = Path(said.fees_file) if said.fees_file else None
    recording = open_recording(said.format, files, fees, settings.kafka.partitions)
    run_import(settings, recording, said.speed)
