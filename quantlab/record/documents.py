"""The JSON documents that programs get, the same from the command line and from a served page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.placement import Device
from quantlab.catalog.sizes.predict import Prediction, predict_asked
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import NOTHING, Known
from quantlab.errors import QuantlabError
from quantlab.record.store.row import Stored
from quantlab.words.choice import Choice
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from quantlab.words.plan import Plan

__all__ = [
    "choice_document",
    "choice_documents",
    "comparison_document",
    "placed_script",
    "predictions",
    "result_document",
    "script_of_plan",
]


def comparison_document(
    comparison: Comparison,
    device: Mapping[str, Any],
    versions: Mapping[str, Any],
    outcomes: Sequence[Outcome],
) -> dict[str, Any]:
    """What was asked, what it ran on, and one outcome per plan in order."""
    return {
        "comparison": comparison.as_dict(),
        "device": dict(device),
        "versions": dict(versions),
        "outcomes": [outcome.as_dict() for outcome in outcomes],
    }


def result_document(stored: Stored) -> dict[str, Any]:
    """One kept outcome, the comparison it was measured in, and on what and when it was."""
    return {
        "id": stored.id,
        "measured_at": stored.measured_at,
        "imported_at": stored.imported_at,
        "comparison": stored.comparison.as_dict(),
        "device": dict(stored.device),
        "versions": dict(stored.versions),
        "outcome": stored.outcome.as_dict(),
    }


def choice_document(
    choice: Choice, model: str, catalog: Catalog, **settings: Any
) -> dict[str, Any]:
    """A choice with the script that makes its image, placed as it says; writing that imports torch.

    Where no script can be written it is None, and the last of the reasons says why.
    """
    plans, document = [choice.plan], choice.as_dict()
    try:
        given = {**settings, **dict.fromkeys(choice.settings, True)}
        made = make_comparison(model=model, plans=plans, prompt="", catalog=catalog, **given)
        script = placed_script(made, choice.placement, choice.hardware, catalog)
        return {**document, "snippet": script}
    except QuantlabError as error:
        reasons = [*choice.as_dict()["reasons"], f"no script: {error}"]
        return {**document, "reasons": reasons, "snippet": None}


def placed_script(asked: Comparison, placement: str, hardware: str, catalog: Catalog) -> str:
    """The script of the first plan of ``asked`` for a kind of hardware, its weights kept as
    ``placement`` says. Imports torch.

    Raises:
        PlanError: there is no script of it, or it cannot be placed so.
    """
    from quantlab.lab.device import this_device
    from quantlab.lab.script.card import DEVICES
    from quantlab.lab.script.pipeline import snippet

    return snippet(
        asked,
        asked.plans[0],
        catalog,
        this_device(),
        placement=placement,
        target=DEVICES.get(hardware),
    )


def script_of_plan(asked: Comparison, plan: Plan, catalog: Catalog) -> str:
    """The script that reproduces ``plan`` of ``asked`` on this machine. Imports torch.

    Raises:
        PlanError: there is no script of it.
    """
    from quantlab.lab.device import this_device
    from quantlab.lab.script.pipeline import snippet

    return snippet(asked, plan, catalog, this_device())


def choice_documents(
    choices: Sequence[Choice], model: str, settings: Mapping[str, Any], catalog: Catalog
) -> list[dict[str, Any]]:
    """``choice_document`` of each."""
    return [choice_document(choice, model, catalog, **settings) for choice in choices]


def predictions(
    comparison: Comparison,
    catalog: Catalog | None = None,
    *,
    batch: int | None = None,
    references: int | None = None,
    gpu: Gpu | Device | None = None,
    ram_bytes: int | None = None,
    known: Known = NOTHING,
) -> list[Prediction]:
    """What each plan is predicted to need, in order, as ``predict`` says; nothing is loaded.

    Raises:
        PlanError: a scheme whose way of storing is not known.
    """
    return [
        predict_asked(
            comparison,
            plan,
            batch=batch,
            references=references,
            gpu=gpu,
            ram_bytes=ram_bytes,
            known=known,
            catalog=catalog,
        )
        for plan in comparison.plans
    ]
