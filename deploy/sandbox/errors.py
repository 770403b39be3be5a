"""The sandbox's exceptions, one tree: ``SandboxError`` > ``UnknownPreset``, ``UnknownFault``, ``UnknownInstrument``."""


class SandboxError(Exception):
    """Any refusal of the sandbox; the message says how to mend it."""


class UnknownPreset(SandboxError):
    """A preset name that is not declared in ``presets.py``."""


class UnknownFault(SandboxError):
    """A fault request that names no known fault, venue or kind."""


class UnknownInstrument(SandboxError):
    """A fault request that names an instrument the venue does not list."""
