"""Writes the README's table of answers: what is proposed for common cards.

    python -m tools.answers            writes it between its two marks
    python -m tools.answers --check    says whether it is stale

Each row is a choice of ``python -m quantlab propose --json``, for a machine that has what
requirements.txt installs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from quantlab.catalog.answer.choices import propose
from quantlab.catalog.answer.loss import band_of
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.machine import Machine
from quantlab.catalog.table import load_catalog
from quantlab.words.choice import Choice
from quantlab.words.units import gib

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "README.md"
BEGIN, END = "<!-- written by tools/answers.py -->", "<!-- end of the answers -->"
MODELS = ("flux1-dev", "flux2-klein-4b", "flux3-klein")
DEVICES = (
    ("rtx-2060-6gb", 16),
    ("rtx-4060-8gb", 32),
    ("rtx-3060-12gb", 32),
    ("rtx-4060-ti-16gb", 32),
    ("rtx-4090-24gb", 64),
    ("apple-24gb", None),
)
"""Cards and the GiB of host memory beside them; a Mac has one memory."""
HEAD = ("model", "device", "host", "", "plan", "kept", "of the device", "an image", "picture")


def installed() -> Machine:
    """A machine with what requirements.txt names."""
    lines = (PROJECT / "requirements.txt").read_text("utf-8").splitlines()
    named = [line.partition("#")[0].partition(">")[0].partition("=")[0].strip() for line in lines]
    return Machine(compiler=True, packages={name: "99" for name in named if name})


def rows() -> Iterator[tuple[str, ...]]:
    """Cells of the table, a row a choice."""
    catalog, machine = load_catalog(), installed()
    for model in MODELS:
        for gpu, ram in DEVICES:
            found = propose(model=model, gpu=gpu, ram_gib=ram, machine=machine, catalog=catalog)
            where = load_gpus()[gpu].name
            host = f"{ram} GiB" if ram else "one memory"
            for choice in found.choices:
                yield (catalog.models[model].name, where, host, *_cells(choice))


def _cells(choice: Choice) -> tuple[str, ...]:
    least = f"at least {choice.drawn_s}" if choice.drawn_s else "not known"
    seconds = str(choice.image_s) if choice.image_s else least
    word = band_of(choice.loss).word if choice.loss.value else "unquantized"
    off = f" ({choice.loss.value:.1%})" if choice.loss.value else ""
    return (
        ", ".join(choice.heads),
        f"`{choice.plan}`".replace(",", "`, `"),
        ", ".join(choice.ways),
        gib(choice.peak_bytes),
        seconds,
        word + off,
    )


def table() -> str:
    """The table in Markdown; what a row shares with the one above is left out."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    above: tuple[str, ...] = ("", "", "")
    for row in rows():
        shared = 3 if row[:3] == above else 1 if row[0] == above[0] else 0
        cells = ["" if at < shared else cell for at, cell in enumerate(row)]
        lines.append(f"| {' | '.join(cells)} |")
        above = row[:3]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Write the table, or check it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args(argv)
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    new = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    if new == text:
        return 0
    if arguments.check:
        print(f"{PAGE.name} is stale: python -m tools.answers", file=sys.stderr)
        return 1
    PAGE.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
