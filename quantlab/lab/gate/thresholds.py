"""What a plan must hold: limits of metrics, from a TOML file or a mapping of the same shape.

    [psnr_db]
    min = 35.0

    [transformer_rel_l2]
    max = 0.05

Keys are those of ``words.metrics.METRICS``; what is best high has a ``min``, the rest a ``max``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.errors import InputError
from quantlab.words.metrics import METRICS, Metric

__all__ = ["Threshold", "read_thresholds", "thresholds_of"]


@dataclass(frozen=True)
class Threshold:
    """The least or the most that a metric may be, in its own unit."""

    metric: Metric
    limit: float

    @property
    def word(self) -> str:
        """ "min" or "max"."""
        return "min" if self.metric.best == "high" else "max"

    def passed(self, value: float, floor: float) -> bool:
        """Whether ``value`` is within it, or past it by no more than the noise does.

        ``floor`` is what the metric is for the reference held against itself. In dB noise adds its
        squared error to that of the limit; elsewhere its distance from a perfect score counts.
        """
        if self.metric.unit == "dB":
            return value >= _with_noise_db(self.limit, floor)
        if self.metric.best == "high":
            return value >= self.limit - (1 - floor)
        return value <= self.limit + floor


def read_thresholds(path: Path) -> tuple[Threshold, ...]:
    """The limits that the file at ``path`` sets.

    Raises:
        InputError: it cannot be read, or names what is no metric or no limit.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or f"it is not TOML: {error}"
        raise InputError("thresholds", f"{path} cannot be read: {reason}") from None
    return thresholds_of(values)


def thresholds_of(values: Mapping[str, Any]) -> tuple[Threshold, ...]:
    """The limits in ``values``, such as ``{"psnr_db": {"min": 35}}``.

    Raises:
        InputError: names what is wrong.
    """
    known = {row.key: row for row in METRICS}
    found = []
    for key, limits in values.items():
        if key not in known:
            raise InputError("thresholds", f"{key!r:.42} is no metric; known: {', '.join(known)}")
        threshold = Threshold(known[key], math.nan)
        word = threshold.word
        limit = limits.get(word) if isinstance(limits, Mapping) and len(limits) == 1 else None
        if isinstance(limit, bool) or not isinstance(limit, int | float):
            raise InputError("thresholds", f"[{key}] takes {word} = NUMBER and nothing else")
        if not math.isfinite(limit):
            raise InputError("thresholds", f"[{key}] {word} is {limit}")
        found.append(Threshold(known[key], float(limit)))
    if not found:
        raise InputError("thresholds", "are empty; at least one metric is needed")
    return tuple(found)


def _with_noise_db(limit: float, floor: float) -> float:
    """The PSNR of a picture at ``limit`` dB with noise of ``floor`` dB on it."""
    error = 10 ** (-limit / 10) + (0.0 if math.isinf(floor) else 10 ** (-floor / 10))
    return -10 * math.log10(error)
