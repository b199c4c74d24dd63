"""Rows of the FLUX-shaped benchmark: visits beside the prediction, the aims, table and CSV file."""

from __future__ import annotations

import csv
import datetime
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.flux_shaped.model import Shaped
from benchmarks.flux_shaped.visits import Visit
from quantlab.catalog.sizes.predict import predict
from quantlab.lab.device import this_device
from quantlab.lab.libraries import torch, versions
from quantlab.words.plan import Plan

__all__ = ["AIMS", "MARK", "Row", "figures", "machine", "make_row", "show", "write"]

GIB = 2**30
MARK = "FLUX-shaped random weights: memory and latency hold, images do not exist"

AIMS = {
    "prediction_error": ("<=", 0.01),
    "bf16_compiled_speedup": (">=", 1.45),
    "fp8dq_compiled_speedup": (">=", 2.0),
    "nf4_latency_ratio": ("<=", 1.15),
    "nf4_bytes_ratio": ("<=", 0.30),
    "variation": ("<=", 0.03),
}
"""On one H200. prediction_error: worst |allocated / predicted - 1| of all plans. Speed-ups: step in
bf16, eager, over the plan's own. nf4 against bf16: the step, both eager, and the transformer's
bytes. variation: worst (most - least) / median of a plan's rounds."""


@dataclass(frozen=True)
class Row:
    """One plan. Bytes, seconds; None where it was not measured.

    ``reason`` says why the plan, or a later round of it, failed.
    ``weights_bytes`` is the transformer's, ``total_bytes`` that of all parts, each beside what was
    predicted. ``step_s`` is the median of the rounds in ``rounds_s``, ``rel_l2`` the distance of
    one step's output from that of bf16, eager.
    """

    model: str
    scale: str
    plan: str
    scheme: str
    mode: str
    status: str
    reason: str = ""
    load_s: float | None = None
    weights_bytes: int | None = None
    predicted_weights_bytes: int | None = None
    total_bytes: int | None = None
    predicted_total_bytes: int | None = None
    allocated_bytes: int | None = None
    load_peak_bytes: int | None = None
    run_peak_bytes: int | None = None
    predicted_peak_bytes: int | None = None
    reserved_bytes: int | None = None
    peak_kind: str = ""
    step_s: float | None = None
    rounds_s: tuple[float, ...] = ()
    rel_l2: float | None = None
    width: int = 0
    height: int = 0
    sequence_length: int = 0

    @property
    def error(self) -> float | None:
        """Allocated over predicted bytes of all parts, less 1; off CUDA the counted ones."""
        held = self.total_bytes if self.allocated_bytes is None else self.allocated_bytes
        if held is None or self.predicted_total_bytes is None:
            return None
        return held / self.predicted_total_bytes - 1

    @property
    def variation(self) -> float | None:
        """(most - least) / median of the rounds; None for a single one."""
        if len(self.rounds_s) < 2:
            return None
        return (max(self.rounds_s) - min(self.rounds_s)) / median(self.rounds_s)


def make_row(subject: Shaped, scale: str, plan: Plan, visits: Sequence[Visit], reason: str) -> Row:
    """The row of ``plan``; without visits it failed, for ``reason`` or for want of time."""
    asked = subject.comparison
    scheme = plan.dtype or plan.parts[0][1]
    mode = "compiled" if plan.compiled else "eager"
    name = subject.model.id.removesuffix("-mini") if scale == "mini" else subject.model.id
    size: dict[str, Any] = {
        "width": asked.width,
        "height": asked.height,
        "sequence_length": asked.sequence_length,
    }
    if not visits:
        reason = reason or "not measured: the time was over"
        return Row(name, scale, str(plan), scheme, mode, "failed", reason, **size)
    predicted = predict(subject.model.id, plan, **size, catalog=subject.catalog)
    first = visits[0]
    loads = [visit.load_s for visit in visits if visit.load_s is not None]
    return Row(
        name,
        scale,
        str(plan),
        scheme,
        mode,
        "ok",
        f"a later round failed: {reason}" if reason else "",
        load_s=median(loads) if loads else None,
        weights_bytes=first.weights_bytes["transformer"],
        predicted_weights_bytes=predicted.component_bytes["transformer"],
        total_bytes=sum(first.weights_bytes.values()),
        predicted_total_bytes=predicted.total_bytes,
        allocated_bytes=first.allocated_bytes,
        load_peak_bytes=first.load_peak_bytes,
        run_peak_bytes=first.run_peak_bytes,
        predicted_peak_bytes=predicted.peak_bytes,
        reserved_bytes=first.reserved_bytes,
        peak_kind=first.peak_kind,
        step_s=median(visit.step_s for visit in visits),
        rounds_s=tuple(visit.step_s for visit in visits),
        rel_l2=first.rel_l2,
        **size,
    )


def machine() -> dict[str, str]:
    """What the rows were measured on and with."""
    info = this_device().info()
    return {
        "device": str(info["name"]),
        "device_kind": str(info["kind"]),
        "driver": _driver() if info["kind"] == "cuda" else "",
        "cuda": str(torch().version.cuda or ""),
        "measured_on": datetime.date.today().isoformat(),
        **versions(),
    }


