"""Exceptions of reports and comparisons.

DeployError
└── ReportError     what is to be reported or compared cannot be read, or does not fit
"""

from deploy.errors import DeployError


class ReportError(DeployError):
    """What is to be reported or compared cannot be read, or does not fit; says how to mend it."""
