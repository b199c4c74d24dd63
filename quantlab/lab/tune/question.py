"""What a tuning is asked: the model, the budget, and the prompts to tune on and to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import here, in_words
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Method, Model, Scheme
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.lab.device import Device
from quantlab.words.comparison import Comparison
from quantlab.words.numbers import show

__all__ = ["AT", "HELD_AT", "PROMPTS", "Question", "kinds_of", "question"]

PROMPTS = PROJECT / "data" / "results" / "prompts.txt"
AT = (0.0, 0.5, 1.0)
"""Where on its way to the picture a step is taken for tuning, as shares; HELD_AT are others."""
HELD_AT = (0.2, 0.7)
FEWEST, MOST = 1.0, 16.0
JUDGED = 64
"""Steps that a layer is judged by: the more of them a picture takes, the fewer are drawn."""
PICTURES = 2
"""Fewest pictures that a layer is judged by, however many steps they take."""


@dataclass(frozen=True)
class Question:
    """``tuning`` and ``held_out`` are comparisons of the unquantized plan, a prompt and seed each.

    ``budget_bits`` are stored bits of all Linear weights over their number.
    """

    model: Model
    method: Method
    budget_bits: float
    tuning: tuple[Comparison, ...]
    held_out: tuple[Comparison, ...]
    out: Path

    @property
    def drawn(self) -> int:
        """How many of the pictures of tuning are drawn for each layer."""
        return min(len(self.tuning), max(PICTURES, JUDGED // self.tuning[0].steps))

    @property
    def judged(self) -> int:
        """How many steps these take."""
        return self.drawn * self.tuning[0].steps


def question(
    model_id: str,
    method_id: str,
    budget_bits: float,
    prompts: Sequence[str],
    out: Path,
    catalog: Catalog,
    *,
    most: int,
    **settings: Any,
) -> Question:
    """Every part checked. Every other prompt is held out; at most ``most`` are tuned on.

    ``settings`` are those of a comparison, such as ``width``.

    Raises:
        InputError: names the part that is wrong and what is allowed.
    """
    if not FEWEST <= budget_bits <= MOST:
        raise InputError("budget-bits", f"{show(budget_bits)}; {FEWEST:g} to {MOST:g} are allowed")
    able = [method.id for method in catalog.methods.values() if method.mixing]
    if method_id not in able:
        raise InputError("method", f"{method_id!r:.42} is not one of {', '.join(able)}")
    if len(prompts) < 4:
        raise InputError("prompts", f"{len(prompts)} given; at least 4 are needed, half held out")
    known = make_comparison(model=model_id, plans=["bf16"], prompt="", catalog=catalog)
    same: dict[str, Any] = {"model": model_id, "plans": [catalog.models[known.model].base_dtype]}
    drawn = [
        make_comparison(**same, prompt=prompt, seed=seed, catalog=catalog, **settings)
        for seed, prompt in enumerate(prompts)
    ]
    return Question(
        model=catalog.models[known.model],
        method=catalog.methods[method_id],
        budget_bits=budget_bits,
        tuning=tuple(drawn[::2][:most]),
        held_out=tuple(drawn[1::2]),
        out=out,
    )


def kinds_of(asked: Question, catalog: Catalog, device: Device) -> tuple[Scheme, ...]:
    """The schemes that may be mixed in the model's denoiser on this machine.

    Raises:
        InputError: there are none, with the reason.
    """
    mixing, component = asked.method.mixing, asked.model.components[0]
    assert mixing is not None
    found, reason = [], "none is known"
    for scheme_id in (*mixing.schemes, *filter(None, [mixing.kept])):
        scheme = catalog.schemes[scheme_id]
        refused = why_not(scheme, component.library, component.cls, component.table)
        said = refused or in_words(here(scheme, asked.method, device.machine, asked.model))
        if said == "ok":
            found.append(scheme)
        else:
            reason = f"{scheme.id}: {said}"
    if not any(scheme.id != mixing.kept for scheme in found):
        raise InputError("method", f"{asked.method.id} has no scheme to mix here; {reason}")
    return tuple(found)
