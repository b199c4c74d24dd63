"""A repository whose components are stored quantized already, as the model's file lists them.

One is taken where the plan asks for just that scheme and the base weights are not in the cache:
less is downloaded, and nothing is quantized here. It is used as it is, never quantized again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from quantlab.catalog.schema import Model
from quantlab.errors import LoadError, Unavailable
from quantlab.lab.hub import snapshot as hub
from quantlab.lab.hub.files import quantization_config
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way

__all__ = ["WAY", "unquantized_layers"]


class _Stored(Way):
    fuses = False
    quantizes = False

    def stands_in(self, part: Part) -> bool:
        """Also no where diffusers refuses the scheme, and where a LoRA goes into base weights."""
        if part.base is None or part.by_library or part.lora is not None:
            return False
        return _listed(part) is not None and not hub.cached(part.model, [part.component.name])

    def fetch(self, part: Part, say: Callable[[str], None]) -> bool:
        """True, too, where the repository cannot be used, which ``say`` is told."""
        ready = _repository(part)
        try:
            hub.snapshot(ready, [part.component.name], say)
        except (LoadError, Unavailable) as error:
            say(f"{ready.source} cannot be used ({error}); taking the base weights")
            return True
        return False

    def load(self, part: Part) -> Loaded:
        ready, name = _repository(part), part.component.name
        folder = hub.cached(ready, [name])
        if folder is None:
            raise LoadError(f"{ready.source} is not in the hub's cache any more; run again")
        how = f"stored quantized in {ready.source}"
        module = part.files().read(part, folder=str(folder))
        return Loaded(module, how, unquantized_layers(folder, name))


def _listed(part: Part) -> Model | None:
    """The model with a pre-quantized repository in the place of its own, or None."""
    model, scheme = part.model, part.scheme
    for ready in () if model.local or scheme is None else model.prequantized:
        if ready.schemes.get(part.component.name) == part.known.id:
            return replace(model, source=ready.repo, revision="main")
    return None


def _repository(part: Part) -> Model:
    found = _listed(part)
    assert found is not None
    return found


def unquantized_layers(folder: Path, name: str) -> tuple[str, ...]:
    """Patterns of the layers that whoever stored component ``name`` left at full width."""
    config = quantization_config(folder / name)
    names: list[str] = []
    for key in ("llm_int8_skip_modules", "modules_to_not_convert"):
        names += config.get(key) or []
    return tuple(pattern for layer in names for pattern in (layer, f"{layer}.*"))


WAY = _Stored()
