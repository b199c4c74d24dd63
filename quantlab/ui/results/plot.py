"""A group of plans as pictures in SVG: fidelity against memory, and fidelity against latency.

Where nothing is known of fidelity it is one picture, latency against memory. Plans of the Pareto
front are filled diamonds with their name, all others hollow circles. Every mark has its numbers as
a title; the table under it says the same in text. Colours come from the page's styles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from quantlab.record.results.groups import Group, Line, between
from quantlab.words.units import GIB, MIB, seconds, size

__all__ = ["drawing", "plots", "short"]

WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 16, 46
ALONE = (
    "text{font:12px system-ui,sans-serif;fill:#556274}.ql-point{fill:#0b1220;font-weight:600}"
    "line{stroke:#dbe1e8}.ql-axis{stroke:#556274}.ql-roof{stroke-dasharray:3 4}"
    ".ql-span{stroke:#8a97a8}.ql-front{fill:#0f766e}.ql-other{fill:none;stroke:#556274;stroke-width:1.75}"
)
"""The styles of a picture that leaves the page."""
CHARACTER = 7.4
"""About the width of a character of a name, in the picture's units."""


@dataclass(frozen=True)
class _Mark:
    x: float
    y: float
    """Infinite for what equals the reference: it stands on a line of its own, at the top."""
    name: str
    title: str
    front: bool
    named: bool
    """Whether its name stands beside it, where it has room."""
    span: tuple[float, float] | None = None
    """The ends of the interval of ``y``, drawn as a line through the mark."""


@dataclass(frozen=True)
class _Axis:
    title: str
    low: float
    high: float

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Four to eight round numbers."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step) + 1)]


def drawing(group: Group) -> str:
    """The first picture of ``group`` as a file of its own; nothing where it has none."""
    found = _charts(group)
    if not found:
        return ""
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" height="{2 * HEIGHT}" '
    style = f'<style>{ALONE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    head, rest = found[0].split(">", 1)
    return f"{head.replace('<svg ', start, 1)}>{style}{rest}"


def plots(group: Group) -> str:
    """The pictures of ``group``; nothing for fewer than two plans that can be placed."""
    found = _charts(group)
    if not found:
        return ""
    best = "up and to the left" if group.has_fidelity else "down and to the left"
    weighed = "memory, latency and PSNR" if group.has_fidelity else "memory and latency"
    front = (
        '<span aria-hidden="true" class="ql-front">◆</span> on the Pareto front: no other plan '
        f"here is surely at least as good in {weighed} and better in one. "
        '<span aria-hidden="true">○</span> the others. '
    )
    return (
        '<div data-saved><div class="ql-plots" tabindex="0" role="group" aria-label="Plots">'
        f'{"".join(found)}</div><p class="ql-legend"><span>'
        f"{'' if group.one_picture else front}Better is {best}.</span>"
        '<button type="button" class="ql-button" data-save-plots="plot">Save the plots</button>'
        "</p></div>"
    )


def _charts(group: Group) -> list[str]:
    """Each picture; none for fewer than two plans that can be placed."""
    lines = [line for line in group.lines if line.role != "again" and line.latency_s is not None]
    lines = [line for line in lines if group.memory(line) is not None]
    if group.has_fidelity:
        lines = [line for line in lines if line.fidelity is not None]
    if len(lines) < 2:
        return []
    counts = [group.memory(line) or 0.0 for line in lines]
    unit, name = (GIB, "GiB") if max(counts) >= GIB else (MIB, "MiB")
    what = "Weights" if group.by_weights else "Peak memory"
    memory = [count / unit for count in counts]
    seconds = [line.latency_s or 0.0 for line in lines]
    if group.has_fidelity:
        fidelity = [math.inf if line.fidelity is None else line.fidelity for line in lines]
        return [
            _chart(_marks(group, lines, memory, fidelity), f"{what}, {name}", "PSNR, dB"),
            _chart(_marks(group, lines, seconds, fidelity), "Latency, s", "PSNR, dB"),
        ]
    return [_chart(_marks(group, lines, memory, seconds), f"{what}, {name}", "Latency, s")]


def short(plan: str) -> str:
    """A plan's name for a picture: ``bnb-nf4 + text_encoder_2 torchao-int8wo``."""
    first, *rest = plan.removeprefix("transformer=").split(",")
    return " + ".join([first, *(part.replace("=", " ") for part in rest)])


def _marks(
    group: Group, lines: Sequence[Line], xs: Sequence[float], ys: Sequence[float]
) -> list[_Mark]:
    return [
        _Mark(
            x,
            y,
            short(line.plan),
            _title(group, line),
            line.front,
            named=line.front or group.one_picture,
            span=line.psnr_interval if group.has_fidelity and math.isfinite(y) else None,
        )
        for line, x, y in zip(lines, xs, ys, strict=True)
    ]


