"""Repositories whose components are stored quantized already, as data/models lists them.

One is taken where the plan asks for just that scheme and the base weights are not in the cache:
less is downloaded, and nothing is quantized here. It is used as it is, never quantized again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from quantlab.catalog.schema import Model, Scheme
from quantlab.errors import LoadError, PlanError, Unavailable
from quantlab.lab.hub import snapshot as hub

__all__ = ["fetch_ready", "ready_folder", "refuse_twice", "stored_quantized", "unquantized_layers"]


def fetch_ready(model: Model, name: str, scheme: Scheme, say: Callable[[str], None]) -> bool:
    """Get component ``name`` as it is stored in ``scheme``; False where the base weights serve.

    They do where no such repository is known, where they are in the cache already, and where the
    repository cannot be used, which ``say`` is told.
    """
    ready = _listed(model, name, scheme)
    if ready is None or hub.cached(model, [name]) is not None:
        return False
    try:
        hub.snapshot(ready, [name], say)
    except (LoadError, Unavailable) as error:
        say(f"{ready.source} cannot be used ({error}); taking the base weights")
        return False
    return True


def ready_folder(model: Model, name: str, scheme: Scheme) -> tuple[str, Path] | None:
    """The repository and the folder that ``fetch_ready`` got, or None where it said False."""
    ready = _listed(model, name, scheme)
    if ready is None or hub.cached(model, [name]) is not None:
        return None
    folder = hub.cached(ready, [name])
    return None if folder is None else (ready.source, folder)


def _listed(model: Model, name: str, scheme: Scheme) -> Model | None:
    """The model with a pre-quantized repository in the place of its own, or None."""
    for ready in () if model.local else model.prequantized:
        if ready.schemes.get(name) == scheme.id:
            return replace(model, source=ready.repo, revision="main")
    return None


def stored_quantized(folder: Path, name: str) -> bool:
    """Whether component ``name`` of ``folder`` is stored quantized."""
    return bool(_stored_config(folder, name))


def unquantized_layers(folder: Path, name: str) -> tuple[str, ...]:
    """Patterns of the layers that whoever stored component ``name`` left at full width."""
    config = _stored_config(folder, name)
    names: list[str] = []
    for key in ("llm_int8_skip_modules", "modules_to_not_convert"):
        names += config.get(key) or []
    return tuple(pattern for layer in names for pattern in (layer, f"{layer}.*"))


def refuse_twice(folder: Path, name: str, scheme: Scheme) -> None:
    """A component that is stored quantized must be used as it is.

    Raises:
        PlanError: it is, and ``scheme`` would quantize it again.
    """
    if stored_quantized(folder, name):
        raise PlanError(f"{name} is stored quantized already; {scheme.id} would quantize it twice")


def _stored_config(folder: Path, name: str) -> dict[str, list[str] | None]:
    path = folder / name / "config.json"
    if not path.exists():
        return {}
    config = json.loads(path.read_text(encoding="utf-8"))
    return dict(config.get("quantization_config") or {})
