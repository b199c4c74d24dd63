"""The tab "This server" without a browser: its views, and a probe behind the page."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError
from quantlab.lab.probe.probe import CAPABILITIES, Probed
from quantlab.lab.runners.local import LocalRunner
from quantlab.record.probe_run import ProbeRequest
from quantlab.record.probes import Kept, kept_probes
from quantlab.ui.blocks import Page
from quantlab.ui.jobs import Jobs
from quantlab.ui.machine import tab as machine_tab
from quantlab.ui.machine import view as machine_view
from quantlab.ui.machine.probing import Told, probing
from quantlab.ui.machine.tab import may_probe
from quantlab.ui.named import Updates
from quantlab.ui.pick.sheet_view import beside
from quantlab.ui.services import Services
from tests.drawn import drawn
from tests.test_page import call

EVIL = "<script>alert(1)</script>"
AGREES = Probed("bnb-nf4", "load", "yes", "yes", "5 MiB", 1.5, limit_s=420)
DISAGREES = Probed("bnb-nf4", "save-reload", "yes", "no", EVIL, 0.5, limit_s=120)
LEFT_OUT = Probed("eetq-int8", "load", "yes", "skipped", "needs a CUDA device", 0)
SERVICES = Services(catalog=load_catalog(), runner=LocalRunner(load_catalog()), store=None)


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe's process that misbehaves on purpose, and a data folder of its own."""
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    monkeypatch.setattr("quantlab.record.probe_run.CHILD", "tests.probe_stand_in")


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_disagreements_come_first_and_every_text_is_escaped() -> None:
    html = machine_view.cells([AGREES, DISAGREES, LEFT_OUT])
    assert EVIL not in html
    text = text_of(html)
    assert text.startswith("1 of 3 cells disagree with what is documented")
    assert text.index("save and reload") < text.index("Transformer, scheme by scheme")
    assert "1.50 s of 420 s" in text
    assert "1 scheme not tried" in text
    assert "needs a CUDA device" in text


def test_agreement_is_said_too_and_nothing_measured_shows_nothing() -> None:
    assert "No cell disagrees" in machine_view.cells([AGREES])
    assert machine_view.cells([]) == ""


def test_every_capability_has_a_word() -> None:
    assert tuple(machine_view.CAPABILITY_LABELS) == CAPABILITIES


def test_kept_probes_name_machine_date_and_versions() -> None:
    rows = [Kept(AGREES, "a machine", {"torch": "2.1"}, "2026-11-21")]
    rows.append(replace(rows[0], machine="another", cell=DISAGREES))
    html = machine_view.kept(rows)
    first, second = re.findall('<details class="ql-group".*?</summary>', html)
    assert "open" in first  # of what disagrees most
    assert "open" not in second
    assert text_of(first).startswith("another 1 scheme, 1 cell; 1 disagreement with what")
    assert text_of(second).startswith("a machine 1 scheme, 1 cell; 0 disagreements")
    assert text_of(second).endswith("measured on 2026-11-21")
    assert "With torch 2.1." in html
    assert '<summary class="ql-part">Transformer, scheme by scheme (1)</summary>' in html


def test_a_public_page_has_no_button_and_shows_the_kept_probe() -> None:
    other = replace(SERVICES, runner=SimpleNamespace())  # type: ignore[arg-type]
    public = replace(SERVICES, public=True)
    assert may_probe(SERVICES)
    assert not may_probe(public)
    assert may_probe(replace(public, allow_probe=True))
    assert not may_probe(other)
    with Page() as page, gr.Tab("x") as tab:
        machine_tab.build_machine(other, tab)
    values = [str(getattr(block, "value", "")) for block in page.blocks.values()]
    assert "Probe" not in values
    assert any("This page is public" in value for value in values)
    assert kept_probes()[0].machine in machine_tab.kept(call(other))["kept"]


def test_the_sheet_has_what_was_measured_and_only_language_models_have_a_script() -> None:
    assert "Measured" in beside("bnb-nf4")
    assert "transformers.AwqConfig" in beside("awq")
    assert "transformers.HqqConfig(nbits=8" in beside("hqq-int8")
    assert beside(EVIL) == ""


def _request(*capabilities: str) -> ProbeRequest:
    return ProbeRequest(schemes=("bnb-nf4",), capabilities=capabilities)


def _told(request: ProbeRequest) -> Told:
    return list(probing(request, threading.Event()))[-1]


def _run(services: Services, session: str, schemes: list[str]) -> list[Updates]:
    asked = {"component": "transformer", "schemes": schemes, "capabilities": ["load"]}
    return drawn(machine_tab.run(call(services, session, **asked, fresh=False)))


@pytest.mark.usefixtures("child")
def test_a_crash_is_a_cell_and_a_second_probe_reuses_what_is_known() -> None:
    request = _request("load", "save-reload")
    last = _told(request)
    assert last.ended
    assert [(c.capability, c.measured) for c in last.cells] == [
        ("load", "yes"),
        ("save-reload", "error"),
    ]
    again = _told(request)
    assert again.cells == last.cells
    assert again.reused.startswith("2 of 2 cells reused: scheme, library versions and machine")


@pytest.mark.usefixtures("child")
def test_stop_ends_a_probe() -> None:
    stop = threading.Event()
    told = probing(_request("load", "run"), stop)
    _until(told, "run, at most")
    stop.set()
    rest = list(told)
    assert rest[-1].ended
    assert rest[-1].stopped
    assert [cell.capability for cell in rest[-1].cells] == ["load"]


@pytest.mark.usefixtures("child")
def test_a_page_that_was_closed_ends_its_probe() -> None:
    stop = threading.Event()
    told = probing(_request("run"), stop)
    _until(told, "run, at most")
    told.close()  # type: ignore[attr-defined]
    assert stop.is_set()


def _until(told: Iterator[Told], text: str) -> None:
    for each in told:
        if text in each.doing:
            return
    pytest.fail(f"{text!r} was never told")


@pytest.mark.usefixtures("child")
def test_another_session_cannot_end_a_probe() -> None:
    services = replace(SERVICES, jobs=Jobs())
    token, _ = services.jobs.queue("probe mine")
    mine = services.jobs.start(token)
    assert machine_tab.stop(call(services, "another")) == {}
    assert mine is not None
    assert not mine.is_set()
    machine_tab.stop(call(services, "mine"))
    assert mine.is_set()


@pytest.mark.usefixtures("child")
def test_what_cannot_be_probed_is_one_sentence_and_frees_the_line() -> None:
    services = replace(SERVICES, jobs=Jobs())
    with pytest.raises(InputError, match="unknown scheme"):
        _told(ProbeRequest(schemes=("x",)))
    updates = _run(services, "one", ["x"])
    assert "unknown scheme" in updates[-1]["progress"]
    assert updates[-1]["start"]["interactive"]
    assert len(services.jobs) == 0


@pytest.mark.usefixtures("child")
def test_what_is_known_of_this_machine_is_shown_when_the_tab_opens() -> None:
    services = replace(SERVICES, jobs=Jobs())
    assert machine_tab.remember(call(services)) == {"results": ""}
    _run(services, "one", ["bnb-nf4"])
    assert "bnb-nf4" in machine_tab.remember(call(services))["results"]
