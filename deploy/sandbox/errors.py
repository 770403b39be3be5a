"""The sandbox's exceptions, one tree: ``SandboxError`` > ``UnknownPresetError``, ``UnknownFaultError``, ``UnknownInstrumentError``."""


class SandboxError(Exception):
    """Any refusal of the sandbox; the message says how to mend it."""


class UnknownPresetError(SandboxError):
    """A preset name that is not declared in ``presets.py``."""


class UnknownFaultError(SandboxError):
    """A fault request that names no known fault, venue or kind."""


class UnknownInstrumentError(SandboxError):
    """A fault request that names an instrument the venue does not list."""
