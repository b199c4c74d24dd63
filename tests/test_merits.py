"""What others found fast on a card and nobody timed here: told with the first choice."""

from __future__ import annotations

import pytest

from quantlab.catalog.answer import candidates
from quantlab.catalog.answer.choices import propose
from quantlab.catalog.answer.judge import Question
from quantlab.catalog.answer.merits import merits_of
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.machine import Machine
from quantlab.catalog.table import load_catalog

CATALOG = load_catalog()
ROTATED = CATALOG.schemes["sdnq-int8-hadamard"]
SDNQ = CATALOG.methods["sdnq"]
PACKAGES = ("sdnq", "torchao", "bitsandbytes", "accelerate", "optimum-quanto", "gguf")
EVERY = Machine(packages=dict.fromkeys(PACKAGES, "1.0"))
WITHOUT = Machine(packages=dict.fromkeys(PACKAGES[1:], "1.0"))


def told(gpu: str, machine: Machine = EVERY) -> list[str]:
    choices = propose(model="flux2-klein-4b", gpu=gpu, ram_gib=64, machine=machine).choices
    assert not [line for one in choices[1:] for line in one.reasons if "worth a try" in line]
    return [line for line in choices[0].reasons if "worth a try" in line]


@pytest.mark.parametrize("gpu", ["rtx-2060-6gb", "rtx-3060-12gb", "rtx-3090-24gb"])
def test_int8_with_rotation_has_its_place_on_turing_and_ampere(gpu: str) -> None:
    (line,) = told(gpu)
    assert "sdnq-int8-hadamard" in line
    for part in ("GiB at the peak", "no seconds known", "GPL-3.0-only", "2026-11-26"):
        assert part in line


def test_it_is_not_told_where_nobody_measured_it_nor_where_it_is_not_installed() -> None:
    assert not told("h100-80gb")
    assert not told("rtx-3060-12gb", WITHOUT)


def test_what_is_only_emulated_is_said_and_never_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    emulated = [scheme for scheme in CATALOG.schemes.values() if scheme.emulated]
    assert {s.id for s in emulated} == {"torchao-mxfp8", "torchao-mxfp4", "torchao-nvfp4wo"}
    assert all("emulated" in s.name and s.note.startswith("emulated:") for s in emulated)
    monkeypatch.setattr(candidates, "scheme_loss", lambda *_, **__: 1e-6)  # as if all drew alike
    question = Question("cuda", None, (), None, CATALOG.models["flux1-dev"], None, None)
    nobody = frozenset({"nobody"})  # answers are kept by what is missing: this one is ours alone
    plans = candidates.candidates(CATALOG, CATALOG.models["flux1-dev"], question, nobody)
    proposed = {scheme for alike in plans for plan in alike for _, scheme in plan.parts}
    assert proposed
    assert not proposed & {scheme.id for scheme in emulated}


def test_what_is_known_depends_on_the_card() -> None:
    def known(gpu: str) -> str:
        card = load_gpus()[gpu]
        question = Question("cuda", None, (), None, CATALOG.models["flux1-dev"], None, card)
        return " ".join(map(str, merits_of(SDNQ, ROTATED, question)))

    assert "RTX 2060" in known("rtx-2060-6gb")
    assert "RTX 3060" in known("rtx-3090-24gb")
    assert known("rtx-4090-24gb") == ""
