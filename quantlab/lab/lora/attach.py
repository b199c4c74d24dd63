"""A LoRA on a loaded plan: which way its scheme takes it, on and off again, and what it does.

On quantized weights an adapter is loaded beside them and taken off after the run, which leaves the
shared component as it was, to the bit. Where that fails the LoRA is in the weights already: the
reader has fused it before they were quantized. Rules: ``lora`` of a scheme in data/methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from quantlab.catalog.answer.pick import nearest
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog
from quantlab.errors import PlanError, VerificationError
from quantlab.lab.bench.fidelity import relative_l2
from quantlab.lab.bench.run import FirstStep, forward
from quantlab.lab.load.pool import LoadedPlan
from quantlab.lab.load.weights import stored_bytes
from quantlab.lab.lora.file import ADAPTER, attach, layers, locate
from quantlab.words.comparison import Comparison
from quantlab.words.lora import Lora
from quantlab.words.plan import DTYPE_SCHEMES, TRIMMED, Plan

__all__ = ["attached", "effect", "fitting", "fused_lora", "lora_way", "refuse_lora"]


def lora_way(model: Model, plan: Plan, catalog: Catalog) -> Literal["after", "before"] | None:
    """Whether a LoRA goes on after quantizing or before; None where that is not known."""
    scheme = catalog.schemes.get(plan.scheme(model.denoiser) or "")
    if scheme is None:
        return "after"
    return scheme.lora.way if scheme.lora else None


def fused_lora(comparison: Comparison, plan: Plan, catalog: Catalog) -> Lora | None:
    """The LoRA that is in the weights of ``plan`` before they are quantized, if any is."""
    model = catalog.models[comparison.model]
    return comparison.carried if lora_way(model, plan, catalog) == "before" else None


def refuse_lora(comparison: Comparison, plan: Plan, catalog: Catalog, placement: str = "") -> None:
    """Raises PlanError where the LoRA cannot go onto ``plan``, placed as ``placement`` says."""
    if comparison.carried is None:
        return
    model = catalog.models[comparison.model]
    way = lora_way(model, plan, catalog)
    scheme = plan.scheme(model.denoiser) or ""
    if way is None:
        other = nearest(scheme, catalog=catalog, fits=lambda found: found.lora is not None)
        hint = f"; the nearest that is known to is {other}" if other else ""
        raise PlanError(f"{scheme} is not known to take a LoRA{hint}")
    if way == "after" and plan.compiled:
        raise PlanError("a LoRA goes onto eager weights only; leave @compiled away")
    if way == "after" and plan.trimmed and model.components[0].idle:
        raise PlanError(f"a LoRA may be for what idles; leave {TRIMMED} away")
    if way == "after" and placement == "group-offload":
        raise PlanError(
            "this plan fits with group offload only, under which a LoRA was not tried; a smaller "
            "scheme or size leaves room for it"
        )


def fitting(lora: Lora, model: Model, say: Callable[[str], None]) -> tuple[Path, int]:
    """The LoRA's file, downloaded if need be, and how many layers of the denoiser it changes.

    Raises:
        InputError, LoadError, Unavailable: as ``locate`` and ``layers`` do.
    """
    path = locate(lora, model, say)
    return path, layers(path, lora, model)


@contextmanager
def attached(
    loaded: LoadedPlan, lora: Lora, path: Path, count: int, say: Callable[[str], None]
) -> Iterator[LoadedPlan]:
    """``loaded`` with ``lora`` on its denoiser until the end; its bytes and seconds count.

    ``path`` and ``count`` are what ``fitting`` gives. Weights that it is fused into stay as they
    are.

    Raises:
        Unavailable: peft is not here.
        VerificationError: fewer layers took it than the file has.
    """
    denoiser = loaded.denoiser_name
    if loaded.keys[denoiser].lora is not None:
        yield _noted(loaded, f"{lora}, fused into {count} layers before quantizing.")
        return
    say(f"loading LoRA {lora.name}")
    started = perf_counter()
    try:
        attach(loaded.pipe, path)
        loaded.pipe.set_adapters(ADAPTER, lora.weight)
        taken = _taken(loaded.denoiser)
        if taken != count:
            raise VerificationError(f"{lora} is on {taken} of its {count} layers")
        quantized = loaded.keys[denoiser].scheme not in (None, *DTYPE_SCHEMES)
        note = f"{lora}, on {count} layers{', after quantizing' if quantized else ''}."
        yield replace(
            _noted(loaded, note),
            load_s=loaded.load_s + perf_counter() - started,
            weights_bytes={
                **loaded.weights_bytes,
                denoiser: stored_bytes(loaded.denoiser),
            },
        )
    finally:
        loaded.pipe.unload_lora_weights()


def effect(loaded: LoadedPlan, first: FirstStep, lora: Lora | None, dtype: Any) -> tuple[str, ...]:
    """What an attached LoRA does, as a note: step ``first`` is done again without it.

    Raises:
        VerificationError: it does nothing.
    """
    if lora is None or loaded.keys[loaded.denoiser_name].lora is not None:
        return ()
    denoiser = loaded.denoiser
    denoiser.disable_adapters()
    try:
        plain = forward(denoiser, first, dtype, loaded.device.target)
    finally:
        denoiser.enable_adapters()
    distance = relative_l2(first.output, plain.to(first.output.device))
    if not distance:
        raise VerificationError(f"{lora} changes nothing: the first step is the same without it")
    return (f"The LoRA moves the first step by {distance:.3g} (relative L2).",)


def _noted(loaded: LoadedPlan, note: str) -> LoadedPlan:
    return replace(loaded, notes=(*loaded.notes, note))


def _taken(denoiser: Any) -> int:
    return sum(ADAPTER in getattr(part, "lora_A", {}) for part in denoiser.modules())
