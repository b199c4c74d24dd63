"""Records the gallery that ships, data/gallery/: ``python -m tools.gallery [PLAN ...]``.

Every scheme of the denoiser that runs on this machine, or the plans that are named, with each
prompt and seed of data/gallery/gallery.toml: run by the project's own ``compare`` beside the
reference, pictures kept as WebP. Plans that are recorded for the present weights and settings are
left as they are unless named or ``--anew`` is given.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import tempfile
from itertools import product
from pathlib import Path

from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.reach import why_not
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.device import this_device
from quantlab.lab.libraries import versions
from quantlab.record.gallery import FOLDER, Contents, contents, stale, weights_digest, written
from quantlab.record.store.row import Stored, now
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome

AT_ONCE = 5
"""Plans beside the reference in one comparison."""
QUALITY = 92
"""Of WebP: about 2 kB a picture, under which no artefact is to be seen at twice its size."""


def main() -> None:
    """Record what is missing, and say what did not run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plans", nargs="*", help="record these anew; else all that are missing")
    parser.add_argument("--anew", action="store_true", help="also those that are recorded")
    asked = parser.parse_args()
    wanted = contents()
    plans = asked.plans or [p for p in _runnable(wanted) if asked.anew or not _recorded(p)]
    weights = weights_digest(load_catalog().models[wanted.model])
    bench = Bench(load_catalog(), this_device())
    for start in range(0, len(plans), AT_ONCE):
        _record(plans[start : start + AT_ONCE], wanted, bench, weights)


def _runnable(wanted: Contents) -> list[str]:
    """The reference, the plain dtypes, and every scheme that runs here on the denoiser."""
    catalog, machine = load_catalog(), this_machine()
    model = catalog.models[wanted.model]
    part = model.components[0]
    schemes = [
        scheme.id
        for scheme in catalog.schemes.values()
        if not why_not(scheme, part.library, part.cls, part.shapes)
        and here(scheme, catalog.methods[scheme.method], machine, model) == "ok"
    ]
    return [wanted.reference, "bf16", *schemes]


def _recorded(plan: str) -> bool:
    file = FOLDER / f"{plan}.json"
    return file.exists() and not stale(json.loads(file.read_text(encoding="utf-8")))


def _record(plans: list[str], wanted: Contents, bench: Bench, weights: str) -> None:
    """Run ``plans`` beside the reference with every prompt and seed, and write their files."""
    rows: dict[str, list[tuple[Stored, str]]] = {plan: [] for plan in plans}
    for turn, (prompt, seed) in enumerate(product(wanted.prompts, wanted.seeds)):
        with tempfile.TemporaryDirectory() as out:
            names = dict.fromkeys((wanted.reference, *plans))
            pairs = [wanted.comparison(plan, prompt, seed) for plan in names]
            every = pairs[0].changed(plans=tuple(pair.plans[-1] for pair in pairs))
            warmup = 1 if turn == 0 else 0  # the bench keeps what it has warmed up
            outcomes = compare(every, bench=bench, out=Path(out), warmup=warmup)
            for pair, outcome in zip(pairs, outcomes, strict=True):
                if outcome.plan in rows:
                    name = f"{outcome.plan}/{turn // len(wanted.seeds)}-{seed}.webp"
                    rows[outcome.plan].append(_kept(pair, outcome, name))
        print(f"{', '.join(plans)}: {turn + 1} of {len(wanted.prompts) * len(wanted.seeds)}")
    for plan, found in rows.items():
        if failed := [row.outcome.error for row, _ in found if row.outcome.error]:
            print(f"{plan} is not recorded: {failed[0].message}")
            shutil.rmtree(FOLDER / plan, ignore_errors=True)
        else:
            (FOLDER / f"{plan}.json").write_text(written(found, weights), encoding="utf-8")


def _kept(pair: Comparison, outcome: Outcome, name: str) -> tuple[Stored, str]:
    if outcome.image:
        target = FOLDER / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_webp(Path(outcome.image)))
    where = this_device().info(), versions(), now()
    return Stored("", pair, outcome.plan, outcome, None, *where), name


def _webp(path: Path) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(file, format="WEBP", quality=QUALITY, method=6)
    return file.getvalue()


if __name__ == "__main__":
    main()
