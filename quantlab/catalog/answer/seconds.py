"""The time of a plan where it is placed: what that moves, and whether the host holds it.

A scheme is called faster than 16-bit weights where both are resident, whatever the card's memory,
and in the same mode: a compiled plan is held against the compiled model, so that what the compiler
does is no merit of the scheme.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from quantlab.catalog.gpus import Gpu, load_gpus
from quantlab.catalog.placement import HOST_KEPT, Device, Kind, one_memory
from quantlab.catalog.read.measured import findings_for
from quantlab.catalog.schema import Method, Model, Scheme
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.sizes.picture import Picture, picture_of
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.catalog.time import NOTHING, Known, Placement, Reason, Seconds, card_of
from quantlab.catalog.time.form import chip_of
from quantlab.catalog.time.of_plan import PLACEMENTS, run_of, work_of
from quantlab.catalog.time.predict import Clock, measured_seconds
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
        failed = self.device.kind == "cuda" and _failed_compiled(plan, model, catalog)
        for kind in kinds:
            if kind == "resident":
                found = course.seconds(Placement.RESIDENT)
            else:
                needs = needs or needs_of(plan, model, self.picture, catalog=catalog)
                moved, waits = needs.weights_bytes, self._holds(needs)
                found = course.seconds(PLACEMENTS[kind], moved, waits=waits)
            told = isinstance(found, Seconds) and found.evidence != "measured"
            yield Reason.NOT_COMPILED if failed and told else found

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


def _failed_compiled(plan: Plan, model: Model, catalog: Catalog) -> bool:
    """Whether it is compiled and holds in its denoiser what was measured not to compile on CUDA."""
    if not plan.compiled:
        return False
    held = (catalog.schemes.get(plan.scheme(name) or "") for name in model.family.denoisers)
    findings = (findings_for(scheme, None, "cuda").get("compile") for scheme in held if scheme)
    return any(found is not None and found.value == "no" for found in findings)


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
    return _speeds(scheme.id, model.id, gpu.id, catalog, known)


@lru_cache(maxsize=4096)
def _speeds(
    scheme_id: str, model_id: str, gpu_id: str, catalog: Catalog, known: Known
) -> dict[str, tuple[float, float]]:
    scheme, timer, found = catalog.schemes[scheme_id], _timer(model_id, gpu_id, catalog, known), {}
    method, model = catalog.methods[scheme.method], timer.model
    for name, compiled in MODES.items():
        if compiled and not compiles(method, scheme):
            continue
        mine = Plan(((model.denoiser, scheme_id),), compiled=compiled)
        times = [timer.seconds(mine), timer.seconds(Plan((), model.base_dtype, compiled))]
        told = [time.mid for time in times if isinstance(time, Seconds)]
        if len(told) == len(times):
            found[name] = (told[0], told[1])
    return found


@lru_cache(maxsize=64)
def _timer(model_id: str, gpu_id: str, catalog: Catalog, known: Known) -> Timer:
    """Kept: schemes are asked for one by one."""
    model = catalog.models[model_id]
    return Timer(model, load_gpus()[gpu_id], picture_of(model), catalog, known=known)
