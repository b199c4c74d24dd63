"""Measures how much each scheme changes what flux-mini draws: data/results/loss-flux-mini.csv.

    python -m tools.loss

The figure is the mean relative L2 of the denoiser's output, over prompts and over all steps of the
unquantized path: at each step the plan's denoiser gets the reference's latents, and the embeddings
of the plan's own text encoders: column ``one_step``. ``psnr_db`` is the plan's own picture beside
the reference's.

``loss`` is the same for a denoiser. What an encoder rounds away pulls every step the same way, and
moves the picture three times as far as a denoiser with that figure does; so for a plan with an
encoder in it ``loss`` is the figure of the denoiser that moves the picture as far: by a straight
line between PSNR and the logarithm of ``one_step``, fitted to the denoisers' rows.

A row has a scheme for the denoiser, for the large text encoder, or for both; the rows of both say
whether the rule of quantlab/catalog/answer/loss.py holds. ``how`` says who did the arithmetic:

- library: the scheme as the project runs it
- arithmetic: torchao's dynamic float8 has no CPU kernel; weights and activations are rounded to
  float8 here as it rounds them, and multiplied in fp32

Rows of what does not run on this machine stay as they are in the file.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from statistics import linear_regression

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.reach import why_not
from quantlab.catalog.table import load_catalog
from quantlab.lab.device import this_device
from quantlab.lab.libraries import versions
from quantlab.lab.load.pool import LoadedPlan, Pool
from tools.loss_ruler import STEPS, Ruler
from tools.loss_schemes import round_to_float8

MODEL = load_catalog().models["flux-mini"]
DENOISER, ENCODER = MODEL.denoiser, "text_encoder_2"
PAIRED = ("torchao-int8wo", "quanto-fp8", "gguf-q4_0", "bnb-nf4", "quanto-int2")
"""Schemes of the denoiser that are tried with those of the encoder below: near and far ones."""
PAIRED_ENCODERS = ("torchao-int8wo", "quanto-fp8", "bnb-nf4", "quanto-int2")
DYNAMIC_FLOAT8 = "torchao-fp8dq"
TARGET = PROJECT / "data" / "results" / "loss-flux-mini.csv"
PROMPTS = PROJECT / "data" / "results" / "prompts.txt"
COLUMNS = ("denoiser", "encoder", "loss", "one_step", "low", "high", "psnr_db", "ssim", "how")


@dataclass(frozen=True)
class Case:
    """What is measured: a scheme for the denoiser, for the encoder, or both; "" is neither."""

    denoiser: str
    encoder: str
    how: str = "library"

    @property
    def plan(self) -> str:
        """The plan's text; what the project cannot load is put in afterwards."""
        named = {ENCODER: self.encoder}
        if self.how == "library":
            named = {DENOISER: self.denoiser} | named
        return ",".join(f"{part}={scheme}" for part, scheme in named.items() if scheme) or "fp32"


def cases() -> Iterator[Case]:
    """All that this machine can measure: single schemes, then pairs."""
    catalog, machine = load_catalog(), this_machine()
    encoder = MODEL.component(ENCODER)
    assert encoder is not None
    runs = [
        scheme
        for scheme in catalog.schemes.values()
        if here(scheme, catalog.methods[scheme.method], machine, MODEL) == "ok"
    ]
    for scheme in runs:
        if why_not(scheme, "diffusers", MODEL.components[0].cls) is None:
            yield Case(scheme.id, "")
        if why_not(scheme, encoder.library, encoder.cls) is None:
            yield Case("", scheme.id)
    yield Case("bf16", "")
    yield Case(DYNAMIC_FLOAT8, "", "arithmetic")
    yield from (Case(d, e) for d in PAIRED for e in PAIRED_ENCODERS)


def loaded(case: Case, pool: Pool) -> LoadedPlan:
    """A pipeline for ``case``."""
    comparison = make_comparison(model=MODEL.id, plans=[case.plan], prompt="")
    plan = pool.load(MODEL, comparison.plans[0], lambda _: None, "cpu")
    if case.how == "arithmetic":
        round_to_float8(plan.denoiser)
        pool.drop_all()  # nobody else may get this one
    return plan


def _prompts(count: int) -> list[str]:
    """``count`` prompts of the sweep, spread over all of them."""
    lines = PROMPTS.read_text("utf-8").splitlines()
    found = [line for line in lines if line and not line.startswith("#")]
    return found[:: max(1, len(found) // count)][:count]


def _written() -> dict[tuple[str, str], dict[str, str]]:
    """The rows that the file has, by schemes."""
    if not TARGET.exists():
        return {}
    with TARGET.open(encoding="utf-8", newline="") as file:
        return {(row["denoiser"], row["encoder"]): row for row in csv.DictReader(file)}


def with_losses(rows: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """``rows`` with their ``loss``, as the head of this file says."""
    found = [dict(row) for row in rows]
    known = [row for row in found if row["denoiser"] and not row["encoder"] and row["psnr_db"]]
    if len(known) < 2:
        return [{**row, "loss": row["one_step"]} for row in found]
    fitted = linear_regression(
        [float(row["psnr_db"]) for row in known],
        [math.log(float(row["one_step"])) for row in known],
    )
    for row in found:
        row["loss"] = row["one_step"]
        if row["encoder"]:
            row["loss"] = f"{math.exp(fitted.intercept + fitted.slope * float(row['psnr_db'])):.5f}"
    return found


def _write(rows: Iterable[Mapping[str, str]]) -> None:
    rows = with_losses(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(say: Callable[[str], None] = print) -> None:
    """Measure and write the file, a row at a time."""
    parser = argparse.ArgumentParser(description="Measure what schemes change on flux-mini.")
    parser.add_argument("--schemes", nargs="+", help="only these; otherwise all that run here")
    parser.add_argument("--prompts", type=int, default=16, help="how many prompts of the sweep")
    arguments = parser.parse_args()
    wanted = set(arguments.schemes or ())
    chosen = [c for c in cases() if not wanted or wanted & {c.denoiser, c.encoder}]
    device = this_device()
    ruler, rows = Ruler(_prompts(arguments.prompts), device), _written()
    pool = Pool(2**30, load_catalog(), device)
    same = {"prompts": str(len(ruler.prompts)), "steps": str(STEPS), "reference": "fp32"}
    same |= {"model": MODEL.id, "measured_on": date.today().isoformat(), **versions()}
    ruler.learn(loaded(Case("", ""), pool))
    for case in chosen:
        found = ruler.measure(loaded(case, pool))
        figures = {k: f"{v:.2f}" if k == "psnr_db" else f"{v:.5f}" for k, v in found.items()}
        named = {"denoiser": case.denoiser, "encoder": case.encoder, "how": case.how}
        row = {column: (named | figures).get(column, "") for column in COLUMNS}
        rows[case.denoiser, case.encoder] = row | same
        say(f"{case.denoiser:16} {case.encoder:16} {figures['one_step']} {row['psnr_db']:>6} dB")
        _write(rows.values())


if __name__ == "__main__":
    main()
