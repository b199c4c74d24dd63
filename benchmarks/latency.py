"""How good predicted times are: published ones, each predicted without its own kind of card.

    python -m benchmarks.latency
    python -m benchmarks.latency --rows own.csv      what stands in data/, held against other rows

The constants are fitted again for each kind of card, from the rows of all others, and its rows are
predicted with those; rows whose scheme was timed on that card alone cannot be tested so, and stand
apart. What offloads is told apart, too: weights are moved by the host, of which the published rows
name nothing, so that one host is predicted from the few others. The worst row is of that kind: an
H100's host moved 33.7 GB in 8 s, those of an L20 and an RTX 4090 took three times as long. GeForce
is predicted from data-centre and workstation cards only. Rows of other models are in no fit at all.
"scaled": one row of the card is known, and scales the others of that card.

Errors are |predicted / published - 1|. Last line: one JSON object; over programs that run
diffusers' code, except ``geforce_median``, which takes every program, each with its factor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantlab.catalog.time import Card, Measured, MeasuredRun, Seconds, load_constants, predict
from quantlab.catalog.time.constants import Constants
from quantlab.errors import QuantlabError
from tools.latency_fit import fit, learnable, seconds
from tools.latency_rows import DIFFUSERS, Row, cards, read_rows

__all__ = ["Guess", "left_out", "main", "scaled"]


@dataclass(frozen=True)
class Guess:
    """A published time beside what was predicted without its card; seconds."""

    row: Row
    predicted: float
    low: float
    high: float
    testable: bool = True

    @property
    def error(self) -> float:
        """Predicted over published, less 1."""
        return self.predicted / self.row.seconds - 1

    @property
    def covered(self) -> bool:
        """Whether the interval holds the published time."""
        return self.low <= self.row.seconds <= self.high


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables and the JSON line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=Path, help="a CSV file of other rows: they are not fitted")
    asked = parser.parse_args(argv)
    try:
        known, constants = cards(), load_constants()
        if asked.rows:
            return _held(read_rows(asked.rows), known, constants)
        rows = read_rows()
    except QuantlabError as error:
        print(f"latency: {error}", file=sys.stderr)
        return 2
    learned = learnable(rows, known, constants)
    found = left_out(learned, known, constants)
    tested = [one for one in found if one.testable and one.row.tool in DIFFUSERS]
    geforce = _geforce(learned, known, constants)
    others = [_guess(row, known[row.gpu], constants) for row in _other_models(rows, known)]
    _print_all(found, tested, geforce, others, scaled(learned, known, constants))
    print(json.dumps(_figures(tested, geforce)))
    return 0


def left_out(rows: Sequence[Row], known: Mapping[str, Card], constants: Constants) -> list[Guess]:
    """Each row predicted by constants that were fitted without its kind of card."""
    found = []
    for gpu in sorted({row.gpu for row in rows}):
        rest = [row for row in rows if row.gpu != gpu]
        fitted = fit(rest, known, constants)
        told = {(row.run.timing, row.run.mode) for row in rest}
        for row in (row for row in rows if row.gpu == gpu):
            testable = (row.run.timing, row.run.mode) in told
            found.append(_guess(row, known[gpu], fitted, testable))
    return found


def scaled(
    rows: Sequence[Row], known: Mapping[str, Card], constants: Constants
) -> list[tuple[Row, float]]:
    """Rows predicted from one other row of their card, the median of all that could be it.

    The constants are those in data/: this shows what a measured run adds, not what is new.
    """
    found = []
    whole = [row for row in rows if not row.per_step and row.tool in DIFFUSERS]
    for row in whole:
        card = known[row.gpu]
        errors = []
        for other in whole:
            if other.gpu != row.gpu or (other.work, other.run) == (row.work, row.run):
                continue
            run = MeasuredRun(other.work, other.run, other.seconds)
            answer = predict(row.work, card, row.run, measured=Measured([run]), constants=constants)
            if isinstance(answer, Seconds):
                errors.append(abs(answer.mid / row.seconds - 1))
        if errors:
            found.append((row, statistics.median(errors)))
    return found


def _geforce(rows: Sequence[Row], known: Mapping[str, Card], constants: Constants) -> list[Guess]:
    """GeForce predicted by constants fitted to all other cards."""
    fitted = fit([row for row in rows if not row.geforce], known, constants)
    return [_guess(row, known[row.gpu], fitted) for row in rows if row.geforce]


def _other_models(rows: Sequence[Row], known: Mapping[str, Card]) -> list[Row]:
    return [row for row in rows if row.fit == "test" and row.gpu in known]


def _guess(row: Row, card: Card, constants: Constants, testable: bool = True) -> Guess:
    answer = predict(row.work, card, row.run, constants=constants)
    assert isinstance(answer, Seconds), f"{row.name()}: {answer}"
    mid = seconds(row, card, constants)
    share = mid / answer.mid
    return Guess(row, mid, answer.low * share, answer.high * share, testable)


def _held(rows: Sequence[Row], known: Mapping[str, Card], constants: Constants) -> int:
    """Print how the constants in data/ do on ``rows``, none of which was fitted."""
    found, without = [], []
    for row in rows:
        card = known.get(row.gpu)
        answer = predict(row.work, card, row.run, constants=constants) if card else None
        if card and isinstance(answer, Seconds):
            found.append(_guess(row, card, constants))
        else:
            without.append((row, "no such card" if answer is None else str(answer)))
    _print_rows("Rows", found)
    for row, reason in without:
        print(f"{row.gpu:24} {row.name()}: none, {reason}")
    print(json.dumps(_figures(found, [one for one in found if one.row.geforce])))
    return 0


def _print_all(
    found: Sequence[Guess],
    tested: Sequence[Guess],
    geforce: Sequence[Guess],
    others: Sequence[Guess],
    helped: Sequence[tuple[Row, float]],
) -> None:
    _print_rows("Each card predicted from the others", found)
    print(f"\n{'':28} {'n':>4} {'cards':>5} {'median':>7} {'80 %':>6} {'worst':>6} {'covered':>8}")
    _line("diffusers and alike", tested)
    _line("resident only", [one for one in tested if not _moves(one)])
    _line("offloaded: the host's rate", [one for one in tested if _moves(one)])
    _line("one card only: not tested", [one for one in found if not one.testable])
    _line("ComfyUI, Forge", [one for one in found if one.row.tool not in DIFFUSERS])
    _line("GeForce, from the others", geforce)
    _line("other models", others)
    _by("scheme", tested, lambda one: f"{one.row.run.timing} {one.row.run.mode}")
    _by("card", tested, lambda one: one.row.gpu)
    _print_rows("\nOther models, in no fit", others)
    errors = sorted(error for _, error in helped)
    cards_ = len({row.gpu for row, _ in helped})
    worst = max(tested, key=lambda one: abs(one.error))
    why = "offloaded by a host of which nothing is known" if _moves(worst) else "resident"
    print(f"\nworst: {worst.error:+.0%}, {worst.row.gpu}: {worst.row.name()}; {why}")
    print(
        f"\nscaled by one other run of the card: median {statistics.median(errors):.1%}, "
        f"80 % {_quantile(errors, 0.8):.1%} ({len(errors)} rows, {cards_} cards)"
    )


def _moves(one: Guess) -> bool:
    """Whether the host moves weights while it runs."""
    return one.row.run.placement != "resident"


def _by(title: str, found: Iterable[Guess], key: Callable[[Guess], str]) -> None:
    groups: dict[str, list[Guess]] = {}
    for one in found:
        groups.setdefault(key(one), []).append(one)
    print(f"by {title}")
    for name in sorted(groups):
        _line(f"  {name}", groups[name])


def _line(name: str, found: Sequence[Guess]) -> None:
    if not found:
        return
    errors = sorted(abs(one.error) for one in found)
    covered = statistics.fmean(one.covered for one in found)
    print(
        f"{name:28} {len(found):4} {len({one.row.gpu for one in found}):5} "
        f"{statistics.median(errors):7.1%} {_quantile(errors, 0.8):6.1%} {errors[-1]:6.1%} "
        f"{covered:8.0%}"
    )


def _print_rows(title: str, found: Sequence[Guess]) -> None:
    print(f"{title}\n{'published':>9} {'predicted':>9} {'error':>6}  interval")
    for one in found:
        note = "" if one.testable else " (scheme timed on this card only)"
        print(
            f"{one.row.seconds:9.3f} {one.predicted:9.3f} {one.error:+6.0%}  "
            f"{one.low:.2f} to {one.high:.2f}{'' if one.covered else ' *'}  "
            f"{one.row.gpu}: {one.row.name()}{note}"
        )


def _figures(tested: Sequence[Guess], geforce: Sequence[Guess]) -> dict[str, float | None]:
    errors = sorted(abs(one.error) for one in tested)
    of_geforce = [abs(one.error) for one in geforce]
    return {
        "median": round(statistics.median(errors), 4),
        "p80": round(_quantile(errors, 0.8), 4),
        "worst": round(errors[-1], 4),
        "geforce_median": round(statistics.median(of_geforce), 4) if of_geforce else None,
        "coverage": round(statistics.fmean(one.covered for one in tested), 4),
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The value that ``share`` of the ``ordered`` ones do not exceed, between neighbours."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


if __name__ == "__main__":
    sys.exit(main())
