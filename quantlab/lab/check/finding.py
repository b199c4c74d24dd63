"""What checking says: findings, and the report they stand in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["SEVERITIES", "Edit", "Finding", "Report", "Severity"]

Severity = Literal["error", "silent", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "silent", "warning", "note")
"""The worst first: it fails; it does something else without a word; it is slow, dangerous or
wasteful; it is worth knowing."""


@dataclass(frozen=True, order=True)
class Edit:
    """Text that takes the place of what lies between two places of the source.

    A place is a line from 1 and a column from 0, in bytes of UTF-8, as ``ast`` counts them.
    """

    start: tuple[int, int]
    end: tuple[int, int]
    text: str


@dataclass(frozen=True)
class Finding:
    """One thing to know about checked code."""

    file: str
    line: int
    """From 1, in the file as it was given."""
    severity: Severity
    code: str
    """The rule's."""
    message: str
    """What happens, and why."""
    source: str
    """Where that can be read: an address."""
    fix: str | None = None
    """The lines that change, as they should be; None where there is no such fix."""
    edits: tuple[Edit, ...] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The finding as a document."""
        return {
            "file": self.file,
            "line": self.line,
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "source": self.source,
            "fix": self.fix,
        }


@dataclass(frozen=True)
class Report:
    """Everything that is said about one piece of code."""

    file: str
    findings: tuple[Finding, ...]
    plan: str | None = None
    """The plan that the code stands for, where that is plain."""
    model: str | None = None
    """The catalogue's id of the model that it loads."""
    fixed: str | None = None
    """The whole code with every fix in it; None where there is none."""
    predicted: Mapping[str, Any] | None = None
    """What the plan needs, as ``predict`` says."""

    def as_dict(self) -> dict[str, Any]:
        """The report as a document."""
        return {
            "findings": [finding.as_dict() for finding in self.findings],
            "plan": self.plan,
            "model": self.model,
            "fixed": self.fixed,
            "predicted": None if self.predicted is None else dict(self.predicted),
        }
