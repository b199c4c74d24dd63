"""Times of pictures as values: published ones and our own, with models.toml and the cards' figures.

data/latency/published.csv holds what others published, data/results/gpu-*-latency.csv what was
measured by benchmarks/gpu_day.

Columns of both: ``timing`` is the class of the scheme in constants.toml, ``scheme`` its
name; ``passes`` of the denoiser a step; ``text_tokens`` where they are not the model's usual ones;
``moved_gb`` what offloading brings to the card, 10**9 bytes. ``seconds_total`` is a whole call,
else ``seconds_per_step`` a step. ``trust``: A maker's or maintainer's benchmark with its method, B
a stated setting, C something was inferred or rounded, D too little is stated, X no card of the kind
can have reached it. ``fit``: yes; test: of another model than those fitted, or with inferred
settings: only ever predicted; other: other kernels than diffusers'; offload: part of the weights is
streamed; no: see the note.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.time import (
    Card,
    Denoiser,
    Encoder,
    Mode,
    Placement,
    Run,
    Streams,
    Work,
    card_of,
)
from quantlab.errors import InputError

__all__ = ["DIFFUSERS", "FILES", "Row", "cards", "read_rows"]

FOLDER = PROJECT / "data" / "latency"
FILES = (FOLDER / "published.csv", *sorted((PROJECT / "data/results").glob("gpu-*-latency.csv")))
DIFFUSERS = ("diffusers", "xdit", "bfl")
"""Programs that run diffusers' code or what it was ported from, eager or by torch.compile."""

PIXELS = 16
"""Pixels of a side for each image token, in every model of models.toml."""


@dataclass(frozen=True)
class Row:
    """One published time. ``per_step``: ``seconds`` are those of a single step."""

    model: str
    gpu: str
    scheme: str
    tool: str
    trust: str
    fit: str
    source: str
    work: Work
    run: Run
    seconds: float
    per_step: bool

    @property
    def geforce(self) -> bool:
        """Whether the card is a GeForce: ``rtx-4090-24gb``, not ``rtx-6000-ada-48gb``."""
        number = self.gpu.removeprefix("rtx-").partition("-")[0]
        return self.gpu.startswith("rtx-") and number.isdigit() and "-ada" not in self.gpu

    def name(self) -> str:
        """The row in one line."""
        size = f"{self.work.image_tokens} tokens x {self.work.batch}"
        where = "" if self.run.placement is Placement.RESIDENT else f" {self.run.placement}"
        return f"{self.model} {self.scheme} {self.run.mode}{where} {size}, {self.tool}"


def read_rows(*paths: Path) -> list[Row]:
    """The rows of ``paths``, or of ``FILES``, whose model is in models.toml and steps are known.

    Raises:
        InputError: a column is missing or a value is none of its kind.
    """
    return [row for path in paths or FILES for row in _read(path)]


def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as lines:
        read = list(csv.DictReader(lines))
    models = _models()
    try:
        return [
            _row(line, models[line["model"]])
            for line in read
            if line["model"] in models and (line["steps"] or line["seconds_per_step"])
        ]
    except (KeyError, ValueError) as error:
        raise InputError(path.name, f"a column or value is wrong: {error}") from error


@lru_cache(maxsize=1)
def cards() -> Mapping[str, Card]:
    """The cards of data/gpus by id."""
    return {gpu.id: card_of(gpu) for gpu in load_gpus().values()}


@lru_cache(maxsize=1)
def _models() -> Mapping[str, Mapping[str, Any]]:
    tables = tomllib.loads((FOLDER / "models.toml").read_text(encoding="utf-8"))
    return {
        name: {
            **table,
            "denoiser": Denoiser(
                Streams(**table["streams"]),
                *(table[key] for key in ("width", "heads", "head_dim", "blocks")),
            ),
        }
        for name, table in tables.items()
    }


def _row(line: Mapping[str, str], model: Mapping[str, Any]) -> Row:
    per_step = not line["seconds_total"]
    width, height, batch = (int(line[key]) for key in ("width", "height", "batch"))
    encoders = () if per_step else _encoders(model["encoders"], line)
    work = Work(
        denoiser=model["denoiser"],
        image_tokens=(width // PIXELS) * (height // PIXELS),
        text_tokens=int(line["text_tokens"] or model["text_tokens"]),
        steps=1 if per_step else int(line["steps"]),
        decoded_pixels=width * height * batch,
        batch=batch,
        passes=int(line["passes"]),
        encoders=encoders,
    )
    run = Run(
        timing=line["timing"],
        mode=Mode(line["mode"]),
        placement=_placement(line["placement"]),
        dtype="fp16" if line["scheme"] == "fp16" else "bf16",
        moved_bytes=round(float(line["moved_gb"] or 0) * 1e9),
    )
    seconds = float(line["seconds_per_step"] if per_step else line["seconds_total"])
    names = ("model", "gpu", "scheme", "tool", "trust", "fit", "source")
    kept = {name: line[name] for name in names}
    return Row(**kept, work=work, run=run, seconds=seconds, per_step=per_step)


def _placement(text: str) -> Placement:
    """Other programs stream what does not fit, as group offload does."""
    return Placement(text) if text in [*Placement] else Placement.GROUP_OFFLOAD


def _encoders(listed: Sequence[Mapping[str, int]], line: Mapping[str, str]) -> tuple[Encoder, ...]:
    """The largest encoder has the row's scheme, the others none; the prompt counts once a pass."""
    largest = max(listed, key=lambda one: one["parameters"])
    passes = int(line["passes"])
    return tuple(
        Encoder(
            one["parameters"],
            one["tokens"] * passes,
            line["text_encoder_timing"] if one is largest else "none",
        )
        for one in listed
    )
