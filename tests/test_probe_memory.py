"""What a probe knows before it tries anything: what cannot be tried, and what it must try again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from quantlab.cli import main
from quantlab.lab.probe.probe import CAPABILITIES
from quantlab.record.probe_run import ProbeRequest, ProbeRun
from quantlab.record.probes import ProbeLog
from tests.test_probe import CELL


def test_a_scheme_that_cannot_be_tried_is_a_skipped_row_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    log = ProbeLog()
    for name in CAPABILITIES:
        log.add(replace(CELL, capability=name, measured="no"))  # known: nothing is run here
    asked = ["probe", "--json", "--schemes", "eetq-int8", "bnb-nf4"]
    assert main(asked) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["scheme"] for row in rows].count("bnb-nf4") == len(CAPABILITIES)
    (skipped,) = (row for row in rows if row["scheme"] == "eetq-int8")
    assert skipped["measured"] == "skipped"
    assert "no config class" in skipped["detail"]
    assert main(["probe", "--schemes", "no-such-scheme", "bnb-nf4"]) == 2


def test_a_yes_is_not_answered_from_memory_where_its_library_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version is unchanged, and this process has imported it while it was whole."""
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path / "data"))
    log = ProbeLog()
    for cell in (CELL, replace(CELL, capability="run", measured="no")):
        log.add(cell)
    request = ProbeRequest(schemes=("bnb-nf4",), capabilities=("load", "run"))
    assert [cell.capability for cell in ProbeRun(request).known] == ["load", "run"]
    (tmp_path / "bitsandbytes.py").write_text("raise OSError('libcudart.so.13 is not there')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert [cell.capability for cell in ProbeRun(request).known] == ["run"]
    (tmp_path / "bitsandbytes.py").write_text("import os\nos.abort()\n")
    assert [cell.capability for cell in ProbeRun(request).known] == ["run"]
