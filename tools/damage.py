"""What each scheme breaks in flux-mini's pictures: data/results/damage-flux-mini.csv.

    python -m tools.damage --plans fp32 gguf-q4_k bnb-nf4 --pictures 24 --seeds 2

PSNR says how far a picture is from the unquantized one, not whether it is worse. Four things can be
told without the other picture's being right:

- ``right``: the nearest of 576 reference images has the concept and the colour asked for
- ``grain``: standard deviation, in 8-bit levels, of what a 5 x 5 mean takes away from the flat
  background, which has no texture of its own
- ``edges``: mean gradient along the strongest 5 % of the unquantized picture's edges, over that
  picture's; below 1 they are softer
- ``flip``: NVIDIA's FLIP against the unquantized picture

Each with its 95 % interval over prompts and seeds; a share's is Wilson's. Rows of other plans stay
in the file as they are. Pictures stay in .work/damage/ until their plan has its row: whoever is
interrupted goes on with the next one.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import threading
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion, sobel, uniform_filter
from scipy.stats import binomtest

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.own.mixes import admit_mixes
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.fidelity import image_array
from quantlab.lab.bench.flip import flip
from quantlab.lab.bench.interval import span
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.device import Device, this_device
from quantlab.lab.libraries import versions
from quantlab.lab.load.pool import LoadedPlan, Pool
from quantlab.record.probes import write_text
from tools.flux_mini.evaluate import Case, cases
from tools.flux_mini.paths import MODEL
from tools.flux_mini.reference import References

__all__ = ["background", "damage", "edges", "grain"]

TARGET = PROJECT / "data" / "results" / "damage-flux-mini.csv"
WORK = PROJECT / ".work" / "damage"
"""Pictures of plans that have no row yet."""
NEAR = 24.0
"""A pixel this near to the background's colour, in 8-bit levels, is background."""
MARGIN = 5
"""Pixels that are kept away from the thing, which casts a glow on its background."""
STRONGEST = 95.0
"""Percentile of the gradient from which on a pixel lies on an edge."""
Pixels = NDArray[np.uint8]


def background(picture: Pixels) -> NDArray[np.bool_]:
    """Where a picture (height, width, 3) is background: near its border's colour, and far inside
    what is."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    colour = np.median(border, axis=0)
    near = np.abs(picture - colour).max(axis=2) < NEAR
    inside: NDArray[np.bool_] = binary_erosion(near, iterations=MARGIN)
    return inside


def grain(picture: Pixels, where: NDArray[np.bool_]) -> float:
    """Standard deviation of the fine structure of a picture ``where`` it should have none."""
    values = picture.astype(np.float64)
    fine = values - uniform_filter(values, size=(5, 5, 1))
    return float(fine[where].std()) if where.any() else 0.0


def edges(picture: Pixels, reference: Pixels) -> float:
    """How strong the reference's edges still are in ``picture``; 1 is as strong."""
    own, theirs = _gradient(picture), _gradient(reference)
    where = (theirs >= np.percentile(theirs, STRONGEST)) & (theirs > 0)
    return float(own[where].mean() / theirs[where].mean())


def _gradient(picture: Pixels) -> NDArray[np.float64]:
    gray = picture.astype(np.float64).mean(axis=2)
    found: NDArray[np.float64] = np.hypot(sobel(gray, axis=0), sobel(gray, axis=1))
    return found


def damage(
    pictures: Sequence[Pixels], originals: Sequence[Pixels], asked: Sequence[Case]
) -> dict[str, float]:
    """The four figures of a plan's pictures beside the unquantized ones, each with its interval."""
    references = References(MODEL)
    named = [references.name(picture) for picture in pictures]
    right = sum(
        seen.concept == case.concept and seen.colour == case.colour
        for seen, case in zip(named, asked, strict=True)
    )
    share = binomtest(right, len(named)).proportion_ci(method="wilson")
    found = {"right": right / len(named), "right_low": share.low, "right_high": share.high}
    pairs = list(zip(pictures, originals, strict=True))
    values = {
        "grain": [grain(picture, background(original)) for picture, original in pairs],
        "edges": [edges(picture, original) for picture, original in pairs],
        "flip": [flip(picture, original) for picture, original in pairs],
    }
    for name, each in values.items():
        known = span(each)
        found |= {name: known.mean, f"{name}_low": known.low, f"{name}_high": known.high}
    return found


def _drawn(
    plan: LoadedPlan, asked: Sequence[tuple[Case, int]], device: Device, kept: Path
) -> list[Pixels]:
    """Pictures (128, 128, 3) of the cases with their seeds; those in ``kept`` are not drawn."""
    kept.mkdir(parents=True, exist_ok=True)
    pictures = []
    for case, seed in asked:
        place = kept / f"{case.prompt}-{seed}.png"
        if not place.exists():
            part = place.with_suffix(".part")
            _draw(plan, case.prompt, seed, device).save(part, "PNG")
            part.replace(place)
        with Image.open(place) as image:
            pictures.append(image_array(image))
    return pictures


def _draw(plan: LoadedPlan, prompt: str, seed: int, device: Device) -> Any:
    """One picture, as PIL's image."""
    comparison, never = make_comparison(prompt=prompt, seed=seed), threading.Event()
    given = encode(plan.pipe, comparison, device)
    run = generate(plan.pipe, comparison, given, device, on_step=lambda _: None, stop=never)
    return run.image


def _written() -> dict[str, dict[str, str]]:
    if not TARGET.exists():
        return {}
    with TARGET.open(encoding="utf-8", newline="") as file:
        return {row["plan"]: row for row in csv.DictReader(file)}


def _write(rows: Mapping[str, Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [",".join(columns)]
    lines += [",".join(str(row.get(name, "")) for name in columns) for row in rows.values()]
    write_text(TARGET, "\n".join(lines) + "\n")


def main() -> None:
    """Draw with each plan, print a row a plan, and renew the file."""
    parser = argparse.ArgumentParser(description="Measure what schemes break on flux-mini.")
    parser.add_argument("--plans", nargs="+", required=True, help="schemes of the transformer")
    parser.add_argument("--pictures", type=int, default=24, help="prompts of the fixed grid")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of each prompt")
    arguments = parser.parse_args()
    device, catalog = this_device(), load_catalog()
    grid = cases(MODEL)
    some = [grid[i * len(grid) // arguments.pictures] for i in range(arguments.pictures)]
    asked = list(product(some, range(arguments.seeds)))
    pool, rows = Pool(2**30, catalog, device), _written()
    model, originals = catalog.models["flux-mini"], list[Pixels]()
    about = {"pictures": len(asked), "prompts": len(some), "seeds": arguments.seeds}
    about |= {"measured_on": date.today().isoformat(), **versions()}
    for text in dict.fromkeys(["fp32", *arguments.plans]):
        name, known = admit_mixes(text, catalog)
        pool = pool if known is catalog else Pool(0, known, device)
        plan = make_comparison(plans=[name], prompt="", catalog=known).plans[0]
        kept = WORK / str(plan)
        pictures = _drawn(pool.load(model, plan, lambda _: None), asked, device, kept)
        originals = originals or pictures
        found = damage(pictures, originals, [case for case, _ in asked])
        rows[str(plan)] = {"plan": str(plan), **{k: f"{v:.4f}" for k, v in found.items()}} | about
        print(f"{plan!s:24}", *(f"{k} {found[k]:.3f}" for k in ("right", "grain", "edges", "flip")))
        _write(rows)
        shutil.rmtree(kept)


if __name__ == "__main__":
    main()
