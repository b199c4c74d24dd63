"""A twin in the place of the model that it stands for: its folder, and tables of its own shapes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from quantlab.catalog.models.schema import Component, Model
from tools.shapes import render, table
from tools.twins.families import FAMILIES

__all__ = ["as_model", "twin_of"]


def twin_of(model: Model) -> str:
    """The twin that stands for ``model``: its family's, of the pipeline that it has."""
    base = f"{model.family.id}-base"
    return base if base in FAMILIES and not model.distilled else model.family.id


def as_model(model: Model, folder: Path, tables: Path, repo: str = "") -> Model:
    """``model`` with the components of the twin in ``folder``, so that its needs are predicted.

    ``tables`` is a folder for its shape tables. ``repo`` is where a hub serves the twin; "" where
    it is read from ``folder``.
    """
    tables.mkdir(parents=True, exist_ok=True)
    return replace(
        model,
        local=not repo,
        source=repo or str(folder),
        components=tuple(_component(c, folder, tables) for c in model.components),
        prequantized=(),
        gguf=(),
    )


def _component(component: Component, folder: Path, tables: Path) -> Component:
    config = json.loads((folder / component.name / "config.json").read_text(encoding="utf-8"))
    path = tables / f"{component.name}.json"
    path.write_text(render(table(config)), encoding="utf-8")
    return replace(component, shapes=str(path.with_suffix("")), repo="", largest_file=None)
