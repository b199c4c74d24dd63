"""What was measured on a device, of the results that are stored: it scales what is predicted there.

The newest results count. A run with a LoRA is left out: it takes longer than the plan alone. The
command line, the page and programs all ask a ``Measurements``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any

from quantlab.catalog.answer.surprise import card_of_device
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.paths import RESULTS, data_folder
from quantlab.catalog.placement import one_memory
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import picture_asked
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import NOTHING, Known, MeasuredRun, Pace
from quantlab.catalog.time.of_plan import run_of, work_of
from quantlab.errors import InputError, PlanError, QuantlabError
from quantlab.words.plan import Plan

if TYPE_CHECKING:
    from quantlab.catalog.schema import Model
    from quantlab.record.store.store import Store, Stored

__all__ = ["CPU", "Measurements", "measurements_here", "runs_of"]

NEWEST = 1000
"""Results that are looked at."""
CPU = "cpu"
LOOK_S = 60.0
"""How often it is looked whether other processes have stored or removed something."""


class Measurements:
    """What a store has of each device, looked up once until it changes.

    ``opens`` gives the store when it is first needed; one that is not there, or cannot be read, has
    nothing. ``busy`` says whether steps that were run now would be slowed by other work: none are
    run then.
    """

    def __init__(
        self,
        catalog: Catalog,
        opens: Callable[[], Store | None],
        busy: Callable[[], bool] = lambda: False,
        look_s: float = LOOK_S,
    ) -> None:
        self._catalog, self._opens, self._busy, self._look_s = catalog, opens, busy, look_s
        self._found: dict[str, tuple[Known, object]] = {}
        self._paces: dict[str, Pace] = {}
        self._looked = -look_s
        self._lock = threading.Lock()

    @cached_property
    def _store(self) -> Store | None:
        return self._opens()

    @property
    def state(self) -> int:
        """What changes where there may be something new."""
        self._look()
        return self._store.writes if self._store else 0

    @property
    def card_state(self) -> int:
        """The same of cards: what a page on a CPU keeps all day says nothing of them."""
        self._look()
        return self._store.card_writes if self._store else 0

    def _look(self) -> None:
        now = time.monotonic()
        if self._store is not None and now - self._looked >= self._look_s:
            self._looked = now
            with suppress(QuantlabError):  # what cannot be read has nothing new
                self._store.notice()

    def of(self, model_id: str | None, gpu: Gpu | None, hardware: str | None) -> Known:
        """What is known of ``gpu``; or of this machine's CPU, where that is asked about and the
        model ships: its steps are then run once, which imports torch.

        Raises:
            LoadError, Unavailable: the model that ships cannot be run.
        """
        with self._lock:
            if gpu is not None:
                return self._kept(gpu.id, lambda about: card_of_device(about) == gpu)
            model = self._catalog.models.get(model_id or "")
            if hardware != CPU or model is None or not model.local or model.own:
                return NOTHING
            return self._of_cpu(model)

    def _of_cpu(self, model: Model) -> Known:
        from quantlab.lab.bench.pace import pace_of
        from quantlab.lab.device import this_device

        device = this_device()
        if not device.is_cpu:
            return NOTHING
        if model.id not in self._paces and not self._busy():
            self._paces[model.id] = pace_of(model, self._catalog, device)
        here = {name: device.info()[name] for name in ("kind", "name", "threads")}
        return self._kept(CPU, lambda about: all(about.get(k) == v for k, v in here.items()))

    def _kept(self, device: str, there: Callable[[Mapping[str, Any]], bool]) -> Known:
        """What is known of the device called ``device``: the same value while it is the same."""
        before, looked = self._found.get(device, (NOTHING, None))
        paces = tuple(self._paces.items()) if device == CPU else ()
        state = self.state if device == CPU else self.card_state
        if looked == state and paces == before.paces:
            return before
        found = Known(_stored(self._store, self._catalog, there), paces)
        if (found.runs, found.paces) == (before.runs, before.paces):
            found = before
        self._found[device] = (found, state)
        return found


def measurements_here(catalog: Catalog) -> Measurements:
    """Those of this machine's store, where there is one."""
    return Measurements(catalog, _open)


def runs_of(rows: Iterable[Stored], catalog: Catalog) -> Iterator[MeasuredRun]:
    """Each result that ran as a measured run; what the catalogue has lost is left out."""
    for row in rows:
        with suppress(InputError, PlanError):
            if (run := _run_of(row, catalog)) is not None:
                yield run


def _run_of(row: Stored, catalog: Catalog) -> MeasuredRun | None:
    asked, outcome = row.comparison, row.outcome
    model = catalog.models.get(asked.model)
    if model is None or not outcome.latency_s or asked.carried is not None:
        return None
    picture = picture_asked(asked, model)
    plan = Plan.read(row.plan, model.denoiser)
    kind = "resident" if outcome.placement in (None, "cpu") else str(outcome.placement)
    moved, card = 0, card_of_device(row.device)
    if kind != "resident":
        moved = needs_of(plan, model, picture, catalog=catalog).weights_bytes
    waits = kind == "resident" or card is None or not one_memory(card)
    return MeasuredRun(
        work_of(plan, model, picture, catalog, steps=asked.steps),
        run_of(plan, model, kind, moved, waits, catalog),
        median(outcome.latency_s),
    )


def _stored(
    store: Store | None, catalog: Catalog, there: Callable[[Mapping[str, Any]], bool]
) -> tuple[MeasuredRun, ...]:
    if store is None:
        return ()
    try:
        rows = store.recent(NEWEST, images=False)
    except QuantlabError:
        return ()
    return tuple(runs_of((row for row in rows if there(row.device)), catalog))


def _open() -> Store | None:
    """This machine's store where there is one; none is made."""
    if not os.environ.get("QUANTLAB_DATABASE_URL") and not (data_folder() / RESULTS).is_file():
        return None
    from quantlab.record.store.store import Store

    with suppress(QuantlabError):
        return Store()
    return None
