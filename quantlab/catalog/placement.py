"""Where a plan's weights can be kept while it runs, and which of these fits a device.

Four placements, best first: ``resident`` keeps everything on the device; ``staged`` the text
encoders until the prompt is read, then the denoiser, then the autoencoder alone, each read when
its turn comes; ``model-offload`` one component at a time, the others in host memory (diffusers'
``enable_model_cpu_offload``); ``group-offload`` single leaves (``enable_group_offload`` with
``group_offload_options``). Where device and host share one memory nothing can wait in another, but
stages take turns: each is read from disk anew. Sequential offload is never chosen;
data/offload.toml says why. The page, ``predict`` and the loader all ask here.

What is kept free of a device: ``CONTEXT_BYTES`` for the driver and the libraries' handles
(sizes/activations.py), and ``FRAGMENTATION`` of the predicted peak; of the host ``HOST_KEPT``.
Nothing here is measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from quantlab.catalog.facts import Offload
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.schema import Verdict
from quantlab.catalog.sizes.activations import CONTEXT_BYTES
from quantlab.catalog.sizes.needs import Needs
from quantlab.catalog.table import Catalog
from quantlab.words.plan import Plan
from quantlab.words.units import GIB, gib, gib_of

__all__ = [
    "FRAGMENTATION",
    "HOST_KEPT",
    "KINDS",
    "RECOMPILES",
    "Device",
    "Kind",
    "Placement",
    "best_placement",
    "group_offload_options",
    "how",
    "one_memory",
    "placements_for",
    "refusal",
    "verdict_of",
    "why_barred",
]

Kind = Literal["resident", "staged", "model-offload", "group-offload"]
KINDS: tuple[Kind, ...] = ("resident", "staged", "model-offload", "group-offload")
"""Best first."""
RECOMPILES: tuple[Kind, ...] = ("staged",)
"""What bars compiled plans alone: blocks would be compiled again for every image."""
FRAGMENTATION = 0.02
"""Share of the predicted peak that is kept free for what torch's allocator loses. Large blocks are
multiples of 2 MiB, so a tensor loses 1 MiB on average: half a GiB for the 500 weights of FLUX's
transformer, 2 % of them
(https://github.com/pytorch/pytorch/blob/v2.8.0/c10/cuda/CUDACachingAllocator.cpp, kRoundLarge).
More would deny what is reported to run: FLUX.1-dev in bf16 with model offload on an RTX 4090
(https://github.com/huggingface/blog/blob/main/lora-fast.md, about 22 GB)."""

HOST_KEPT = 2 * GIB
"""Host memory that the system and a Python process with torch keep for themselves: an assumption,
not a measurement."""

ONE_KIND = ("metal", "cpu")
"""Kinds with one memory always, and no driver's share to take off."""


@dataclass(frozen=True)
class Placement:
    """One way of placing a plan that fits. ``peak_bytes`` on the device, loading included;
    ``host_bytes`` of host memory while loading and running, 0 where there is none apart."""

    kind: Kind
    peak_bytes: int
    host_bytes: int
    _about: tuple[Needs, Plan, Gpu | Device, Catalog] = field(repr=False, compare=False)

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """For people; made when they are asked for: of the many that are tried few are told."""
        return _reasons(self, *self._about)


@dataclass(frozen=True)
class Device:
    """What a plan is held against: all bytes that the process may use of the device (for CUDA the
    total that ``torch.cuda.mem_get_info`` gives, less what other processes hold; the driver's share
    is taken off here), its kind ("cuda", "rocm", "metal", "intel" or "cpu"), NVIDIA's compute
    capability or "" where it is not known or does not apply, the most weights that a plan may have
    there, however they are placed, and whether its memory is the processor's too."""

    bytes: int
    kind: str = "cuda"
    capability: str = ""
    max_weights_bytes: int | None = None
    unified: bool = False
    arch: str = ""


def placements_for(
    needs: Needs, plan: Plan, gpu: Gpu | Device, catalog: Catalog, ram_bytes: int | None = None
) -> tuple[Placement, ...]:
    """Every placement that fits ``gpu`` and a host with ``ram_bytes``, best first.

    ``needs`` are those of ``plan``. None: the host's memory is not held against it.
    """
    return tuple(_fitting(needs, plan, gpu, catalog, ram_bytes))


def best_placement(
    needs: Needs, plan: Plan, gpu: Gpu | Device, catalog: Catalog, ram_bytes: int | None = None
) -> Placement | None:
    """The first of ``placements_for``, or None; the others are not looked at."""
    return next(_fitting(needs, plan, gpu, catalog, ram_bytes), None)


def _fitting(
    needs: Needs, plan: Plan, gpu: Gpu | Device, catalog: Catalog, ram_bytes: int | None = None
) -> Iterator[Placement]:
    """Those that fit the device and the host; hundreds of plans are asked about."""
    if _too_much(needs, gpu) or _lacking(plan, gpu, catalog):
        return
    one, about, peaks = one_memory(gpu), (needs, plan, gpu, catalog), needs.peaks
    for kind in KINDS:
        if _lacks(peaks[kind], gpu) > 0 or why_barred(kind, plan, gpu, catalog):
            continue
        host = 0 if one else needs.host(kind)
        if ram_bytes is None or not host or host <= ram_bytes - HOST_KEPT:
            yield Placement(kind, peaks[kind], host, about)


def _lacks(peak: int, gpu: Gpu | Device) -> float:
    """Bytes that ``gpu`` has too few for ``peak``, what is kept free counted; else 0 or less."""
    kept = 0 if gpu.kind in ONE_KIND else CONTEXT_BYTES
    return peak * (1 + FRAGMENTATION) + kept - gpu.bytes


def decoding_bars(needs: Needs, found: Collection[Kind], gpu: Gpu | Device) -> bool:
    """Whether a placement that is not ``found`` might be if decoding took no memory."""
    most = needs.parts[needs.decoder].running * (1 + FRAGMENTATION)
    return any(0 < _lacks(needs.peaks[kind], gpu) <= most for kind in KINDS if kind not in found)


def verdict_of(kind: Kind | None) -> Verdict:
    """The verdict that the best placement stands for, or that there is none."""
    if kind is None:
        return "no"
    return "runs" if kind == "resident" else "runs-with-offload"


def refusal(
    needs: Needs, plan: Plan, gpu: Gpu | Device, catalog: Catalog, ram_bytes: int | None = None
) -> str:
    """Why ``plan`` fits ``gpu`` in no placement, with the numbers of each."""
    if said := _too_much(needs, gpu) or _lacking(plan, gpu, catalog):
        return said
    each = [f"{gib_of(needs.peaks['resident'], gpu.bytes)} at the peak, predicted"]
    for kind in KINDS[1:]:
        barred = why_barred(kind, plan, gpu, catalog)
        each.append(barred or f"{gib(needs.peaks[kind])} {how(kind)}")
        if barred == ONE_MEMORY:
            break
    short = _short_of_host(needs, plan, gpu, catalog, ram_bytes)
    driver = "" if gpu.kind in ONE_KIND else f"{gib(CONTEXT_BYTES)} kept for the driver and "
    return f"{'; '.join(each)}{short}; {driver}{FRAGMENTATION:.0%} of the peak kept free"


ONE_MEMORY = "there is no second memory to offload to"


def group_offload_options(plan: Plan, catalog: Catalog) -> dict[str, object]:
    """Keyword arguments of ``enable_group_offload`` that the prediction stands for.

    Leaf level: as fast as block level with a twentieth of its memory
    (https://github.com/huggingface/diffusers/pull/11106). With streams, where every tensor of the
    plan survives them, the next leaf is fetched while one runs; ``low_cpu_mem_usage`` then keeps
    the host from holding a pinned copy of everything (22.8 instead of 35.1 GB there).
    """
    streams = all(rule.streams for rule in _rules(plan, catalog))
    more = {"use_stream": True, "low_cpu_mem_usage": True} if streams else {}
    return {"offload_type": "leaf_level", **more}


def _rules(plan: Plan, catalog: Catalog) -> tuple[Offload, ...]:
    """The rules of offloading that a plan is under; what nothing quantizes is always there."""
    return (catalog.plain_offload, *map(catalog.offload_of, catalog.schemes_of(plan)))


def _too_much(needs: Needs, gpu: Gpu | Device) -> str | None:
    """That the plan has more weights than the device is given for, if so."""
    limit = gpu.max_weights_bytes
    if limit is None or needs.weights_bytes <= limit:
        return None
    return f"its weights take {gib(needs.weights_bytes)}, and up to {gib(limit)} are allowed"


def _lacking(plan: Plan, gpu: Gpu | Device, catalog: Catalog) -> str | None:
    """What a scheme of the plan asks of an NVIDIA GPU and this one has not."""
    if gpu.kind != "cuda" or not gpu.capability:
        return None
    for _, scheme_id in plan.parts:
        scheme = catalog.schemes.get(scheme_id)
        for text in scheme.requires if scheme else ():
            name, _, least = text.partition(">=")
            if name == "cuda" and least and float(gpu.capability) < float(least):
                wants = f"{scheme_id} needs compute capability {least}"
                return f"{wants}; this GPU has {gpu.capability}"
    return None


def why_barred(kind: str, plan: Plan, gpu: Gpu | Device, catalog: Catalog) -> str | None:
    """Why a placement is out of the question whatever the memory, or None."""
    if kind == "resident":
        return None
    if one_memory(gpu) and (kind != "staged" or gpu.kind == "cpu"):
        return ONE_MEMORY
    if plan.compiled and kind in RECOMPILES:
        return "staged, blocks would be compiled again for every image"
    if kind == "group-offload":
        for scheme in catalog.schemes_of(plan):
            rule = catalog.offload_of(scheme)
            if rule.group != "yes":
                known = "does not work" if rule.group == "no" else "is not known to work"
                name = scheme.name if scheme.offload else catalog.methods[scheme.method].name
                return f"group offload {known} with {name}"
    return None


def one_memory(gpu: Gpu | Device) -> bool:
    """Whether the device's memory is the host's too."""
    return gpu.unified or gpu.kind in ONE_KIND


def _reasons(
    way: Placement, needs: Needs, plan: Plan, gpu: Gpu | Device, catalog: Catalog
) -> tuple[str, ...]:
    said = f" {how(way.kind)}" if how(way.kind) else ""
    host = f", {gib(way.host_bytes)} of host memory" if way.host_bytes else ""
    reasons = [
        f"{gib_of(way.peak_bytes, gpu.bytes)} at the peak{said}, predicted",
        f"{gib(needs.weights_bytes)} of weights{host}",
    ]
    if way.kind in ("model-offload", "group-offload") and way.peak_bytes == needs.loading_bytes:
        names = [
            m.name
            for m in catalog.methods_of(s.id for s in catalog.schemes_of(plan))
            if m.loads_on_device
        ]
        reasons.append(f"the peak is at loading: {', '.join(names)} quantizes on the device")
    if way.kind == "group-offload":
        rules = _rules(plan, catalog)
        reasons += [f"group offload: {r.note} ({r.source}, {r.checked})" for r in rules]
    return tuple(reasons)


def how(kind: str) -> str:
    """How people call it after the number that it takes: ``with model offload``, or nothing."""
    offload = f"with {kind.replace('-', ' ')}"
    return {"resident": "", "staged": "staged"}.get(kind, offload)


def _short_of_host(
    needs: Needs, plan: Plan, gpu: Gpu | Device, catalog: Catalog, ram_bytes: int | None
) -> str:
    """What of the host is missing, where a placement fits the device and not it."""
    if ram_bytes is None:
        return ""
    least = min((way.host_bytes for way in _fitting(needs, plan, gpu, catalog)), default=0)
    if least <= ram_bytes - HOST_KEPT:
        return ""
    kept = f"{gib(HOST_KEPT)} of it kept for the system"
    return f"; {gib(least)} of host memory at least, of {gib(ram_bytes)}, {kept}"
