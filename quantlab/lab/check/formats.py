"""Findings for other tools: SARIF 2.1.0, and annotations of GitHub's workflows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from quantlab.lab.check.finding import Finding, Severity

__all__ = ["github", "sarif"]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: dict[Severity, str] = {
    "error": "error",
    "silent": "error",
    "warning": "warning",
    "note": "note",
}
"""SARIF's levels."""
COMMANDS: dict[Severity, str] = {
    "error": "error",
    "silent": "error",
    "warning": "warning",
    "note": "notice",
}
"""Commands of a GitHub workflow: docs.github.com, workflow commands, 2026-11."""


def sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as one run of a static analysis (OASIS SARIF 2.1.0)."""
    codes = {finding.code: finding.source for finding in findings}
    rules = [{"id": code, "helpUri": source} for code, source in sorted(codes.items())]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "quantlab", "rules": rules}},
                "results": [_result(finding) for finding in findings],
            }
        ],
    }


def _result(finding: Finding) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": finding.file.replace("\\", "/")},
        "region": {"startLine": finding.line},
    }
    return {
        "ruleId": finding.code,
        "level": LEVELS[finding.severity],
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": place}],
        "properties": {"severity": finding.severity},
    }


def github(findings: Iterable[Finding]) -> Iterator[str]:
    """A workflow command for each finding, which GitHub shows beside the line."""
    for finding in findings:
        where = f"file={_value(finding.file)},line={finding.line},title={_value(finding.code)}"
        yield f"::{COMMANDS[finding.severity]} {where}::{_text(finding.message)}"


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
