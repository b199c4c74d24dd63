"""What pick, propose and predict answer where results are stored: one way for the command line, the
page and programs.

What was measured on the device that is asked about outranks what is predicted for it, or scales it;
each answer says which.
"""

from __future__ import annotations

from typing import Any

from quantlab.catalog.answer import choices, pick
from quantlab.catalog.answer.choices import Answer
from quantlab.catalog.answer.pick import Recommendation, read_question
from quantlab.catalog.gpus import choose_one
from quantlab.catalog.machine import own_memory_gib, this_machine
from quantlab.catalog.sizes.predict import Prediction
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import Known
from quantlab.errors import InputError
from quantlab.record.documents import predictions
from quantlab.record.known import Measurements
from quantlab.words.comparison import Comparison

__all__ = ["predicted", "proposed", "recommended"]


def recommended(catalog: Catalog, measured: Measurements, **asked: Any) -> list[Recommendation]:
    """``catalog.answer.pick.recommend`` of what is ``asked``; runs nothing and imports no torch.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    known = _known(measured, asked, run_steps=False)
    return pick.recommend(**asked, catalog=catalog, known=known)


def proposed(
    catalog: Catalog, measured: Measurements, *, run_steps: bool = True, **asked: Any
) -> Answer:
    """``catalog.answer.choices.propose`` of what is ``asked``; ``run_steps`` is whether a model
    that ships may be run for some steps where this machine's CPU is asked about.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    known = _known(measured, asked, run_steps=run_steps)
    return choices.propose(**asked, catalog=catalog, known=known)


def predicted(
    catalog: Catalog,
    measured: Measurements,
    asked: Comparison,
    *,
    gpu: str | None = None,
    hardware: str | None = None,
    memory_gib: float | None = None,
    ram_gib: float | None = None,
    batch: int | None = None,
    references: int | None = None,
) -> list[Prediction]:
    """What each plan of ``asked`` is predicted to need, and where a device is named how long it
    takes there: ``gpu``, or ``memory_gib`` on ``hardware``, of a CPU this machine's memory.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
        PlanError: a scheme whose way of storing is not known.
    """
    own = own_memory_gib(hardware, memory_gib, this_machine())
    question = read_question(catalog, hardware, None, (), None, asked.model, own, gpu, ram_gib)
    device = question.device
    if hardware is not None and device is None:
        raise InputError("memory-gib", f"say how much memory the {hardware} device has")
    if ram_gib is not None and device is None:
        raise InputError("ram-gib", "goes with --gpu or --hardware, which it stands beside")
    return predictions(
        asked,
        catalog,
        batch=batch,
        references=references,
        gpu=device,
        ram_bytes=question.ram_bytes,
        known=measured.of(asked.model, question.gpu, hardware),
    )


def _known(measured: Measurements, asked: dict[str, Any], *, run_steps: bool) -> Known:
    """What was measured on the device that is asked about.

    Raises:
        InputError: no card is meant, or several are.
    """
    gpu = asked.get("gpu")
    card = None if gpu is None else choose_one(gpu)
    return measured.of(asked.get("model"), card, asked.get("hardware") if run_steps else None)
