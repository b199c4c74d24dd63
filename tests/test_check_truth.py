"""What rules say is held against the installed libraries: every snippet is run, and mended, run."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from typing import Any

import pytest

from quantlab.catalog.gpus import choose_one
from quantlab.catalog.paths import PROJECT
from quantlab.lab.check.check import check_text
from quantlab.lab.check.every import every_rule
from quantlab.lab.check.finding import Report
from tests import warm
from tests.check_snippets import NOT_RUN, SNIPPETS, Snippet
from tools import signatures

IDS = [f"{index}-{snippet.rule}" for index, snippet in enumerate(SNIPPETS)]


def report_of(snippet: Snippet) -> Report:
    gpu = choose_one(snippet.gpu) if snippet.gpu else None
    return check_text(snippet.text, "snippet.py", gpu=gpu)


@cache
def ran() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What each snippet did, and what it did when it was mended, all of it in one process."""
    asked = []
    for snippet in SNIPPETS:
        fixed = report_of(snippet).fixed
        for text, is_fixed in ((snippet.text, False), (fixed or "", True)):
            asked.append({"text": text, "tells": snippet.tells if text else "None",
                          "fixed": is_fixed})  # fmt: skip
    done = warm.run(["-m", "tests.check_runner"], cwd=PROJECT, given=json.dumps(asked))
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    return list(zip(found[::2], found[1::2], strict=True))


def test_every_rule_is_run_or_says_why_not() -> None:
    codes = {rule.code for rule in every_rule()}
    covered = {snippet.rule for snippet in SNIPPETS}
    assert covered | NOT_RUN.keys() == codes
    assert not covered & NOT_RUN.keys()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=IDS)
def test_the_rule_and_no_other_error_is_found(snippet: Snippet) -> None:
    found = report_of(snippet).findings
    assert snippet.rule in [finding.code for finding in found]
    others = {f.code for f in found if f.severity in ("error", "silent")} - {snippet.rule}
    # A string for a type is told beside the form that it stands in.
    assert others <= {"torchao-string"}


@pytest.mark.parametrize("index", range(len(SNIPPETS)), ids=IDS)
def test_it_does_what_the_rule_says(index: int) -> None:
    snippet, (broken, _) = SNIPPETS[index], ran()[index]
    rule = next(rule for rule in every_rule() if rule.code == snippet.rule)
    if snippet.raises:
        assert snippet.raises in broken["error"]
        named = [pattern for pattern in rule.says if pattern.search(broken["error"])]
        assert named or snippet.rule == "quantize-by-name"
    else:
        assert (broken["error"], broken["value"]) == ("", snippet.was)
        if snippet.logs:
            assert any(p.search(broken["log"]) for p in rule.says), broken["log"]


@pytest.mark.parametrize("index", range(len(SNIPPETS)), ids=IDS)
def test_mended_it_does_what_was_meant(index: int) -> None:
    snippet, (_, mended) = SNIPPETS[index], ran()[index]
    if report_of(snippet).fixed is None:
        assert snippet.becomes is None
        return
    if snippet.then:
        assert snippet.then in mended["error"]
    else:
        assert (mended["error"], mended["value"]) == ("", snippet.becomes)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=IDS)
def test_mended_code_has_neither_errors_nor_surprises(snippet: Snippet) -> None:
    fixed = report_of(snippet).fixed
    if fixed is not None:
        found = check_text(fixed, gpu=choose_one(snippet.gpu) if snippet.gpu else None).findings
        assert [f for f in found if f.severity in ("error", "silent")] == []


def test_classes_and_arguments_are_those_of_the_installed_versions() -> None:
    """The whole file is checked by ``python -m tools.signatures --check``; here its versions, and
    the classes that are quickly read."""
    held = json.loads(signatures.FILE.read_text(encoding="utf-8"))
    assert held["versions"] == {name: version(name) for name in signatures.LIBRARIES}
    assert held == {**held, **signatures.quickly()}
