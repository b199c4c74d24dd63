"""How long one visitor's job may take on a page that others wait for, predicted before it waits.

Seconds are those of catalog/time: of a card from its figures and from what was measured on it, of a
CPU from steps that are run once when the page starts, in the background. Where nothing is known
nothing is refused; the line of jobs (ui/jobs.py) holds all the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quantlab.catalog.gpus import Gpu, recognise
from quantlab.catalog.placement import Device
from quantlab.catalog.sizes.predict import predict_asked
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import NOTHING, Known
from quantlab.catalog.time.values import Seconds
from quantlab.errors import InputError, QuantlabError
from quantlab.record.known import measurements_here
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan
from quantlab.words.units import seconds as in_words

__all__ = ["PUBLIC_S", "Budget", "Here", "here", "learn", "of_device"]

PUBLIC_S = 600.0
"""What a job may take on a public page unless its operator says otherwise: ten minutes."""
Knows = Callable[[str, Gpu | None, str | None], Known]
"""What was measured of a model on a card, or on this machine's CPU."""
CALLS = 2
"""Of each plan: one to warm up, one that is measured."""


@dataclass(frozen=True)
class Here:
    """What the page's machine is, and what was measured on it, by model."""

    device: Gpu | Device
    known: Mapping[str, Known]

    def seconds(self, comparison: Comparison, catalog: Catalog) -> float | None:
        """About how long the plans of ``comparison`` compute; those that nobody can tell are left
        out, None where that is all of them. On a CPU every plan counts as the model as it is."""
        model = catalog.models[comparison.model]
        plain = Plan(dtype=model.base_dtype)
        found = []
        for plan in comparison.plans:
            on_card = predict_asked(
                comparison,
                plan if isinstance(self.device, Gpu) else plain,
                gpu=self.device,
                known=self.known.get(model.id, NOTHING),
                catalog=catalog,
            ).on_card
            if on_card is not None and isinstance(on_card.image_s, Seconds):
                found.append(on_card.image_s.mid * CALLS)
        return sum(found) if found else None


class Budget:
    """At most ``most_s`` predicted seconds a job; None is no limit."""

    def __init__(self, most_s: float | None = None, here: Here | None = None) -> None:
        self.most_s, self.here = most_s, here

    def check(self, comparison: Comparison, catalog: Catalog) -> None:
        """Refuse what takes too long.

        Raises:
            InputError: says how long it takes and how long it may.
        """
        if self.most_s is None or self.here is None:
            return
        try:
            takes = self.here.seconds(comparison, catalog)
        except QuantlabError:  # what is wrong with it is said where it is run
            return
        if takes is not None and takes > self.most_s:
            raise InputError(
                "run",
                f"this is predicted to take about {in_words(takes)} here, and a job on this page "
                f"may take {in_words(self.most_s)}; take fewer plans, fewer steps or a smaller "
                "size",
            )


def learn(
    budget: Budget, found: Callable[[], Here], after: threading.Thread | None = None
) -> threading.Thread:
    """Find out in the background what the machine is and how fast, as ``found`` says, once the
    thread ``after`` has ended."""

    def work() -> None:
        if after is not None:
            after.join()
        with contextlib.suppress(QuantlabError):  # then nothing is refused
            budget.here = found()

    thread = threading.Thread(target=work, name="quantlab-budget", daemon=True)
    thread.start()
    return thread


def here(catalog: Catalog) -> Here:
    """What this machine is, and what was measured on it. Imports torch.

    Raises:
        LoadError, Unavailable: the model that ships cannot be run.
    """
    from quantlab.lab.device import this_device

    return of_device(this_device(), catalog, measurements_here(catalog).of)


def of_device(device: Any, catalog: Catalog, known: Knows) -> Here:
    """What ``device``, a ``lab.device.Device``, is, and what is ``known`` of it."""
    card = None if device.is_cpu else recognise(device.name, device.total_bytes)
    models = [m for m in catalog.models.values() if card or (m.local and not m.own)]
    kind = "cpu" if device.is_cpu else None
    measured = {m.id: known(m.id, card, kind) for m in models} if kind or card else {}
    return Here(card or device.memory, measured)
