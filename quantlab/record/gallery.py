"""The gallery: comparisons that ship with the project, recorded by its own ``compare``.

A file a plan under data/gallery/, with where, when and with what it was measured, and a picture for
each prompt and seed. Scores are of the original pictures; those that ship are WebP, so pixels are
about right and no more. What was recorded with other weights or settings than the model has now, or
of a mix that was tuned anew, is stale and left out; a scheme without a file is not recorded yet,
and nothing else is wrong.

tools/gallery.py writes it.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.mixes import content_of
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.record.store.row import Stored, finite, input_key, to_row
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome

__all__ = [
    "FOLDER",
    "Contents",
    "First",
    "Gallery",
    "contents",
    "stale",
    "weights_digest",
    "written",
]

FOLDER = PROJECT / "data" / "gallery"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class First:
    """The picture of the first screen: ``base`` is the plan of 16 bits beside ``plans``."""

    prompt: str
    seed: int
    base: str
    plans: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """What is recorded, of each plan: the model, its reference, prompts and seeds."""

    model: str
    reference: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    first: First

    def comparison(self, plan: str, prompt: str, seed: int) -> Comparison:
        """The reference and ``plan`` with the model's own settings."""
        plans = list(dict.fromkeys((self.reference, plan)))
        return make_comparison(model=self.model, plans=plans, prompt=prompt, seed=seed)


@lru_cache(maxsize=4)
def contents(folder: Path = FOLDER) -> Contents:
    """What data/gallery/gallery.toml asks for."""
    data = tomllib.loads((folder / "gallery.toml").read_text(encoding="utf-8"))
    shown = data["first"]
    first = First(shown["prompt"], shown["seed"], shown["base"], tuple(shown["plans"]))
    prompts, seeds = tuple(data["prompts"]), tuple(data["seeds"])
    return Contents(data["model"], data["reference"], prompts, seeds, first)


def weights_digest(model: Model) -> str:
    """SHA-256 of all weights of a model that lies in a folder of the project."""
    digest = hashlib.sha256()
    for file in sorted((PROJECT / model.source).rglob("*.safetensors")):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def written(rows: Iterable[tuple[Stored, str]], weights: str) -> str:
    """The file of one plan as JSON; each row comes with the name of its picture's file.

    Device and versions are those of the first row: a plan is recorded in one go.
    """
    found = list(rows)
    first = found[0][0]
    catalog = load_catalog()
    model = catalog.models[first.comparison.model]
    document = {
        "plan": first.plan,
        "reference": str(first.comparison.plans[0]),
        "model": model.id,
        "revision": model.revision,
        "weights_sha256": weights,
        "mixes": _content([str(plan) for plan in first.comparison.plans], model, catalog),
        "device": first.device,
        "versions": first.versions,
        "results": [_entry(row, picture) for row, picture in found],
    }
    return json.dumps(finite(document), indent=1, allow_nan=False, default=str) + "\n"


def _entry(row: Stored, picture: str) -> dict[str, Any]:
    blank = Outcome(row.plan, "ok").as_dict()
    outcome = {**row.outcome.as_dict(), "image": None}
    return {
        "settings": dict(row.comparison.settings),
        "measured_at": row.measured_at,
        "picture": picture,
        "outcome": {name: value for name, value in outcome.items() if value != blank[name]},
    }


class Gallery:
    """The recorded results under ``folder``; read when first asked for, and kept."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    @property
    def contents(self) -> Contents:
        """What it is made of."""
        return contents(self._folder)

    @property
    def rows(self) -> tuple[Stored, ...]:
        """Every result that is not stale, without its picture."""
        return tuple(row for row, _ in _read(self._folder))

    def find(self, comparison: Comparison) -> list[Stored]:
        """The result of each plan that is recorded with these inputs, with its picture."""
        known = _by_key(self._folder)
        keys = (input_key(comparison, plan) for plan in comparison.plans)
        return [self._with_picture(*known[key]) for key in keys if key in known]

    def get(self, result: str) -> Stored | None:
        """The result of that id with its picture, or None."""
        found = next((pair for pair in _read(self._folder) if pair[0].id == result), None)
        return None if found is None else self._with_picture(*found)

    def webp(self, row: Stored) -> bytes:
        """The picture of a row as it ships."""
        name = next(picture for each, picture in _read(self._folder) if each.id == row.id)
        return (self._folder / name).read_bytes()

    def _with_picture(self, row: Stored, picture: str) -> Stored:
        return replace(row, image_png=_png(self._folder / picture))


@lru_cache(maxsize=256)
def _png(path: Path) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(file, format="PNG")
    return file.getvalue()


@lru_cache(maxsize=4)
def _read(folder: Path) -> tuple[tuple[Stored, str], ...]:
    """Rows and the files of their pictures, relative to ``folder``."""
    found: list[tuple[Stored, str]] = []
    for file in sorted(folder.glob("*.json")):
        document = json.loads(file.read_text(encoding="utf-8"))
        if reason := stale(document):
            log.warning("%s is left out of the gallery: %s", file.name, reason)
            continue
        found += [_row(document, entry) for entry in document["results"]]
    return tuple(found)


@lru_cache(maxsize=4)
def _by_key(folder: Path) -> Mapping[str, tuple[Stored, str]]:
    found = {}
    for row, picture in _read(folder):
        plan = row.comparison.plans[-1]
        found[input_key(row.comparison, plan)] = (row, picture)
    return found


def stale(document: Mapping[str, Any]) -> str:
    """Why a plan's file says nothing about the model as it is now; empty where it does."""
    model = load_catalog().models.get(document["model"])
    if model is None:
        return "its model is not listed any more"
    if model.revision != document["revision"]:
        return "its model has other weights now"
    held = _content([document["reference"], document["plan"]], model, load_catalog())
    if document.get("mixes", "") != held:
        return "its mix was tuned anew"
    defaults = vars(model.defaults)
    for entry in document["results"]:
        for key, value in entry["settings"].items():
            if defaults.get(key, value) not in (value, None):
                return f"{key} of its model is another one now"
    return ""


def _content(plans: Iterable[str], model: Model, catalog: Catalog) -> str:
    """A digest of the tuned mixes of these plans, "" where they have none."""
    read = [parse_plan(text, model, catalog) for text in plans]
    return content_of(scheme for plan in read for scheme in catalog.schemes_of(plan))


def _row(document: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[Stored, str]:
    catalog = load_catalog()
    model = catalog.models[document["model"]]
    texts = dict.fromkeys((document["reference"], document["plan"]))
    plans = tuple(parse_plan(text, model, catalog) for text in texts)
    comparison = Comparison.of(model.id, plans, entry["settings"])
    outcome = Outcome.from_dict({"plan": document["plan"], "status": "ok", **entry["outcome"]})
    where = document["device"], document["versions"], entry["measured_at"]
    row = Stored("", comparison, document["plan"], outcome, None, *where, shipped=True)
    return replace(row, id=str(to_row(row)["id"])), entry["picture"]