def _title(group: Group, line: Line) -> str:
    parts = [line.plan, size(group.memory(line)), seconds(line.latency_s)]
    if line.psnr_db is not None:
        span = between(line.psnr_interval)
        parts.append(f"{line.psnr_db:.1f} dB{f' ({span})' if span else ''}")
    elif line.role == "reference":
        parts.append("reference")
    elif line.identical:
        parts.append("identical to the reference")
    return ", ".join(parts) + (", on the Pareto front" if line.front else "")


def _chart(marks: Sequence[_Mark], x_title: str, y_title: str) -> str:
    finite = [mark.y for mark in marks if math.isfinite(mark.y)]
    roof = 22.0 if len(finite) < len(marks) else 0.0
    finite += [end for mark in marks for end in mark.span or ()]
    x = _Axis(x_title, 0.0, max(mark.x for mark in marks) * 1.08 or 1.0)
    y = _y_axis(y_title, finite, from_zero=not y_title.startswith("PSNR"))
    placed = [(_across(x, mark.x), _down(y, mark.y, roof), mark) for mark in marks]
    label = escape(f"{y_title} against {x_title}, {len(marks)} plans; the table has the numbers")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" class="ql-plot">'
        f"{_frame(x, y, roof)}{_spans(placed, y, roof)}"
        f"{''.join(_shape(*spot) for spot in placed)}{_names(placed)}</svg>"
    )


def _y_axis(title: str, values: Sequence[float], *, from_zero: bool) -> _Axis:
    if not values:
        return _Axis(title, 0.0, 1.0)
    if from_zero:
        return _Axis(title, 0.0, max(values) * 1.1 or 1.0)
    room = max(1.0, (max(values) - min(values)) * 0.1)
    return _Axis(title, min(values) - room, max(values) + room)


def _across(axis: _Axis, value: float) -> float:
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def _down(axis: _Axis, value: float, roof: float) -> float:
    if not math.isfinite(value):
        return TOP + roof / 2
    low, high = HEIGHT - BOTTOM, TOP + roof
    return low - axis.share(value) * (low - high)


def _frame(x: _Axis, y: _Axis, roof: float) -> str:
    low = HEIGHT - BOTTOM
    parts = []
    for value in y.ticks():
        at = _down(y, value, roof)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in x.ticks():
        at = _across(x, value)
        parts.append(f'<text x="{at:.1f}" y="{low + 17}" text-anchor="middle">{value:g}</text>')
    if roof:
        parts.append(
            f'<text x="{LEFT - 6}" y="{TOP + roof / 2 + 4}" text-anchor="end">same</text>'
            f'<line class="ql-roof" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{TOP + roof / 2}" '
            f'y2="{TOP + roof / 2}"/>'
        )
    middle = (low + TOP) / 2
    parts.append(
        f'<line class="ql-axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{low}" y2="{low}"/>'
        f'<text class="ql-axis-title" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" '
        f'text-anchor="middle">{escape(x.title)}</text>'
        f'<text class="ql-axis-title" text-anchor="middle" '
        f'transform="translate(13 {middle}) rotate(-90)">{escape(y.title)}</text>'
    )
    return "".join(parts)


def _spans(placed: Sequence[tuple[float, float, _Mark]], y: _Axis, roof: float) -> str:
    """A line from end to end of each interval that is known."""
    return "".join(
        f'<line class="ql-span" x1="{at:.1f}" x2="{at:.1f}" '
        f'y1="{_down(y, mark.span[0], roof):.1f}" y2="{_down(y, mark.span[1], roof):.1f}"/>'
        for at, _, mark in placed
        if mark.span
    )


def _shape(x: float, y: float, mark: _Mark) -> str:
    title = f"<title>{escape(mark.title)}</title>"
    if mark.front:
        points = f"{x:.1f},{y - 7:.1f} {x + 7:.1f},{y:.1f} {x:.1f},{y + 7:.1f} {x - 7:.1f},{y:.1f}"
        return f'<polygon class="ql-front" points="{points}">{title}</polygon>'
    return f'<circle class="ql-other" cx="{x:.1f}" cy="{y:.1f}" r="5">{title}</circle>'


_Box = tuple[float, float, float, float]


def _names(placed: Sequence[tuple[float, float, _Mark]]) -> str:
    """Names beside the marks that have one, where they have room; the others are in the table."""
    taken: list[_Box] = [(x - 7, y - 7, x + 7, y + 7) for x, y, _ in placed]
    parts = []
    for x, y, mark in placed:
        if not mark.named:
            continue
        wide = len(mark.name) * CHARACTER
        spots = [(x + 11, y + 4), (x - 11 - wide, y + 4), (x - wide / 2, y - 12), (x, y + 20)]
        for left, base in spots:
            box = (left, base - 11, left + wide, base + 3)
            if box[0] < LEFT or box[2] > WIDTH or any(_meet(box, other) for other in taken):
                continue
            taken.append(box)
            parts.append(
                f'<text class="ql-point" text-anchor="middle" x="{left + wide / 2:.1f}" '
                f'y="{base:.1f}">{escape(mark.name)}</text>'
            )
            break
    return "".join(parts)


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
