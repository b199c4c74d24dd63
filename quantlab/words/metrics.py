"""Metrics: what is measured of a plan, one row each.

Two kinds. Costs are bytes and seconds that an outcome has by name. Scores say how far a plan is
from the reference; an outcome keeps them by key, and those of images name the function that gives
them. Tables of the command line, CSV and Markdown, the page, pictures, sweeps and what an import
takes are made of these rows: a new score of images is one more row at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from quantlab.words.units import MIB

__all__ = ["COSTS", "METRICS", "SCORES", "Metric", "in_words", "metric"]


@dataclass(frozen=True)
class Metric:
    """One metric. ``key`` names it in JSON, CSV, Python, and data/bands.toml."""

    key: str
    label: str
    """Of its column in tables with room."""
    unit: Literal["", "bytes", "s", "dB"] = ""
    best: Literal["low", "high"] = "low"
    short: str = ""
    """Of its column where there is little room; empty: the label."""
    form: str = ".4f"
    """How a number is printed there, in MiB where it is bytes."""
    said: str = ""
    """A score in words: a format of the number."""
    fine: str = ".5f"
    """How a score is printed where all is told."""
    image: str = ""
    """Dotted path of the function that gives it: (image, reference) -> float or None, both uint8 of
    shape (height, width, 3). It is not called for identical images."""
    equal: float | None = None
    """What identical images count as where many are put together; None: they are left out."""
    banded: bool = False
    """Whether data/bands.toml has words for it."""
    over: Literal["median", "max", "first"] = "median"
    """What stands for many runs of a plan."""
    tabled: bool = True
    """Whether the command line's tables have it."""
    bounds: tuple[float, float] = (0.0, 1e300)
    """What an import takes."""

    @property
    def head(self) -> str:
        """Of its column on the command line: ``weights MiB``."""
        unit = "MiB" if self.unit == "bytes" else self.unit
        return f"{self.short or self.label} {unit}".strip()

    def titled(self, unit: str = "MiB") -> str:
        """Of its column in tables to take away, where bytes are in ``unit``: ``PSNR (dB)``."""
        shown = unit if self.unit == "bytes" else self.unit
        return f"{self.label} ({shown})" if shown else self.label

    def cell(self, value: float | None) -> str:
        """A number in a table of the command line."""
        if value is None:
            return "-"
        return format(value / MIB if self.unit == "bytes" else value, self.form)


COSTS = (
    Metric("weights_bytes", "weights", "bytes", form=".1f", over="first"),
    Metric("peak_bytes", "peak", "bytes", form=".0f", over="max"),
    Metric("load_s", "load", "s", form=".3f", over="first", tabled=False),
    Metric("latency_s", "latency", "s", form=".3f"),
    Metric("encode_s", "encode prompt", "s", form=".4f", tabled=False),
    Metric("step_s", "one step", "s", short="step", form=".4f"),
    Metric("decode_s", "decode image", "s", form=".4f", tabled=False),
)
"""In the order of tables."""

SCORES = (
    Metric(
        "psnr_db",
        "PSNR",
        "dB",
        best="high",
        form=".1f",
        said="{:.1f} dB PSNR",
        fine=".2f",
        image="quantlab.lab.bench.fidelity.psnr",
        banded=True,
        bounds=(-1000.0, 1000.0),
    ),
    Metric(
        "ssim",
        "SSIM",
        best="high",
        said="SSIM {:.4f}",
        image="quantlab.lab.bench.fidelity.ssim",
        equal=1.0,
        banded=True,
        bounds=(-1.0, 1.0),
    ),
    Metric(
        "transformer_rel_l2",
        "transformer rel. L2",
        short="rel L2",
        said="one step {:.2%} off",
        banded=True,
    ),
    Metric(
        "flip",
        "FLIP",
        said="FLIP {:.4f}",
        image="quantlab.lab.bench.flip.flip",
        equal=0.0,
        bounds=(0.0, 1.0),
    ),
    Metric(
        "lpips",
        "LPIPS",
        said="LPIPS {:.4f}",
        image="quantlab.lab.bench.lpips.lpips",
        tabled=False,
    ),
)
"""The first says most; pictures, plots and the Pareto front go by it."""

METRICS = (*COSTS, *SCORES)


def metric(key: str) -> Metric:
    """The row called ``key``.

    Raises:
        KeyError: there is none.
    """
    return {row.key: row for row in METRICS}[key]


def in_words(scores: Mapping[str, float]) -> dict[str, str]:
    """Each known score in words, by key: ``31.2 dB PSNR``."""
    known = {row.key: row for row in SCORES if row.key in scores}
    return {key: row.said.format(scores[key]) for key, row in known.items()}
