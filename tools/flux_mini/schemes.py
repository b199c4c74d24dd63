"""flux-mini under every scheme: one prompt as a picture, and many as figures.

``python -m tools.flux_mini.schemes`` saves docs/schemes.png, one prompt from fp32 to int2, made by
our own comparison. The figures, which evaluate.py prints, are of the schemes that this machine
runs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from PIL import Image, ImageDraw

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.device import this_device
from quantlab.words.comparison import MAX_PLANS
from quantlab.words.outcome import Outcome
from tools.flux_mini.concepts import BACKGROUNDS, CONCEPTS, caption

__all__ = ["SchemeScore", "scheme_scores", "table"]

SHOWN = (
    ("fp32", "sdnq-int8-hadamard", "bfl-fp8", "gguf-q6_k", "gguf-q5_k", "mix-flux-mini-4_5"),
    ("gguf-q4_k", "bnb-nf4", "hqq-int4", "gguf-q3_k", "gguf-q2_k", "quanto-int2"),
)
"""The ladder down, in rows; the first is the reference of all."""
SIDE = 192
PROMPT = "a fox on a blue background"
LABEL = 18


@dataclass(frozen=True)
class SchemeScore:
    """How far a scheme's pictures are from fp32's, over the same prompts and seeds.

    PSNR in dB on 8-bit pixels; ``one_step`` is the mean relative L2 error of the transformer's
    output for one identical step.
    """

    scheme: str
    bits: float
    psnr_db: float
    spread_db: float
    one_step: float


def scheme_scores(count: int) -> list[SchemeScore]:
    """Every scheme that runs here over ``count`` prompts, each with its own seed; best first."""
    catalog = load_catalog()
    found = []
    for scheme, pairs in _scores(Bench(load_catalog(), this_device()), _live(), count).items():
        psnr, steps = [p for p, _ in pairs], [s for _, s in pairs]
        bits = catalog.schemes[scheme].bits
        found.append(SchemeScore(scheme, bits, mean(psnr), stdev(psnr), mean(steps)))
    return sorted(found, key=lambda score: -score.psnr_db)


def table(scores: Sequence[SchemeScore]) -> str:
    """Lines for people."""
    lines = [f"{'scheme':20}{'bits':>5}{'PSNR dB':>10}{'spread':>8}{'one step':>10}"]
    lines += [
        f"{s.scheme:20}{s.bits:5g}{s.psnr_db:10.1f}{s.spread_db:8.1f}{s.one_step:10.4f}"
        for s in scores
    ]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    argparse.ArgumentParser(description=__doc__, allow_abbrev=False).parse_args()
    _picture(Bench(load_catalog(), this_device()))


def _live() -> list[str]:
    catalog = load_catalog()
    model = catalog.models["flux-mini"]
    return [
        scheme.id
        for scheme in catalog.schemes.values()
        if scheme.on_cpu != "no"
        and here(scheme, catalog.methods[scheme.method], this_machine(), model) == "ok"
        and (scheme.diffusers is not None)
    ]


def _scores(bench: Bench, schemes: list[str], count: int) -> dict[str, list[tuple[float, float]]]:
    """(PSNR in dB, one-step relative L2) of every prompt, by scheme."""
    scores: dict[str, list[tuple[float, float]]] = {scheme: [] for scheme in schemes}
    colours = list(BACKGROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            concept = CONCEPTS[index * len(CONCEPTS) // count].name
            prompt = caption(concept, colours[index % len(colours)])
            for start in range(0, len(schemes), MAX_PLANS - 1):
                plans = ["fp32", *schemes[start : start + MAX_PLANS - 1]]
                comparison = make_comparison(plans=plans, prompt=prompt, seed=index)
                found = compare(comparison, bench=bench, out=Path(folder), warmup=0)
                for outcome in found[1:]:
                    scores[outcome.plan].append(_score(outcome))
    return scores


def _score(outcome: Outcome) -> tuple[float, float]:
    if outcome.psnr_db is None or outcome.transformer_rel_l2 is None:
        raise SystemExit(f"{outcome.plan}: {outcome.error or 'identical to the reference'}")
    return outcome.psnr_db, outcome.transformer_rel_l2


def _picture(bench: Bench) -> None:
    """docs/schemes.png: the same prompt and seed under ``SHOWN``, each with its name and PSNR."""
    reference, rows = SHOWN[0][0], [_row(row, bench) for row in SHOWN]
    high = SIDE + LABEL
    sheet = Image.new("RGB", (SIDE * max(map(len, rows)), high * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for down, row in enumerate(rows):
        for across, (outcome, image) in enumerate(row):
            sheet.paste(image, (SIDE * across, high * down))
            score = "" if outcome.plan == reference else f"  {outcome.psnr_db:.1f} dB"
            place = (SIDE * across + 6, high * down + SIDE + 3)
            draw.text(place, f"{outcome.plan}{score}", fill="black")
    (PROJECT / "docs").mkdir(exist_ok=True)
    sheet.save(PROJECT / "docs" / "schemes.png")


def _row(plans: Sequence[str], bench: Bench) -> list[tuple[Outcome, Image.Image]]:
    """Outcome and picture of each plan, all beside the one reference."""
    found = {}
    asked = list(dict.fromkeys([SHOWN[0][0], *plans]))
    for start in range(1, len(asked), MAX_PLANS - 1):
        some = [asked[0], *asked[start : start + MAX_PLANS - 1]]
        comparison = make_comparison(plans=some, prompt=PROMPT, seed=3)
        with tempfile.TemporaryDirectory() as folder:
            for outcome in compare(comparison, bench=bench, out=Path(folder), warmup=0):
                image = Image.open(str(outcome.image)).convert("RGB").resize((SIDE, SIDE))
                found[outcome.plan] = (outcome, image)
    return [found[plan] for plan in plans]


if __name__ == "__main__":
    main()
