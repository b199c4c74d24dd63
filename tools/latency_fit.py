"""Fits the constants of predicted times to published ones and writes data/latency/constants.toml.

    python -m tools.latency_fit            writes the file
    python -m tools.latency_fit --check    writes nothing; exit status 1 where it would change

Least squares on log(predicted / published), soft beyond some 10 %, so that a row that is wrong by
half does not pull as its square. Each kind of card counts alike, however many rows it has; rows of
trust C count half. A weak pull towards the starting values keeps what no row tells from running
away. What is fitted of a scheme, bytes or a factor, is what the file already states of it; the
shares of the datasheet's rate are medians over the cards whose rate was measured.
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.time import Card, Mode, load_constants
from quantlab.catalog.time.constants import FILE, Constants, Cost, TimingClass
from quantlab.catalog.time.form import chip_of, limited, parts
from quantlab.catalog.time.reasons import reason_against
from quantlab.errors import InputError
from tools.latency_rows import Row, cards, read_rows

__all__ = ["fit", "learnable", "main", "seconds"]

GENERAL = {
    "reach_full": (0.85, 0.15),
    "softmax": (1.0, 0.15),
    "passes_eager": (200.0, 0.5),
    "passes_compiled": (30.0, 0.5),
    "l2_saves": (0.4, 0.4),
    "l2_tensors": (2.0, 0.5),
    "launch_ms_compiled": (0.5, 0.15),
    "offload_gbs": (3.5, 0.5),
}
"""Starting value and how far from it, as a logarithm, is nothing unusual."""

BYTES = {Mode.EAGER: (12.0, 1.0), Mode.COMPILED: (3.0, 0.5)}
"""The same for bytes a weight. Compiled, one kernel reads what is packed and writes 16 bit, which
the product reads: some 3 beyond the 2 of 16-bit weights. Eager, each of a handful of operations
reads and writes."""

ONE_KERNEL = {"nf4": (3.0, 0.5), "cast-8bit": (3.0, 0.5)}
"""Classes that unpack with a single kernel, eager too."""

SLOWER, LAUNCH, TOOL = (20.0, 1.0), (3.0, 0.5), (0.9, 0.1)
"""The same for a factor on products, for launching a block and for other programs."""

TRUST = {"A": 1.0, "B": 1.0, "C": 0.5}
SOFT, PULL = 0.1, 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Fit and write the file, or say that it is stale; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    check = parser.parse_args(argv).check
    known = load_constants()
    rows = learnable(read_rows(), cards(), known)
    fitted = fit(rows, cards(), known)
    path = PROJECT / FILE
    text = path.read_text(encoding="utf-8")
    new = rendered(text, fitted)
    if not check:
        path.write_text(new, encoding="utf-8")
    print(f"{len(rows)} rows of {len({row.gpu for row in rows})} kinds of card", file=sys.stderr)
    return int(check and new != text)


def learnable(rows: Sequence[Row], known: Mapping[str, Card], constants: Constants) -> list[Row]:
    """The rows that constants are fitted to: ``fit`` is yes, card and cost are known."""
    return [
        row
        for row in rows
        if row.fit == "yes"
        and row.trust in TRUST
        and row.gpu in known
        and not reason_against(row.work, known[row.gpu], row.run, constants)
    ]


def seconds(row: Row, card: Card, constants: Constants) -> float:
    """The seconds predicted for ``row``, by the program that it was measured with.

    Raises:
        InputError: a figure of the card that every prediction needs is not known.
    """
    chip = chip_of(card)
    if chip is None:
        raise InputError(row.gpu, "its figures are not known")
    found = parts(row.work, chip, row.run, constants)
    total = found.steps if row.per_step else found.total
    return total * constants.tools.get(row.tool, 1.0)


def fit(rows: Sequence[Row], known: Mapping[str, Card], start: Constants) -> Constants:
    """``start`` with all that ``rows`` tell of fitted to them."""
    import numpy as np
    from scipy.optimize import least_squares

    start = replace(start, general=replace(start.general, **_shares(known)))
    slots = list(_slots(start, rows))
    origin = np.log([slot[1][0] for slot in slots])
    width = np.array([slot[1][1] for slot in slots])
    count = Counter(row.gpu for row in rows)
    weights = np.array([TRUST[row.trust] * 2 / math.sqrt(count[row.gpu]) for row in rows])
    published = np.log([row.seconds for row in rows])

    def residuals(at: Any) -> Any:
        constants = _with(start, slots, np.exp(at))
        predicted = np.log([seconds(row, known[row.gpu], constants) for row in rows])
        errors = weights * (predicted - published) / SOFT
        return np.concatenate([errors, PULL * (at - origin) / width])

    found = least_squares(residuals, origin, loss="soft_l1").x
    return _counted(_with(start, slots, np.exp(found)), rows)


def _shares(known: Mapping[str, Card]) -> dict[str, float]:
    """What a measured product reaches of the datasheet's, on either kind of chip."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for card in known.values():
        chip = chip_of(card) if card.vendor == "NVIDIA" else None
        if chip and chip.matmul16:
            found[limited(chip)].append(chip.matmul16 / chip.peak16)
    return {
        "matmul_limited": round(statistics.median(found[True]), 2),
        "matmul_full": round(statistics.median(found[False]), 2),
    }


