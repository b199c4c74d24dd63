"""Loading one component: from a key to a module that holds its scheme, verified and counted.

How that is done is the way's (load/way.py); load/pool.py keeps what is loaded here and puts
pipelines together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog
from quantlab.errors import LoadError, PlanError, QuantlabError, first_line
from quantlab.lab.hub.files import quantization_config
from quantlab.lab.keep.variants import RELOADED, Variant, Variants
from quantlab.lab.libraries import resolve
from quantlab.lab.load import place
from quantlab.lab.load.blocks.files import ByComponent
from quantlab.lab.load.keys import Key
from quantlab.lab.load.part import Base, Loaded, Part, part_of
from quantlab.lab.load.trim import trim
from quantlab.lab.load.way import Way, way_of
from quantlab.lab.load.weights import flatten_inputs, stored_bytes, verify

__all__ = ["Held", "Reader"]

Say = Callable[[str], None]


@dataclass
class Held:
    """A loaded component, what loading it took, and whether its blocks are compiled whole.

    ``whole_blocks`` is whether they can be.
    """

    module: Any
    seconds: float
    bytes: int
    how: str
    whole_blocks: bool
    fullgraph: bool | None = None
    notes: tuple[str, ...] = ()


class Reader:
    """Reads components of models, each from its files, for a device of torch's name ``target``.

    ``variants`` is where quantized components are kept on disk, or None where nobody asked for it.
    """

    def __init__(self, catalog: Catalog, target: str, variants: Variants | None = None) -> None:
        self._catalog, self._target, self._variants = catalog, target, variants
        self._bases: dict[str, Base] = {}

    def fetch(
        self, model: Model, keys: Mapping[str, Key], say: Say, used: Collection[str] = ()
    ) -> None:
        """Have all files here that reading ``keys`` takes, in a pipeline with components ``used``.

        Raises:
            LoadError, Unavailable: as ``hub.snapshot`` does.
        """
        base = self._base(model)
        if model.local or (base.folder and not keys):
            base.fetch((), say, used)
            return
        if self._variants:
            base.fetch((), say, used)  # the configs alone tell the commit
        parts = [self._part(model, key) for key in keys.values()]
        missing = [p for p in parts if not ((kept := self._variant(p)) and kept.here())]
        base.fetch([p.component.name for p in missing if _wants(p, say)], say, used)

    def extras(self, model: Model, used: Collection[str]) -> Mapping[str, Any]:
        """What the pipeline's class takes besides ``used``, its components with weights."""
        return self._base(model).extras_for(used)

    def config_of(self, model: Model, name: str) -> tuple[Any, str]:
        """The class of a component, and the folder that holds its config."""
        component = model.component(name)
        assert component is not None
        cls = resolve(f"{component.library}.{component.cls}")
        return cls, str(self._base(model).at(name))

    def read(self, model: Model, key: Key, kind: str, say: Say) -> Held:
        """Load a component, on the device where placement ``kind`` keeps it there.

        Raises:
            LoadError: it could not be loaded or quantized, or holds something else.
            PlanError: it is stored quantized, and the plan would do it again.
        """
        part = self._part(model, key, kind)
        say(_doing(part))
        variant = self._variant(part)
        here = variant is not None and variant.here()
        home = part.device if kind == "resident" else "cpu"
        resolve(part.cls)  # its import is not the plan's load time
        started = time.perf_counter()
        try:
            found = variant.take() if variant and here else None
            if here and not found:  # damaged, and its base may not have been fetched
                self.fetch(model, {part.component.name: key}, say)
            way = way_of(part)
            loaded = Loaded(found.module, RELOADED) if found else _load(way, part)
            place.clear([loaded.module])  # accelerate hooks what bitsandbytes has put on a device
            place.onto(loaded.module, home)
        except QuantlabError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {first_line(error)}"
            raise LoadError(f"{part.component.name}: {said}") from error
        if part.scheme is not None:
            kept = (*loaded.spared, *part.kept)
            verify(loaded.module, part.scheme, part.component.name, kept)
            if part.scheme.flat_inputs:
                flatten_inputs(loaded.module)
        seconds = time.perf_counter() - started
        notes = found.notes if found else ()
        if variant and not found and way.quantizes:
            notes = variant.keep(loaded.module, home, say)
        size = stored_bytes(loaded.module)
        return Held(loaded.module, seconds, size, loaded.how, way.whole_blocks(part), notes=notes)

    def _base(self, model: Model) -> Base:
        kind = ByComponent if model.family.modular else Base
        return self._bases.setdefault(model.id, kind(model))

    def _part(self, model: Model, key: Key, kind: str = "cpu") -> Part:
        return part_of(key, model, self._catalog, self._target, kind, self._base(model))

    def _variant(self, part: Part) -> Variant | None:
        if self._variants is None or part.scheme is None or part.lora is not None or part.trimmed:
            return None
        return self._variants.variant(part, self._catalog)


def _load(way: Way, part: Part) -> Loaded:
    """Have ``way`` load it; what is stored quantized is used as it is."""
    name, scheme = part.component.name, part.scheme
    if scheme is not None and quantization_config(part.files().at(name)):
        raise PlanError(f"{name} is stored quantized already; {scheme.id} would quantize it twice")
    loaded = way.load(part)
    if part.trimmed:
        trim(loaded.module, part.component.idle)
    if part.lora is None:
        return loaded
    return Loaded(loaded.module, f"{loaded.how}, after fusing", loaded.spared)


def _wants(part: Part, say: Say) -> bool:
    """Whether the model's own weights of ``part`` are needed."""
    return not part.component.file and way_of(part).fetch(part, say)


def _doing(part: Part) -> str:
    name, scheme = part.component.name, part.scheme
    if scheme is None:
        return f"loading {name}"
    once = "; the first time on a machine this builds a kernel, which takes minutes"
    return f"quantizing {name} to {scheme.id}{once if 'compiler' in scheme.requires else ''}"
