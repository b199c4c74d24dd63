"""The time of a plan where it is placed: what that moves, and whether the host holds it.

A scheme is called faster than 16-bit weights where both are resident, whatever the card's memory,
and in the same mode: a compiled plan is held against the compiled model, so that what the compiler
does is no merit of the scheme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from quantlab.catalog.gpus import Gpu, load_gpus
from quantlab.catalog.placement import HOST_KEPT, RECOMPILES, Device, Kind, one_memory
from quantlab.catalog.read.measured import findings_for
from quantlab.catalog.schema import Method, Model, Scheme
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.sizes.picture import Picture, picture_of
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.catalog.time import NOTHING, Known, Reason, Seconds, Work, card_of
from quantlab.catalog.time.form import chip_of
from quantlab.catalog.time.of_plan import PLACEMENTS, run_of, timed_as, work_of
from quantlab.catalog.time.predict import Clock, Course, measured_seconds
from quantlab.words.plan import Plan

__all__ = ["MODES", "Timer", "compiles", "faster", "speeds", "why_of", "writing_seconds"]

MODES = {"eager": False, "compiled": True}
WRITTEN = 100
"""Tokens of a rewritten prompt that a time is told for."""


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
        if self.device.kind == "cpu":
            return self._on_cpu(plan)
        if self._clock is None:
            return Reason.NO_FIGURES
        moved, waits = 0, True
        if kind != "resident":
            needs = needs or needs_of(plan, self.model, self.picture, catalog=self.catalog)
            moved, waits = self._moved(needs)
        if (same := self._measured(plan, kind, moved, waits=waits)) is not None:
            return same
        found = self._course(plan, self._clock).seconds(PLACEMENTS[kind], moved, waits=waits)
        failed = isinstance(found, Seconds) and self._failed_compiled(plan)
        return Reason.NOT_COMPILED if failed else found

    def fastest(
        self, plans: Sequence[Plan], kinds: Sequence[Kind], needs: Needs
    ) -> Mapping[Kind, tuple[float, Plan]]:
        """In each of ``kinds`` the fastest of ``plans``, which differ in the compiler alone, eager
        first, with the middle of its seconds; infinity where none are known, and then no compiled
        one: nothing speaks for compiling."""
        found = dict[Kind, tuple[float, Plan]]()
        for plan in plans:
            able = [kind for kind in kinds if not (plan.compiled and kind in RECOMPILES)]
            for kind, mid in zip(able, self.mids(plan, able, needs), strict=True):
                seconds = math.inf if mid is None else mid
                if not plan.compiled or seconds < found.get(kind, (math.inf,))[0]:
                    found[kind] = seconds, plan
        return found

    def mids(self, plan: Plan, kinds: Sequence[Kind], needs: Needs) -> list[float | None]:
        """The middle of the ``seconds`` of ``plan`` in each of ``kinds``, None where there are
        none: quicker, since hundreds of plans are compared by it."""
        if self._clock is None or self.known.runs or self._failed_compiled(plan):
            each = (self.seconds(plan, kind, needs) for kind in kinds)
            return [one.mid if isinstance(one, Seconds) else None for one in each]
        course, (moved, waits) = self._course(plan, self._clock), self._moved(needs)
        return [
            course.mid(PLACEMENTS[kind], moved, waits=waits or kind == "resident") for kind in kinds
        ]

    def _moved(self, needs: Needs) -> tuple[int, bool]:
        """Bytes that come to the card for each image where they do not lie there, and whether they
        wait in the host's memory: there is one, and it has room."""
        if one_memory(self.device):
            return needs.weights_bytes, False
        ram = self.ram_bytes
        return needs.weights_bytes, ram is None or needs.offload_host_bytes + HOST_KEPT <= ram

    @cached_property
    def plain(self) -> Mapping[bool, float | None]:
        """Seconds of the model as it is, eager and compiled, resident; None where nobody knows."""
        each = {way: self.seconds(Plan((), self.model.base_dtype, way)) for way in (False, True)}
        return {way: one.mid if isinstance(one, Seconds) else None for way, one in each.items()}

    @cached_property
    def _clock(self) -> Clock | None:
        if not isinstance(self.device, Gpu):
            return None
        return Clock(card_of(self.device), measured=self.known.measured)

    @cached_property
    def _courses(self) -> dict[tuple[object, ...], Course]:
        """By what a predicted time depends on; as many as there are timing classes in pairs."""
        return {}

    def _course(self, plan: Plan, clock: Clock) -> Course:
        alike = timed_as(plan, self.catalog)
        if (found := self._courses.get(alike)) is None:
            run = run_of(plan, self.model, "resident", 0, True, self.catalog)
            found = self._courses[alike] = clock.course(self._work(plan), run)
        return found

    def _work(self, plan: Plan) -> Work:
        return work_of(plan, self.model, self.picture, self.catalog, steps=self.steps)

    def _measured(self, plan: Plan, kind: Kind, moved_bytes: int, *, waits: bool) -> Seconds | None:
        """What was measured of exactly that."""
        if not self.known.runs:
            return None
        run = run_of(plan, self.model, kind, moved_bytes, waits, self.catalog)
        return measured_seconds(self._work(plan), run, self.known.measured)

    def _failed_compiled(self, plan: Plan) -> bool:
        """Whether it is compiled and holds in its denoiser what was measured not to compile on
        CUDA."""
        if not plan.compiled or self.device.kind != "cuda":
            return False
        failing = _failing_compiled(self.catalog)
        return any(plan.scheme(name) in failing for name in self.model.family.denoisers)

    def _on_cpu(self, plan: Plan) -> Seconds | Reason:
        """What was measured of this plan there, or else the model's pace where nothing is
        quantized."""
        model, picture = self.model, self.picture
        if (same := self._measured(plan, "resident", 0, waits=True)) is not None:
            return same
        work, pace = self._work(plan), self.known.pace(model.id)
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


