"""What one visitor's page holds: frozen values only, replaced and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.ui.compare.plans import Column, plan_text
from quantlab.words.comparison import MAX_PLANS, Comparison
from quantlab.words.numbers import finite_number
from quantlab.words.outcome import Outcome
from quantlab.words.settings import SETTINGS, Setting

__all__ = ["FIELDS", "ROWS", "Job", "Result", "Shown", "Values", "columns_of", "read_comparison"]

ROWS = (
    *(row for row in SETTINGS if not row.advanced),
    *(row for row in SETTINGS if row.advanced),
)
"""The settings in the order of their controls: those that are folded away stand last."""
FIELDS = ("model", *(row.key for row in ROWS))
"""The controls of the Compare tab beside its columns, by key."""

Values = Mapping[str, Any]
"""What the controls hold: ``FIELDS``, ``transformer-N`` and ``encoder-N`` of each column by its
number from 0, and ``count``, how many columns are visible."""


@dataclass(frozen=True)
class Result:
    """An outcome with its image, and where and when it was measured unless that was just now.

    ``path`` is the image's file in the page's own cache, which is emptied after a day: a session
    holds no images. ``id`` is the stored result's, None where it is not kept. ``lossy``: the image
    is a compressed copy of the one that the scores are of. ``worse``: what was not as predicted.
    """

    outcome: Outcome
    path: str | None = None
    origin: str = ""
    id: str | None = None
    lossy: bool = False
    worse: tuple[str, ...] = ()

    @property
    def png(self) -> bytes | None:
        """The bytes of the image, or None where there is none any more."""
        try:
            return Path(self.path).read_bytes() if self.path else None
        except OSError:
            return None


@dataclass(frozen=True, eq=False)  # compared by identity: outcomes hold dicts, which have no hash
class Shown:
    """The comparison whose results are on the page, and those results by the text of the plan."""

    comparison: Comparison | None = None
    results: tuple[tuple[str, Result], ...] = ()

    def get(self, plan: str) -> Result | None:
        """The result of ``plan``, or None."""
        return dict(self.results).get(plan)

    def put(self, plan: str, result: Result) -> Shown:
        """The same with one more result."""
        kept = tuple(item for item in self.results if item[0] != plan)
        return replace(self, results=(*kept, (plan, result)))

    def lags(self, wanted: Comparison) -> str:
        """What is to be said where there are results and they are not those of ``wanted``."""
        own = self.comparison
        if own is None or not self.results:
            return ""
        same = (own.model, own.settings, own.plans[0])
        if same != (wanted.model, wanted.settings, wanted.plans[0]):
            return "Changed, not run: these are the earlier pictures."
        missing = sum(self.get(str(plan)) is None for plan in wanted.plans)
        several = "A plan is" if missing == 1 else f"{missing} plans are"
        return f"{several} not run yet." if missing else ""

    @property
    def reference(self) -> Result | None:
        """The result of the first plan, where it is there and did not fail."""
        if self.comparison is None:
            return None
        found = self.get(str(self.comparison.plans[0]))
        return found if found and found.outcome.status == "ok" else None


@dataclass(frozen=True, eq=False)  # identity: the same comparison run twice is two jobs
class Job:
    """A comparison that somebody pressed Run for; ``token`` finds its stop signal.

    Its results are stored where ``keep`` says so; who knows ``secret`` may delete them.
    """

    comparison: Comparison
    token: str
    keep: bool = True
    secret: str | None = None


def columns_of(values: Values) -> tuple[Column, ...]:
    """The visible columns."""
    count = min(MAX_PLANS, int(values["count"]))
    return tuple(
        Column(*(str(values[f"{part}-{index}"] or "") for part in ("transformer", "encoder")))
        for index in range(count)
    )


def read_comparison(values: Values, catalog: Catalog) -> Comparison:
    """The comparison that the controls stand for, every limit checked.

    Raises:
        InputError: names the control that is wrong and what is allowed.
    """
    model = catalog.models.get(str(values["model"]))
    if model is None:
        raise InputError("model", "choose one of the list")
    given = {row.key: _given(row, values) for row in ROWS}
    plans = [plan_text(column, model) for column in columns_of(values)]
    return make_comparison(model=model.id, plans=plans, catalog=catalog, **given)


def _given(row: Setting, found: Mapping[str, object]) -> object:
    """What the control of ``row`` says; None where it says nothing."""
    value = found[row.key]
    if row.goes_with and not found[row.goes_with]:
        return None  # its control always holds a number
    if row.kind == "text":
        return " ".join(str(value or "").splitlines())
    if row.kind == "flag":
        return True if value else None
    if value is None and row.optional and row.default is None:
        return None
    _check_number(row.part, value)
    return value


def _check_number(part: str, value: object) -> None:
    if value is None:
        raise InputError(part, "is empty; give a number")
    if finite_number(value) is None:
        raise InputError(part, f"{value!r:.40} is not a number")
