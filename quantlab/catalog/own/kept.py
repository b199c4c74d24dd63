"""What is known of models of one's own, as it is kept in files of the cache folder.

lab/own describes a model; here the description is written and read back by whoever has the
catalogue, in this process and in those that it starts. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantlab.catalog.models.schema import (
    Component,
    Defaults,
    Licence,
    Limits,
    Model,
)
from quantlab.errors import CatalogError
from quantlab.families import Family

__all__ = ["Own", "defaults_text", "read_own"]


@dataclass(frozen=True)
class Own:
    """A described model, and by component the rows of its shape table and its config."""

    model: Model
    rows: Mapping[str, Sequence[Sequence[Any]]]
    configs: Mapping[str, Mapping[str, Any]]
    in_fp32: Mapping[str, Sequence[str]]
    """What stays in fp32, as in ``catalog.sizes.shapes.from_rows``."""
    decoding: Mapping[str, Mapping[str, Any]]
    """How each decodes, if it does: ``tile`` and ``slices`` of its table."""

    def as_json(self) -> str:
        """The description that ``read_own`` and the shape tables read."""
        components = {
            name: {
                "modules": rows,
                "config": self.configs[name],
                "in_fp32": self.in_fp32[name],
                **self.decoding.get(name, {}),
            }
            for name, rows in self.rows.items()
        }
        return json.dumps({"model": asdict(self.model), "components": components})


def defaults_text(model: Model) -> str:
    """Where the defaults of a model of one's own come from; nothing for a listed model."""
    d = model.defaults
    if not model.own:
        return ""
    values = (
        f"{d.steps} steps, guidance {d.guidance:g}, {d.width} x {d.height}, "
        f"{d.sequence_length} tokens, {model.base_dtype}."
    )
    if not model.like:
        return (
            f"No listed model is of its kind: it runs with what its class itself takes where "
            f"nothing is said, {values} {' '.join(model.notes)}"
        )
    return (
        f"Where nothing else is said it runs like {model.like}, the listed model nearest to it in "
        f"width: {values}"
    )


def read_own(descriptions: Iterable[tuple[str, Path]]) -> dict[str, Model]:
    """The models of ``descriptions``, ids with the files that ``Own.as_json`` was written to.

    Raises:
        CatalogError: a description is gone or broken.
    """
    models = {}
    for model_id, path in descriptions:
        try:
            models[model_id] = _model(json.loads(path.read_text(encoding="utf-8"))["model"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CatalogError(f"what is known of {model_id} is gone; start again") from error
    return models


def _model(values: Mapping[str, Any]) -> Model:
    """The model whose ``asdict`` went through JSON; what only listed ones have is empty."""
    described = values["described_family"]
    parts = {
        "components": tuple(Component(**_tuples(each)) for each in values["components"]),
        "licence": Licence(**values["licence"]),
        "defaults": Defaults(**values["defaults"]),
        "limits": Limits(**values["limits"]),
        "described_family": None if described is None else Family(**_tuples(described)),
    }
    return Model(**{**_tuples(values), **parts})


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where the values have tuples."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
