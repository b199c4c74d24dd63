"""The probe: real on one scheme, with a process that misbehaves in every way, and as kept data."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from quantlab.catalog.machine import Machine
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Cell
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import CatalogError, StoreError
from quantlab.lab.probe.capabilities import TABLE
from quantlab.lab.probe.imports import broken
from quantlab.lab.probe.probe import CAPABILITIES, LIMITS_S, Probed, disagrees, documented, probe
from quantlab.lab.probe.scope import capabilities_of, left_out, schemes_here
from quantlab.lab.probe.subject import Subject
from quantlab.record.probes import ProbeLog, read_csv, to_csv
from tests.device import DEVICE
from tools.probe_kept import merged, target, untried

CATALOG = load_catalog()
KEPT = sorted((PROJECT / "data" / "results").glob("probe-*.csv"))
NOW = {"machine": "a machine", "versions": {"quantlab": "1", "torch": "2"}}
CELL = Probed("bnb-nf4", "load", "yes", "yes", "5 MiB", 1.5)
COLUMNS = {
    "load": "on-the-fly",
    "run": "cpu",
    "save-reload": "serializable",
    "compile": "compile",
    "lora": "lora",
}


@pytest.fixture(scope="module")
def misbehaving() -> dict[str, Probed]:
    limits = {**LIMITS_S, "run": 1.0, "offload": 30.0}
    cells = probe(
        {"bnb-nf4": CAPABILITIES},
        child="tests.probe_stand_in",
        limits_s=limits,
        limit_bytes=250_000_000,
    )
    return {cell.capability: cell for cell in cells}


def test_whatever_a_library_does_every_capability_has_its_cell(
    misbehaving: dict[str, Probed],
) -> None:
    assert set(misbehaving) == set(CAPABILITIES)
    assert (misbehaving["load"].measured, misbehaving["load"].detail) == ("yes", "works")


@pytest.mark.parametrize(
    ("capability", "measured", "detail"),
    [
        ("run", "error", "no answer within 1 s"),
        ("save-reload", "error", "signal 11 (SIGSEGV)"),
        ("compile", "no", "ValueError: not on this machine"),
        ("lora", "error", "RuntimeError: shapes of thing.py do not match"),
        ("offload", "error", "GiB of memory"),
        ("simple-form", "error", "exit status 3: could not go on"),
    ],
)
def test_faults_are_cells_that_say_what_happened(
    capability: str, measured: str, detail: str, misbehaving: dict[str, Probed]
) -> None:
    cell = misbehaving[capability]
    assert cell.measured == measured
    assert detail in cell.detail


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at a parent's death")
def test_the_process_ends_with_its_parent_even_where_that_is_killed() -> None:
    code = (
        "from quantlab.lab.runners.child import Child\n"
        "job = {'scheme': 'bnb-nf4', 'component': 'transformer', 'capabilities': ['run']}\n"
        "child = Child('tests.probe_stand_in', job)\n"
        "assert child.next(60) == {'start': 'run'}\n"
        "print(child.process.pid, flush=True)\n"
        "child.next(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # nobody may be left to collect it


def test_one_scheme_for_real_and_again_from_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    out = tmp_path / "probe.csv"
    command = ["probe", "--schemes", "torchao-int8wo", "--no-compile", "--json", "--out", str(out)]
    assert main(command) == 0
    first = capsys.readouterr()
    cells = {cell["capability"]: cell for cell in json.loads(first.out)}
    assert set(cells) == set(CAPABILITIES) - {"compile"}
    assert all(cells[name]["measured"] == "yes" for name in ("load", "run", "save-reload"))
    assert "output rel. L2 0" in cells["save-reload"]["detail"]
    assert cells["offload"]["measured"] in ("skipped", "yes")
    assert (cells["simple-form"]["documented"], cells["simple-form"]["measured"]) == ("no", "no")
    assert cells["dtype-move"]["measured"] == "no"
    assert "Casting a quantized model" in cells["dtype-move"]["detail"]
    assert {name: cell["limit_s"] for name, cell in cells.items()} == {
        name: LIMITS_S[name] for name in cells
    }
    monkeypatch.setattr("quantlab.lab.probe.probe.Child", lambda *_: pytest.fail("measured again"))
    assert main(command) == 0
    second = capsys.readouterr()
    assert json.loads(second.out) == json.loads(first.out)
    assert "7 of 7 cells reused" in second.err
    table = pd.read_csv(out)
    assert set(table["machine"]) == {read_csv(out)[0].machine}
    assert os.uname().nodename not in out.read_text()


@pytest.mark.parametrize("arguments", [["--schemes", "bnb-nf5"], ["--component", "vea"]])
def test_bad_arguments_are_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        ("eetq-int8", "diffusers has no config class"),
        ("mix-flux-mini-4_5", "a mix: the schemes it is made of"),
    ],
)
def test_a_scheme_that_cannot_be_tried_is_a_skipped_row_with_its_reason(
    scheme: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", "--json", "--schemes", scheme]) == 0
    (cell,) = json.loads(capsys.readouterr().out)
    assert (cell["scheme"], cell["measured"]) == (scheme, "skipped")
    assert cell["detail"].startswith(reason)


def test_a_component_that_is_moved_tells_its_bytes_and_what_it_holds() -> None:
    moved = TABLE["dtype-move"](Subject("bnb-nf4", CATALOG, DEVICE))
    before, after = map(int, re.findall(r"(\d+) bytes before, (\d+) after", moved.detail)[0])
    assert moved.measured == "yes"
    assert 0 < after < before, "what is not quantized is halved, the codes stay"
    undone = TABLE["dtype-move"](Subject("layerwise-fp8", CATALOG, DEVICE))
    assert undone.measured == "no"
    assert "holds something else" in undone.detail


def test_a_probe_that_is_stopped_ends_its_process_and_gives_no_more_cells() -> None:
    stop = threading.Event()
    cells = probe(
        {"bnb-nf4": ["load", "run"], "bnb-fp4": ["load"]},
        child="tests.probe_stand_in",
        stop=stop,
        say=lambda text: stop.set() if "run, at most 120 s" in text else None,
    )
    assert [cell.capability for cell in cells] == ["load"]


def test_every_scheme_of_the_text_encoder_is_tried_or_has_a_true_reason() -> None:
    bare = Machine(packages={"torch": "2.13.0", "accelerate": "1.15.0", "kernels": "1"})
    out = {cell.scheme: cell for cell in left_out("text_encoder_2", machine=bare)}
    assert out.keys() == CATALOG.schemes.keys()
    assert {cell.measured for cell in out.values()} == {"skipped"}
    reasons = {
        "bnb-nf4": "not installed: pip install bitsandbytes",
        "aqlm-2bit": "not installed: pip install aqlm; loads weights that were quantized before",
        "hqq-int4": "not installed: pip install hqq",
        "awq-int4": "not installed: pip install gptqmodel; loads weights",
        "sinq-int4": "not installed: pip install sinq; ",
        "eetq-int8": "needs a CUDA device",
        "gguf-q4_0": "GGUF is read through from_single_file of a diffusers model",
        "quanto-int4": "not installed: pip install optimum-quanto and a C++ compiler",
        "mix-flux-mini-4_5": "a mix: the schemes it is made of are tried by themselves",
    }
    for scheme, reason in reasons.items():
        assert out[scheme].detail.startswith(reason), out[scheme].detail
    here = schemes_here("text_encoder_2")
    assert {"bnb-nf4", "torchao-int8wo", "quanto-int8", "sdnq-uint4"} <= set(here)
    assert set(here) | {c.scheme for c in left_out("text_encoder_2")} == CATALOG.schemes.keys()


def test_where_a_method_s_library_is_here_the_library_itself_is_asked() -> None:
    packages = {"torch": "2.13.0", "accelerate": "1.15.0", "gptqmodel": "7.7.0", "hqq": "0.2.8"}
    out = {c.scheme for c in left_out("text_encoder_2", machine=Machine(packages=packages))}
    assert not {"awq-int4", "hqq-int4", "hqq-int8"} & out
    assert capabilities_of("awq-int4", "text_encoder_2") == ("load",)
    with pytest.raises(ValueError, match="require the model to be pre-quantized"):
        TABLE["load"](Subject("awq-int4", CATALOG, DEVICE, "text_encoder_2"))


def test_cells_are_reused_only_under_the_same_circumstances(tmp_path: Path) -> None:
    ProbeLog(tmp_path, NOW).add(CELL)
    assert ProbeLog(tmp_path, NOW).find("bnb-nf4", "load") == CELL
    assert ProbeLog(tmp_path, NOW).find("bnb-nf4", "run") is None
    for other in ({"machine": "another"}, {"versions": {"quantlab": "1", "torch": "3"}}):
        assert ProbeLog(tmp_path, {**NOW, **other}).find("bnb-nf4", "load") is None


def test_what_can_be_imported_is_asked_anew_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version stays what it was where a library breaks."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    library = tmp_path / "frail.py"
    library.write_text("")
    assert broken(["frail", "json"]) == set()
    library.write_text("raise OSError('a library of the system is gone')")
    assert broken(["frail", "json", "no_such_library"]) == {"frail", "no_such_library"}


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1, "cells": {"a": {"b": 1}}}'])
def test_a_damaged_file_is_begun_anew(content: str, tmp_path: Path) -> None:
    (tmp_path / "probe.json").write_text(content)
    log = ProbeLog(tmp_path, NOW)
    assert log.damaged
    log.add(CELL)
    assert ProbeLog(tmp_path, NOW).find("bnb-nf4", "load") == CELL


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        ProbeLog(tmp_path / "file", NOW).add(CELL)


def test_the_table_of_a_probe_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "probe.csv"
    cells = [CELL, replace(CELL, capability="offload", documented=None, detail='a, "b"')]
    path.write_text(to_csv(cells, NOW, "2026-11-21"))
    kept = read_csv(path)
    assert [row.cell for row in kept] == cells
    assert (kept[0].machine, kept[0].versions) == ("a machine", NOW["versions"])
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CatalogError, match=r"probe\.csv"):
        read_csv(path)


def test_a_kept_table_takes_new_cells_in_the_place_of_old_ones() -> None:
    skipped = replace(CELL, scheme="sdnq-uint4", measured="skipped")
    rows = merged([], [CELL, skipped], NOW)
    assert untried(rows, ["bnb-nf4", "sdnq-uint4", "sdnq-int8"]) == ["sdnq-uint4", "sdnq-int8"]
    later = {**NOW, "versions": {**NOW["versions"], "sdnq": "3"}}  # type: ignore[dict-item]
    found = merged(rows, [replace(skipped, measured="yes"), replace(CELL, capability="run")], later)
    assert [(row["scheme"], row["capability"], row["measured"]) for row in found] == [
        ("bnb-nf4", "load", "yes"),
        ("sdnq-uint4", "load", "yes"),
        ("bnb-nf4", "run", "yes"),
    ]
    assert ["sdnq" in row for row in found] == [False, True, True]
    assert target("text_encoder_2").name.endswith("-text-encoder.csv")


def test_a_disagreement_is_a_claim_and_its_opposite() -> None:
    claims = [("yes", "no"), ("yes", "error"), ("no", "yes")]
    for said in ("yes", "no", "partial", "unknown", None):
        for found in ("yes", "no", "error", "skipped"):
            cell = replace(CELL, documented=said, measured=found)
            assert disagrees(cell) == ((said, found) in claims)


def _cell(probed: Probed, hardware: str = "cpu") -> Cell:
    scheme = CATALOG.schemes[probed.scheme]
    column = hardware if probed.capability == "run" else COLUMNS[probed.capability]
    return CATALOG.methods[scheme.method].cell(column, scheme)


def _noted(probed: Probed, hardware: str) -> bool:
    """Whether the claim agrees with the measurement, or its note tells of the difference."""
    claim = _cell(probed, hardware)
    if not disagrees(replace(probed, documented=claim.value)):
        return True
    return "measured" in claim.note if claim.value == "no" else bool(claim.note)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_is_claimed_of_a_device_was_measured_or_carries_a_note(path: Path) -> None:
    """A "yes" against a failure needs a note; a "no" against a success one that says so."""
    bare = [
        f"{row.cell.scheme} {row.cell.capability}: {row.cell.detail}"
        for row in read_csv(path)
        if row.cell.capability in COLUMNS and not _noted(row.cell, path.stem.split("-")[1])
    ]
    assert not bare


def test_a_probe_is_kept_and_covers_what_runs_on_a_cpu() -> None:
    schemes = {row.cell.scheme for path in KEPT for row in read_csv(path)}
    assert {"bnb-nf4", "torchao-int8wo", "quanto-int8", "gguf-q4_0", "sdnq-uint4"} <= schemes


def test_the_simple_form_is_documented_by_the_scheme_itself() -> None:
    assert documented(CATALOG.schemes["bnb-nf4"], "simple-form") == "yes"
    assert documented(CATALOG.schemes["gguf-q4_0"], "simple-form") == "no"
    assert documented(CATALOG.schemes["gguf-q4_0"], "offload") is None
