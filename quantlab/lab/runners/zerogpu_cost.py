"""Seconds of GPU that a comparison asks of ZeroGPU, before it runs.

What was recorded on such a GPU counts, with some slack; the rest is estimated from shape tables.
The constants are assumptions on the safe side: a call that overruns its time is ended by the
platform, one that asks for too much is only refused earlier. Nothing here is a measurement.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.shapes import component_shapes
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import plain_bytes
from quantlab.catalog.table import Catalog
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from quantlab.words.plan import DTYPE_SCHEMES, Plan

__all__ = ["DURATION_FACTOR", "QUOTAS", "gpu_seconds", "quota_seconds", "who_has_less"]

DURATION_FACTOR = 1.5
"""What a second of the half card counts (spaces 0.51.3, configs.json, RTX PRO 6000)."""

QUOTAS = {"without an account": 120, "with a free account": 300, "with PRO": 2400}
"""Quota seconds a day of each kind of visitor, the least first
(https://huggingface.co/docs/hub/spaces-zerogpu, 2026-08-22)."""

START_S = 15
"""A forked worker's CUDA context and its first imports."""

READ_BYTES_S = 1e9
"""Bytes a second from disk to the GPU, quantizing included."""

MULTIPLY_ADDS_S = 50e12
"""Weights x tokens a second in 16 bits, eager, on half a card; a quarter of it in fp32.

An H100 does 233e12 by this count (FLUX.1-dev, 1024 x 1024, 0.235 s a step; diffusers-torchao),
and has about four times the half card's 16-bit throughput on paper."""

DECODE_PIXELS_S = 1e6
SLACK = 1.4
"""On recorded times, as asked for by the platform's own advice."""

SLOWER_UNKNOWN = 2.0
SLOWER = {"torchao-int8dq": 20.0}
"""Times of uncompiled schemes over bf16 where data/results has none (diffusers-torchao README)."""


def quota_seconds(seconds: int) -> int:
    """What ``seconds`` of GPU count against a visitor's daily quota."""
    return round(seconds * DURATION_FACTOR)


def who_has_less(quota: float) -> tuple[str, int] | None:
    """The kind of visitor with the most quota of those who cannot afford ``quota`` seconds, and
    what they have a day; None where everybody can."""
    poor = [(who, most) for who, most in QUOTAS.items() if most < quota]
    return poor[-1] if poor else None


def gpu_seconds(
    comparison: Comparison,
    plans: Iterable[Plan],
    *,
    repeats: int,
    warmup: int,
    catalog: Catalog,
    recorded: Mapping[str, Outcome],
) -> int:
    """Seconds of GPU for ``plans``; ``recorded`` holds outcomes of such a GPU by plan text."""
    model = catalog.models[comparison.model]
    runs, total, loaded = repeats + warmup, float(START_S), set[tuple[str, str | None]]()
    for plan in plans:
        known = recorded.get(str(plan))
        if known is not None and known.latency_s and known.load_s is not None:
            total += SLACK * (known.load_s + runs * max(known.latency_s))
            continue
        parts = {(c.name, plan.scheme(c.name)) for c in model.used(plan)}
        total += _load_s(model, [name for name, _ in parts - loaded])
        total += runs * _run_s(comparison, plan, model, catalog)
        loaded |= parts
    return math.ceil(total)


def _load_s(model: Model, components: Iterable[str]) -> float:
    width = WIDTHS[model.base_dtype]
    return sum(plain_bytes(model, name, width) for name in components) / READ_BYTES_S


def _run_s(comparison: Comparison, plan: Plan, model: Model, catalog: Catalog) -> float:
    """Seconds of one run: encoding, all steps, decoding."""
    pixels = comparison.width * comparison.height
    tokens = {c.name: comparison.sequence_length for c in model.used(plan)}
    for name in model.family.denoisers:
        tokens[name] += model.family.image_tokens(comparison.width, comparison.height)
    tokens[model.family.decoder] = 0
    speed = MULTIPLY_ADDS_S * (0.25 if (plan.dtype or model.base_dtype) == "fp32" else 1.0)
    once = {n: _numbers(model, n) * count / speed for n, count in tokens.items()}
    step_s = once.pop(model.denoiser) * _slower(plan.scheme(model.denoiser), catalog)
    return sum(once.values()) + comparison.steps * step_s + 1 + pixels / DECODE_PIXELS_S


def _numbers(model: Model, component: str) -> int:
    return sum(m.numbers for m in component_shapes(model, component) if m.kind == "linear")


def _slower(scheme_id: str | None, catalog: Catalog) -> float:
    """How many times longer a step takes than in bf16, by published times of such schemes."""
    if scheme_id is None or scheme_id in DTYPE_SCHEMES:
        return 1.0
    if scheme_id in SLOWER:
        return SLOWER[scheme_id]
    published = _published(catalog)
    if scheme_id in published:
        return published[scheme_id]
    method = catalog.schemes[scheme_id].method
    alike = [times for name, times in published.items() if catalog.schemes[name].method == method]
    return max(alike, default=SLOWER_UNKNOWN)


@lru_cache(maxsize=4)
def _published(catalog: Catalog) -> Mapping[str, float]:
    """Denoiser's scheme -> seconds over those of bf16 in the same series; at least 1."""
    path = PROJECT / "data" / "results" / "published-h100.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    base = {(r["source"], r["steps"]): float(r["seconds"]) for r in rows if r["plan"] == "bf16"}
    found: dict[str, float] = defaultdict(lambda: 1.0)
    for row in rows:
        model = catalog.models[row["model"]]
        scheme = parse_plan(row["plan"], model, catalog).scheme(model.denoiser)
        if scheme is not None and scheme in catalog.schemes:
            ratio = float(row["seconds"]) / base[row["source"], row["steps"]]
            found[scheme] = max(found[scheme], ratio)
    return dict(found)