def writing_seconds(model: Model, device: Gpu | Device, needs: Needs) -> float | None:
    """Seconds that a token of a rewritten prompt takes at least, where the weights of what writes
    it lie on the card: each token reads them once. None where nothing does or is known."""
    chip = chip_of(card_of(device)) if isinstance(device, Gpu) else None
    read = sum(needs.weights.get(name, 0) for name in model.prompt_writers)
    return read / chip.memory if chip is not None and read else None


def why_of(time: Seconds | Reason, writing_s: float | None = None) -> str:
    """What the seconds rest on with their evidence, or why there are none; ``writing_s`` as from
    ``writing_seconds``."""
    if time is Reason.WRITES_PROMPT and writing_s is not None:
        least = f"{WRITTEN * writing_s:.1f} s for {WRITTEN} tokens"
        return f"{time.text} It takes at least {least}, each of which reads its weights once."
    if isinstance(time, Reason):
        return time.text
    return f"{time.evidence}: {'; '.join(basis.text for basis in time.basis)}"


def compiles(method: Method, scheme: Scheme) -> bool:
    """Whether it works with torch.compile on CUDA: as was measured there, else as documented."""
    measured = findings_for(scheme, None, "cuda").get("compile")
    return (measured or method.cell("compile", scheme)).value == "yes"


@lru_cache(maxsize=8)
def _failing_compiled(catalog: Catalog) -> frozenset[str]:
    """The schemes that were measured not to compile on CUDA."""
    schemes = catalog.schemes.values()
    found = {each.id: findings_for(each, None, "cuda").get("compile") for each in schemes}
    return frozenset(scheme for scheme, one in found.items() if one and one.value == "no")


def faster(
    scheme: Scheme, model: Model, gpu: Gpu, *, compiled: bool, known: Known = NOTHING
) -> bool | None:
    """Whether it is faster than the model as it is in that mode; None where nobody can say."""
    found = speeds(scheme, model, gpu, known).get("compiled" if compiled else "eager")
    return None if found is None else found[0] < found[1]


def speeds(
    scheme: Scheme, model: Model, gpu: Gpu, known: Known = NOTHING
) -> dict[str, tuple[float, float]]:
    """By mode the seconds of an image with the scheme and without; none where no time is known.

    ``known`` is what was measured on such a card.
    """
    catalog = load_catalog()
    if model.id not in catalog.models or scheme.id not in catalog.schemes or gpu.id == "":
        return {}
    timer, found = _timer(model.id, gpu.id, catalog, known), {}
    for name, compiled in MODES.items():
        plain = timer.plain[compiled]
        if plain is None or (compiled and not compiles(catalog.methods[scheme.method], scheme)):
            continue
        mine = timer.seconds(Plan(((model.denoiser, scheme.id),), compiled=compiled))
        if isinstance(mine, Seconds):
            found[name] = (mine.mid, plain)
    return found


@lru_cache(maxsize=8)
def _timer(model_id: str, gpu_id: str, catalog: Catalog, known: Known) -> Timer:
    """Kept: schemes are asked for one by one."""
    model = catalog.models[model_id]
    return Timer(model, load_gpus()[gpu_id], picture_of(model), catalog, known=known)
