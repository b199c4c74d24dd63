"""Renews the kept sweep: ``python -m tools.sweep_kept`` writes data/results/sweep-flux-mini-cpu.*.

Every scheme of the denoiser that runs here, the mixes that ship and a few of the large text
encoder, over the prompts of data/results/prompts.txt and the seeds that are named, each plan in a
process of its own. It is ``quantlab sweep``: whoever stops it goes on with the same command.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Iterator

from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.reach import why_not
from quantlab.catalog.table import load_catalog
from quantlab.cli import main as quantlab

__all__ = ["main", "plans"]

RESULTS = PROJECT / "data" / "results"
TARGET = RESULTS / "sweep-flux-mini-cpu"
ENCODERS = ("bnb-nf4", "torchao-int8wo", "quanto-int4")


def plans() -> Iterator[str]:
    """The reference, the plain dtypes, and all that runs here on flux-mini."""
    catalog, machine = load_catalog(), this_machine()
    model = catalog.models["flux-mini"]
    part = model.components[0]
    yield from ("fp32", "bf16")
    for scheme in catalog.schemes.values():
        method = catalog.methods[scheme.method]
        if scheme.on_cpu == "no" or here(scheme, method, machine, model) != "ok":
            continue
        if why_not(scheme, part.library, part.cls, part.shapes) is None:
            yield scheme.id
    yield from (f"text_encoder_2={scheme}" for scheme in ENCODERS)


def main() -> int:
    """Run it, or go on with it, and write the three files."""
    parser = argparse.ArgumentParser(description="Renew the kept sweep.")
    parser.add_argument("--seeds", nargs="+", default=["0", "1"], help="of each prompt")
    seeds = parser.parse_args().seeds
    asked = ["sweep", "--isolate", "--json", "--prompts", str(RESULTS / "prompts.txt")]
    asked += ["--seeds", *seeds, "--out", f"{TARGET}.csv", "--summary", f"{TARGET}.md"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = quantlab([*asked, "--plans", *plans()])
    if status == 0:
        TARGET.with_suffix(".json").write_text(printed.getvalue(), encoding="utf-8")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
