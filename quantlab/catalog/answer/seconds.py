"""The time of a plan where it is placed: what that moves, and whether the host holds it."""

from __future__ import annotations

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.placement import HOST_KEPT, Device, Kind
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.sizes.picture import Picture, picture_of
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import NOTHING, Known, Reason, Seconds
from quantlab.catalog.time.cards import card_of
from quantlab.catalog.time.form import chip_of
from quantlab.catalog.time.of_plan import image_seconds, run_of, work_of
from quantlab.catalog.time.predict import measured_seconds
from quantlab.words.plan import Plan

__all__ = ["placed_seconds", "scheme_seconds", "why_of", "writing_seconds"]

WRITTEN = 100
"""Tokens of a rewritten prompt that a time is told for."""


def placed_seconds(
    plan: Plan,
    model: Model,
    device: Gpu | Device,
    picture: Picture,
    kind: Kind,
    needs: Needs,
    *,
    ram_bytes: int | None,
    steps: int | None,
    catalog: Catalog,
    known: Known = NOTHING,
) -> Seconds | Reason:
    """Seconds of one image of ``plan`` in the placement ``kind``, warm; ``needs`` are the plan's.

    ``ram_bytes`` is the host's memory, taken for enough where it is None; ``known`` what was
    measured on ``device``. A reason where nothing honest can be said; of a GPU without a name
    nothing can.
    """
    if device.kind == "cpu":
        return _on_cpu(plan, model, picture, steps, known, catalog)
    if not isinstance(device, Gpu):
        return Reason.NO_FIGURES
    moves = kind != "resident"
    waiting = needs.offload_host_bytes + HOST_KEPT
    return image_seconds(
        plan,
        model,
        device,
        picture,
        steps=steps,
        placement=kind,
        moved_bytes=needs.weights_bytes if moves else 0,
        host_memory_suffices=not moves or ram_bytes is None or waiting <= ram_bytes,
        measured=known.measured,
        catalog=catalog,
    )


def scheme_seconds(
    scheme: str,
    model: Model,
    gpu: Gpu,
    kind: Kind,
    ram_bytes: int | None,
    catalog: Catalog,
    known: Known = NOTHING,
) -> Seconds | None:
    """Of one image of the model's own size with ``scheme`` on the denoiser alone, placed so; None
    where nothing honest can be said."""
    plan, picture = Plan(((model.denoiser, scheme),)), picture_of(model)
    needs = needs_of(plan, model, picture, catalog=catalog)
    found = placed_seconds(
        plan,
        model,
        gpu,
        picture,
        kind,
        needs,
        ram_bytes=ram_bytes,
        steps=None,
        catalog=catalog,
        known=known,
    )
    return found if isinstance(found, Seconds) else None


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


def _on_cpu(
    plan: Plan, model: Model, picture: Picture, steps: int | None, known: Known, catalog: Catalog
) -> Seconds | Reason:
    """What was measured of this plan there, or else the model's pace where nothing is quantized."""
    work = work_of(plan, model, picture, catalog, steps=steps)
    run = run_of(plan, model, "resident", 0, True, catalog)
    if (same := measured_seconds(work, run, known.measured)) is not None:
        return same
    pace = known.pace(model.id)
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