def _driver() -> str:
    """The version of NVIDIA's driver, as its own tool says, or "unknown"."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return said.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def figures(rows: Iterable[Row], about: Mapping[str, str]) -> dict[str, float | int | str | None]:
    """The last line: the aims, None unless measured on CUDA at full size, and the bytes' error."""
    rows = list(rows)
    good = [row for row in rows if row.status == "ok"]
    claims = about["device_kind"] == "cuda" and all(row.scale == "full" for row in rows)
    aims = _aims(good) if claims else dict.fromkeys(AIMS)
    worst = max((abs(error) for error in map(_bytes_error, good)), default=None)
    return {
        "device": about["device"],
        "rows": len(rows),
        "failed": len(rows) - len(good),
        "bytes_error": _rounded(worst),
        **{name: _rounded(value) for name, value in aims.items()},
    }


def _aims(good: Sequence[Row]) -> dict[str, float | None]:
    plan = {row.plan: row for row in good}
    steps = {name: row.step_s for name, row in plan.items()}
    sizes = {name: row.weights_bytes for name, row in plan.items()}
    errors = [abs(row.error) for row in good if row.error is not None]
    varied = [row.variation for row in good if row.variation is not None]
    return {
        "prediction_error": max(errors, default=None),
        "bf16_compiled_speedup": _ratio(steps.get("bf16"), steps.get("bf16@compiled")),
        "fp8dq_compiled_speedup": _ratio(steps.get("bf16"), steps.get("torchao-fp8dq@compiled")),
        "nf4_latency_ratio": _ratio(steps.get("bnb-nf4"), steps.get("bf16")),
        "nf4_bytes_ratio": _ratio(sizes.get("bnb-nf4"), sizes.get("bf16")),
        "variation": max(varied, default=None),
    }


def _ratio(over: float | None, under: float | None) -> float | None:
    return over / under if over is not None and under else None


def _bytes_error(row: Row) -> float:
    assert row.weights_bytes is not None
    assert row.predicted_weights_bytes is not None
    return row.weights_bytes / row.predicted_weights_bytes - 1


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def show(rows: Sequence[Row], about: Mapping[str, str]) -> None:
    """Print the table and the aims."""
    print(f"{MARK}\n{', '.join(f'{key} {value}' for key, value in about.items() if value)}\n")
    base = next((row.step_s for row in rows if row.plan == "bf16"), None)
    print(
        f"{'plan':26}{'load s':>7}{'weights':>9}{'predicted':>10}{'of predicted':>13}"
        f"{'load peak':>10}{'run peak':>9}{'predicted':>10}{'step s':>9}{'x bf16':>7}"
        f"{'varies':>8}{'rel. L2':>9}"
    )
    for row in rows:
        print(_line(row, base) if row.status == "ok" else f"{row.plan:26} {row.reason}")
    kinds = ", ".join(dict.fromkeys(row.peak_kind for row in rows if row.peak_kind))
    print(f"\nweights of the transformer and peaks of all in GiB; peaks are {kinds or 'not known'}")
    got = figures(rows, about)
    for name, (sign, bound) in AIMS.items():
        print(f"{name:24} aim {sign} {bound:<5} {_said(got[name], sign, bound)}")


def _line(row: Row, base: float | None) -> str:
    return (
        f"{row.plan:26}{_cell(row.load_s, 7, 2)}{_cell(row.weights_bytes, 9, 3, GIB)}"
        f"{_cell(row.predicted_weights_bytes, 10, 3, GIB)}{_percent(row.error, 13)}"
        f"{_cell(row.load_peak_bytes, 10, 2, GIB)}{_cell(row.run_peak_bytes, 9, 2, GIB)}"
        f"{_cell(row.predicted_peak_bytes, 10, 2, GIB)}{_cell(row.step_s, 9, 4)}"
        f"{_cell(_ratio(row.step_s, base), 7, 2)}{_percent(row.variation, 8)}"
        f"{_cell(row.rel_l2, 9, 4)}"
    )


def _cell(value: float | None, width: int, digits: int, unit: float = 1) -> str:
    return f"{'-':>{width}}" if value is None else f"{value / unit:{width}.{digits}f}"


def _percent(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:+{width}.2%}"


def _said(value: float | int | str | None, sign: str, bound: float) -> str:
    if not isinstance(value, int | float):
        return "not measured"
    met = value <= bound if sign == "<=" else value >= bound
    return f"{value:.4f}, {'met' if met else 'missed'}"


def write(rows: Iterable[Row], about: Mapping[str, str], path: Path) -> None:
    """Write the rows as CSV, each with the machine and the mark."""
    names = [field.name for field in fields(Row)]
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, [*names, *about, "note"], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            rounds = " ".join(f"{value:.6f}" for value in row.rounds_s)
            writer.writerow({**asdict(row), "rounds_s": rounds, **about, "note": MARK})
