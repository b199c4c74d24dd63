"""``python -m quantlab check``: what a piece of code really does, and what to write instead."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence

from quantlab.catalog.gpus import choose_one
from quantlab.lab.check.finding import SEVERITIES, Finding, Report
from quantlab.lab.check.formats import github, sarif
from quantlab.lab.check.paths import check_paths
from quantlab.words.units import gib

__all__ = ["run_check"]


def run_check(arguments: argparse.Namespace) -> int:
    """Print what is found; the exit status, which is 1 only with ``--fail-on``.

    Raises:
        InputError: a file cannot be read, or a card is not known.
    """
    gpu = None if arguments.gpu is None else choose_one(arguments.gpu)
    reports = check_paths(arguments.files, gpu=gpu, catalog=arguments.catalog)
    findings = [finding for report in reports for finding in report.findings]
    if arguments.json:
        _print(_document(reports))
    elif arguments.format == "sarif":
        _print(sarif(findings))
    else:
        lines = github(findings) if arguments.format == "github" else _lines(reports)
        for line in lines:
            print(line)
    if arguments.fail_on is None:
        return 0
    bad = SEVERITIES[: SEVERITIES.index(arguments.fail_on) + 1]
    return int(any(finding.severity in bad for finding in findings))


def _print(document: object) -> None:
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _document(reports: Sequence[Report]) -> dict[str, object]:
    """One file's report; of several their findings together."""
    if len(reports) == 1:
        return reports[0].as_dict()
    findings = tuple(finding for report in reports for finding in report.findings)
    return Report("", findings).as_dict()


def _lines(reports: Sequence[Report]) -> Iterable[str]:
    if len(reports) != 1 and not any(report.findings for report in reports):
        yield f"{len(reports)} scripts and notebooks: nothing found"
    for report in reports:
        for finding in report.findings:
            yield from _told(finding)
        if len(reports) == 1:
            yield from _after(report)


def _told(finding: Finding) -> Iterable[str]:
    place = f"{finding.file}:{finding.line}"
    yield f"{place}: {finding.severity}: {finding.message} [{finding.code}]"
    yield f"    {finding.source}"
    if finding.fix is not None:
        yield from (f"  + {line}" for line in finding.fix.splitlines())


def _after(report: Report) -> Iterable[str]:
    if not report.findings:
        yield f"{report.file}: nothing found"
    if report.plan is not None:
        yield f"plan: {report.plan}" + (f" of {report.model}" if report.model else "")
    if report.predicted is not None:
        peak, host = int(report.predicted["peak_bytes"]), int(report.predicted["host_bytes"])
        where = report.predicted.get("placement")
        kept = f", {str(where).replace('-', ' ')}" if where else ""
        yield f"    {gib(peak)} at the peak, {gib(host)} of host memory{kept}; predicted"
    if report.fixed is not None:
        yield "mended:"
        yield report.fixed.rstrip("\n")
