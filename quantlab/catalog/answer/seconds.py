"""The time of a plan where it is placed: what that moves, and whether the host holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.placement import HOST_KEPT, Device, Kind, one_memory
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.sizes.picture import Picture
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import NOTHING, Known, Placement, Reason, Seconds, card_of
from quantlab.catalog.time.of_plan import PLACEMENTS, run_of, work_of
from quantlab.catalog.time.predict import Clock, measured_seconds
from quantlab.words.plan import Plan

__all__ = ["Timer", "why_of"]


@dataclass(frozen=True, eq=False)
class Timer:
    """How long one image of a model takes on a device, warm; what its plans share is counted once.

    ``ram_bytes`` is the host's memory, taken for enough where it is None; ``steps`` None the
    model's own count; ``known`` what was measured on ``device``.
    """

    model: Model
    device: Gpu | Device
    picture: Picture
    catalog: Catalog
    ram_bytes: int | None = None
    steps: int | None = None
    known: Known = NOTHING

    def seconds(
        self, plan: Plan, kind: Kind = "resident", needs: Needs | None = None
    ) -> Seconds | Reason:
        """Of ``plan`` in the placement ``kind``; ``needs`` are the plan's, where they are known
        already. A reason where nothing honest can be said; of a GPU without a name nothing can.
        """
        return next(iter(self.each(plan, [kind], needs)))

    def each(
        self, plan: Plan, kinds: Iterable[Kind], needs: Needs | None = None
    ) -> Iterator[Seconds | Reason]:
        """``seconds`` of ``plan`` in each of several placements."""
        if self.device.kind == "cpu":
            yield from (self._on_cpu(plan) for _ in kinds)
            return
        if self._clock is None:
            yield from (Reason.NO_FIGURES for _ in kinds)
            return
        model, catalog = self.model, self.catalog
        work = work_of(plan, model, self.picture, catalog, steps=self.steps)
        course = self._clock.course(work, run_of(plan, model, "resident", 0, True, catalog))
        for kind in kinds:
            if kind == "resident":
                yield course.seconds(Placement.RESIDENT)
                continue
            needs = needs or needs_of(plan, model, self.picture, catalog=catalog)
            moved, waits = needs.weights_bytes, self._holds(needs)
            yield course.seconds(PLACEMENTS[kind], moved, waits=waits)

    @cached_property
    def _clock(self) -> Clock | None:
        if not isinstance(self.device, Gpu):
            return None
        return Clock(card_of(self.device), measured=self.known.measured)

    def _holds(self, needs: Needs) -> bool:
        """Whether weights wait in the host's memory: there is one, and it has room."""
        if one_memory(self.device):
            return False
        return self.ram_bytes is None or needs.offload_host_bytes + HOST_KEPT <= self.ram_bytes

    def _on_cpu(self, plan: Plan) -> Seconds | Reason:
        """What was measured of this plan there, or else the model's pace where nothing is
        quantized."""
        model, picture = self.model, self.picture
        work = work_of(plan, model, picture, self.catalog, steps=self.steps)
        run = run_of(plan, model, "resident", 0, True, self.catalog)
        if (same := measured_seconds(work, run, self.known.measured)) is not None:
            return same
        pace = self.known.pace(model.id)
        if pace is None:
            return Reason.CPU
        if plan.parts or plan.compiled or plan.dtype not in (None, model.base_dtype):
            return Reason.CPU_SCHEME
        return pace.seconds(
            image_tokens=work.image_tokens + work.reference_tokens,
            text_tokens=work.text_tokens,
            pixels=picture.width * picture.height,
            steps=work.steps * work.passes,
            batch=work.batch,
        )


def why_of(time: Seconds | Reason) -> str:
    """What the seconds rest on with their evidence, or why there are none."""
    if isinstance(time, Reason):
        return time.text
    return f"{time.evidence}: {'; '.join(basis.text for basis in time.basis)}"
