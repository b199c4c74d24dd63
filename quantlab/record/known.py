"""What was measured on a device, of the results that are stored: it scales what is predicted there.

The newest results count. A run with a LoRA is left out: it takes longer than the plan alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from statistics import median
from typing import TYPE_CHECKING, Any

from quantlab.catalog.answer.surprise import card_of_device
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.paths import RESULTS, data_folder
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import NOTHING, Known, MeasuredRun
from quantlab.catalog.time.of_plan import run_of, work_of
from quantlab.errors import InputError, PlanError, QuantlabError
from quantlab.words.plan import Plan

if TYPE_CHECKING:
    from quantlab.lab.device import Device
    from quantlab.record.store.store import Store, Stored

__all__ = ["known_here", "known_of_card", "known_of_cpu", "runs_of"]

NEWEST = 1000
"""Results that are looked at."""


def known_here(model_id: str, gpu: Gpu | None, hardware: str | None, catalog: Catalog) -> Known:
    """What this machine's store has of ``gpu``, or what is known of this machine's CPU where that
    is asked about and the model ships: then its steps are run now, which imports torch.

    A store that is not there, or cannot be read, has nothing.
    """
    if gpu is not None:
        return known_of_card(gpu, catalog, _open())
    model = catalog.models.get(model_id)
    if hardware == "cpu" and model is not None and model.local and not model.own:
        from quantlab.lab.bench.pace import pace_of
        from quantlab.lab.device import this_device

        device = this_device()
        if device.is_cpu:
            paces = ((model.id, pace_of(model, catalog, device)),)
            return known_of_cpu(device, paces, catalog, _open())
    return NOTHING


def known_of_card(gpu: Gpu, catalog: Catalog, store: Store | None) -> Known:
    """The stored runs on a card of that kind."""
    return Known(_stored(store, catalog, lambda about: card_of_device(about) == gpu))


def known_of_cpu(
    device: Device, paces: tuple[tuple[str, Any], ...], catalog: Catalog, store: Store | None
) -> Known:
    """``paces`` that were measured on ``device``, a CPU, with the stored runs on it."""
    here = {name: device.info()[name] for name in ("kind", "name", "threads")}
    same = _stored(store, catalog, lambda about: all(about.get(k) == v for k, v in here.items()))
    return Known(same, paces)


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
    picture = picture_of(
        model,
        width=asked.width,
        height=asked.height,
        sequence_length=asked.sequence_length,
        references=len(asked.references) or None,
        frames=asked.frames,
        guidance=asked.guidance,
        true_cfg_scale=asked.true_cfg_scale,
    )
    plan = Plan.read(row.plan, model.denoiser)
    kind = "resident" if outcome.placement in (None, "cpu") else str(outcome.placement)
    moved = 0
    if kind != "resident":
        moved = needs_of(plan, model, picture, catalog=catalog).weights_bytes
    return MeasuredRun(
        work_of(plan, model, picture, catalog, steps=asked.steps),
        run_of(plan, model, kind, moved, True, catalog),
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
