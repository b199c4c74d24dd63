"""Keeping an outcome: what was measured counts, whether or not the store can take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quantlab.errors import QuantlabError
from quantlab.lab.runners.runner import Machine
from quantlab.record.store.store import Store
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Finished, Outcome

__all__ = ["Kept", "keep"]


@dataclass(frozen=True)
class Kept:
    """An outcome and its PNG; ``id`` where the store has it, and ``problem`` why it could not."""

    outcome: Outcome
    png: bytes | None
    id: str | None = None
    problem: str = ""


def keep(
    store: Store | None,
    comparison: Comparison,
    event: Finished,
    machine: Callable[[], Machine],
    *,
    run: str | None = None,
    secret: str | None = None,
) -> Kept:
    """Read the outcome's image and save both, where there is a store.

    ``machine`` gives device and versions, ``run`` and ``secret`` are as in ``Store.save``. What the
    store or it cannot do is told in ``problem``, in one sentence, and raises nothing.
    """
    outcome = event.outcome
    png = Path(outcome.image).read_bytes() if outcome.image else None
    if store is None:
        return Kept(outcome, png)
    try:
        result = store.save(
            comparison, event.index, outcome, png, *machine(), run=run, secret=secret
        )
    except QuantlabError as error:
        return Kept(outcome, png, problem=str(error))
    return Kept(outcome, png, result)
