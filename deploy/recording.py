"""The stage `import`: a recording takes the place of the live feeds as the writer of `market`."""

from pathlib import Path

from crossbook.runtime.errors import SettingsError
from crossbook.runtime.settings import Settings
from producers.recordings.bbo_pairs import run_import


def run(settings: Settings) -> None:
    """Import the recordings that the settings name.

    Raises:
        SettingsError: no file or no fee file is named.
    """
    recording = settings.recording
    if not recording.files or not recording.fees_file:
        raise SettingsError("recording.files and recording.fees_file must both be set; see `crossbook import --help`")
    run_import(settings, [Path(file) for file in recording.files], Path(recording.fees_file), recording.speed)
