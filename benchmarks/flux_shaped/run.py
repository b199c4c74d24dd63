"""FLUX at full size without its weights: bytes, peaks and step latency of each scheme.

    python -m benchmarks.flux_shaped --model flux1-dev --out rows.csv
    python -m benchmarks.flux_shaped --scale mini

Builds the model's components with random Gaussian weights from the configs in data/, writes them
once to a folder (in memory where there is room) and loads them from there the way people's weights
are loaded; no network. Random weights take the memory and the time of trained ones. They draw
nothing, so there are no images, and the one-step error orders schemes but is not that of FLUX.

Plans, eager and compiled (``compile_repeated_blocks``), take turns for up to three rounds, as far
as the minutes go: seven, so that the last one ends within eight. A plan that this machine cannot
run is a row with the reason. "load s" is the transformer's: read in bf16 and quantized. "of
predicted" holds what torch has allocated after loading, all parts together, against the prediction;
off CUDA the counted weights. GGUF schemes are not among the defaults: their files are made in
numpy, which takes longer than this benchmark at full size. ``--scale mini`` runs the same code on a
small copy of the model, by default eager; no aim is claimed from it, nor from any other device than
CUDA: null in the last line, which is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.flux_shaped.model import MODELS, Shaped, shaped
from benchmarks.flux_shaped.rows import Row, figures, machine, make_row, show, write
from benchmarks.flux_shaped.visits import BASE, Bench, Visit
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError, QuantlabError, first_line
from quantlab.lab.device import Device, this_device
from quantlab.words.plan import Plan

__all__ = ["SCHEMES", "main", "measure", "plans", "refuse_small"]

SCHEMES = (
    "bf16",
    "torchao-fp8dq",
    "bnb-nf4",
    "torchao-int8wo",
    "torchao-fp8wo",
    "layerwise-fp8",
)
"""The default; the aims' schemes first, so that they have the most rounds when time is short."""

GIB = 2**30
ROUNDS = {"full": 3, "mini": 2}
MODES = ("eager", "compiled")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the aims, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", choices=MODELS, default="flux1-dev")
    parser.add_argument("--scale", choices=("full", "mini"), default="full")
    parser.add_argument("--schemes", nargs="+", default=SCHEMES, metavar="SCHEME")
    parser.add_argument("--modes", nargs="+", choices=MODES, help="default: both; mini: eager")
    parser.add_argument("--minutes", type=float, default=7.0, help="no plan is begun after these")
    parser.add_argument("--out", type=Path, help="a CSV file for the rows")
    asked = parser.parse_args(argv)
    modes = asked.modes or (("eager",) if asked.scale == "mini" else MODES)
    ends = time.monotonic() + 60 * asked.minutes
    try:
        wanted = plans(asked.model, asked.schemes, modes)
        if asked.scale == "full":
            refuse_small(asked.model, this_device())
        with shaped(asked.model, asked.scale) as subject:
            rows = measure(subject, wanted, asked.scale, ends)
    except QuantlabError as error:
        print(f"flux_shaped: {error}", file=sys.stderr)
        return 2
    about = machine()
    if asked.out:
        write(rows, about, asked.out)
    show(rows, about)
    print(json.dumps(figures(rows, about)))
    return 0


def refuse_small(model_id: str, device: Device) -> None:
    """Refuse a device that the pipeline in bf16 does not fit.

    Raises:
        InputError: there is no GPU, or it is too small.
    """
    needed = predict(model_id, Plan(dtype=BASE)).peak_bytes
    there = 0 if device.is_cpu else device.counters.usable_bytes()
    if there < needed:
        said = (
            f"{model_id} needs a GPU with {needed / GIB:.0f} GiB free; {there / GIB:.0f} are here"
        )
        raise InputError("scale", f"{said}. --scale mini runs anywhere")


def plans(model_id: str, schemes: Sequence[str], modes: Sequence[str]) -> list[Plan]:
    """Each scheme in each mode; bf16, which the others are held against, first.

    Raises:
        PlanError: an unknown scheme.
    """
    texts = [
        text + ("@compiled" if mode == "compiled" else "")
        for text in dict.fromkeys((BASE, *schemes))
        for mode in modes
    ]
    model = load_catalog().models[model_id]
    return [parse_plan(text, model) for text in texts]


def measure(subject: Shaped, wanted: Sequence[Plan], scale: str, ends: float) -> list[Row]:
    """One row for each plan; ``ends`` is when, on the monotonic clock, no more visits begin."""
    bench = Bench(subject)
    visits: dict[Plan, list[Visit]] = {plan: [] for plan in wanted}
    reasons: dict[Plan, str] = {}
    for turn in range(ROUNDS[scale]):
        for plan in wanted:
            if plan in reasons or time.monotonic() > ends:
                continue
            print(f"round {turn + 1}: {plan}", file=sys.stderr)
            try:
                visits[plan].append(bench.visit(plan))
            except Exception as error:  # whatever a backend raises is this plan's reason
                known = isinstance(error, QuantlabError)
                reasons[plan] = (
                    str(error) if known else f"{type(error).__name__}: {first_line(error)}"
                )
    return [make_row(subject, scale, plan, visits[plan], reasons.get(plan, "")) for plan in wanted]