Setter = Callable[[Constants, float], Constants]
Slot = tuple[str, tuple[float, float], Setter]


def _slots(start: Constants, rows: Sequence[Row]) -> Iterator[Slot]:
    """Each constant that is fitted: name, where it starts and how it is set.

    A cost that was fitted before is let go to where it starts, so that no row left out now tells.
    """
    told = {(row.run.timing, row.run.mode) for row in rows}
    for name, where in GENERAL.items():
        yield name, where, _general(name)
    yield "tools", TOOL, _tools
    for one in start.classes.values():
        for mode, cost in one.costs.items():
            if not cost.cards and (one.id, mode) not in told:
                continue
            if cost.slower != 1:
                yield f"{one.id}.{mode}", SLOWER, _cost(one, mode, "slower")
            elif cost.launch_ms:
                yield f"{one.id}.{mode}", LAUNCH, _cost(one, mode, "launch_ms")
            elif cost.bytes:
                where = ONE_KERNEL.get(one.id, BYTES[mode])
                yield f"{one.id}.{mode}", where, _cost(one, mode, "bytes")


def _general(name: str) -> Setter:
    return lambda at, value: replace(at, general=replace(at.general, **{name: float(value)}))


def _tools(at: Constants, value: float) -> Constants:
    return replace(at, tools=dict.fromkeys(at.tools, float(value)))


def _cost(one: TimingClass, mode: Mode, name: str) -> Setter:
    def put(at: Constants, value: float) -> Constants:
        old = at.classes[one.id]
        changed: Cost = replace(old.costs[mode], **{name: float(value)})  # type: ignore[arg-type]
        new = replace(old, costs={**old.costs, mode: changed})
        return replace(at, classes={**at.classes, one.id: new})

    return put


def _with(start: Constants, slots: Sequence[Slot], values: Any) -> Constants:
    for (_, _, put), value in zip(slots, values, strict=True):
        start = put(start, value)
    return start


def _counted(fitted: Constants, rows: Sequence[Row]) -> Constants:
    """``fitted`` with how many kinds of card each scheme was timed on."""
    classes = {}
    for one in fitted.classes.values():
        costs = {
            mode: replace(cost, cards=len(_timed_on(rows, one.id, mode)))
            for mode, cost in one.costs.items()
        }
        classes[one.id] = replace(one, costs=costs)
    return replace(fitted, classes=classes)


def _timed_on(rows: Sequence[Row], timing: str, mode: Mode) -> set[str]:
    return {row.gpu for row in rows if (row.run.timing, row.run.mode) == (timing, mode)}


def rendered(text: str, fitted: Constants) -> str:
    """The file's ``text`` with the fitted numbers in place of those that were there."""
    lines, section = [], ""
    for line in text.splitlines():
        if match := re.match(r"\[(.+)\]", line):
            section = match[1]
        lines.append(_line(section, line, fitted))
    return "\n".join(lines) + "\n"


def _line(section: str, line: str, fitted: Constants) -> str:
    key = line.partition(" =")[0]
    if section == "general" and hasattr(fitted.general, key):
        return f"{key} = {_number(getattr(fitted.general, key))}{_comment(line)}"
    if section == "tools" and key in fitted.tools:
        return f"{key} = {_number(fitted.tools[key])}{_comment(line)}"
    one = fitted.classes.get(section.removeprefix("classes."))
    if section.startswith("classes.") and one and key in one.costs:
        cost = one.costs[Mode(key)]
        return f"{key} = {_table(cost)}{_comment(line)}" if cost.cards else line
    return line


def _table(cost: Cost) -> str:
    names = ("bytes", "passes", "launch_ms", "slower", "cards")
    values = {name: getattr(cost, name) for name in names}
    plain = {"bytes": 0.0, "passes": 0.0, "launch_ms": 0.0, "slower": 1.0, "cards": 0}
    kept = [f"{name} = {_number(v)}" for name, v in values.items() if v != plain.get(name)]
    rate = [f'rate = "{cost.rate}"'] if cost.rate != "16" else []
    return f"{{ {', '.join([*rate, *kept])} }}"


def _number(value: float) -> str:
    """Three digits: more would claim what the rows do not tell."""
    return f"{float(f'{value:.3g}'):g}"


def _comment(line: str) -> str:
    at = line.find("  #")
    return line[at:] if at >= 0 else ""


if __name__ == "__main__":
    sys.exit(main())
