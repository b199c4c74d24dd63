"""The summary of a sweep to take away: CSV with everything, or a Markdown table of medians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantlab.record.results.export import Row, Table, Value, to_csv, to_markdown
from quantlab.record.sweeps.statistics import Spread, Summary
from quantlab.words.metrics import SCORES, metric
from quantlab.words.settings import SETTINGS, described
from quantlab.words.units import MIB

__all__ = ["ENDINGS", "summary_text"]

ENDINGS = (".csv", ".md")
"""Of files that hold one."""


def summary_text(
    suffix: str, rows: Sequence[Row], plans: Sequence[Summary], floor: Summary | None
) -> str:
    """CSV for the suffix ".csv", else Markdown. ``rows`` are what was summed up."""
    named = [("plan", plan) for plan in plans] + ([("again", floor)] if floor else [])
    if suffix.lower() == ".csv":
        return to_csv([{"role": role, **_flat(plan.as_dict())} for role, plan in named])
    return to_markdown([Table(_caption(rows), [_cells(role, plan) for role, plan in named])])


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """A spread becomes columns such as ``latency_s_median``; one that is not known has none."""
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}_")
        else:
            found[prefix + name] = value
    return found


def _caption(rows: Sequence[Row]) -> str:
    c, machine = rows[0].comparison, rows[0]
    pairs = len({(row.comparison.prompt, row.comparison.seed) for row in rows})
    where = dict.fromkeys(str(row.device.get("name", "an unknown machine")) for row in rows)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    said = ", ".join(described(dict(c.settings), [r.key for r in SETTINGS if r.swept]))
    return (
        f"{c.model}, {pairs} pairs of prompt and seed, {said}, reference {c.plans[0]}. "
        f"Medians over the pairs with 95 % bootstrap intervals. Measured on "
        f"{', '.join(where)} until {max(row.measured_at for row in rows)[:10]}; {versions}."
    )


def _cells(role: str, plan: Summary) -> dict[str, Value]:
    weights, peak = metric("weights_bytes"), metric("peak_bytes")
    return {
        "plan": plan.plan + (" (again, the noise floor)" if role == "again" else ""),
        "pairs": plan.pairs,
        weights.titled(): _mib(plan.weights_bytes),
        peak.titled(): _mib(plan.peak_bytes),
        "load (s)": plan.load_s,
        "latency (s)": _interval(plan.latency_s),
        "x reference": _interval(plan.latency_ratio),
        **{row.titled(): _interval(plan.scores[row.key]) for row in SCORES},
        "identical": plan.identical,
        "Pareto front": "yes" if plan.pareto else "",
        "failed": f"{plan.failed}; {plan.error}" if plan.failed else "",
    }


def _mib(count: int | None) -> str:
    return "" if count is None else f"{count / MIB:.1f}"


def _interval(spread: Spread | None) -> str:
    if spread is None:
        return ""
    if spread.low is None or spread.high is None:
        return f"{spread.median:.4g}"
    return f"{spread.median:.4g} ({spread.low:.4g} to {spread.high:.4g})"
