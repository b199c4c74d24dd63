"""Loading one component: from a scheme's name to a module that holds it, verified and counted.

load/pool.py keeps what is loaded here and puts pipelines together. A truly new way of loading is
one more branch of ``Reader._read``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.catalog.schema import HARDWARE, Model, Scheme
from quantlab.catalog.table import Catalog
from quantlab.errors import LoadError, QuantlabError, first_line
from quantlab.lab.hub.fetching import fetch, refused_here
from quantlab.lab.hub.ready import ready_folder, refuse_twice, unquantized_layers
from quantlab.lab.keep.variants import RELOADED, Variant, Variants
from quantlab.lab.libraries import device, resolve
from quantlab.lab.load import place
from quantlab.lab.load.keys import DTYPES, Key
from quantlab.lab.load.weights import stored_bytes, verify
from quantlab.lab.lora import file as lora_file
from quantlab.lab.ways import apply
from quantlab.lab.ways.config import build, pipeline_config, spec_for
from quantlab.lab.ways.gguf_files import gguf_file

__all__ = ["Held", "Reader", "quantizes_on"]

WAYS = {
    "config": "PipelineQuantizationConfig",
    "library": "the library, on the loaded component",
    "gguf": "from_single_file",
    "layerwise": "enable_layerwise_casting",
    "cast": "cast",
}
Say = Callable[[str], None]


@dataclass
class Held:
    """A loaded component, what loading it took, and whether its blocks are compiled whole."""

    module: Any
    seconds: float
    bytes: int
    way: str
    fullgraph: bool | None = None
    notes: tuple[str, ...] = ()


class Reader:
    """Reads components of models; remembers the parts that have no weights, such as tokenizers.

    ``variants`` is where quantized components are kept on disk, or None where nobody asked for it.
    """

    def __init__(self, catalog: Catalog, variants: Variants | None = None) -> None:
        self._catalog, self._variants = catalog, variants
        self._extras: dict[str, dict[str, Any]] = {}
        self._folders: dict[str, str] = {}

    def fetch(self, model: Model, keys: Mapping[str, Key], say: Say) -> None:
        """Have all files here that reading ``keys`` takes."""
        if keys or model.id not in self._folders:
            # What a LoRA is fused into are the base weights, whatever they become then.
            wanted = {
                n: None if k.lora else self._catalog.schemes.get(k.scheme or "")
                for n, k in keys.items()
            }
            if self._variants and not model.local:
                self._folders[model.id] = fetch(model, {}, say)  # configs alone tell the commit
                found = {n: self._variant(model, n, keys[n], s) for n, s in wanted.items()}
                kept = {n for n, variant in found.items() if variant and variant.here()}
                wanted = {n: s for n, s in wanted.items() if n not in kept}
            self._folders[model.id] = fetch(model, wanted, say)

    def extras(self, model: Model) -> Mapping[str, Any]:
        """What the pipeline's class takes besides the components with weights."""
        return self._extras[model.id]

    def read(self, model: Model, name: str, key: Key, kind: str, say: Say) -> Held:
        """Load component ``name``, on the device where placement ``kind`` keeps it there.

        Raises:
            LoadError: it could not be loaded or quantized, or holds something else.
            PlanError: it is stored quantized, and the plan would do it again.
        """
        scheme = self._catalog.schemes.get(key.scheme or "")
        say(_doing(name, scheme))
        component = model.component(name)
        assert component is not None
        variant = self._variant(model, name, key, scheme)
        here = variant is not None and variant.here()
        home = device() if kind == "resident" else "cpu"
        resolve(f"{component.library}.{component.cls}")  # its import is not the plan's load time
        started = time.perf_counter()
        try:
            found = variant.take() if variant and here else None
            if found:
                module, way, kept = found.module, RELOADED, tuple[str, ...]()
            else:
                if here:  # and damaged: its base may not have been fetched
                    self.fetch(model, {name: key}, say)
                module, way, kept = self._read(model, name, key, kind, scheme)
            place.clear([module])  # accelerate hooks what bitsandbytes has put on a device
            place.onto(module, home)
        except QuantlabError:
            raise
        except Exception as error:
            raise LoadError(f"{name}: {type(error).__name__}: {first_line(error)}") from error
        if scheme is not None:
            verify(module, scheme, name, kept)
        seconds = time.perf_counter() - started
        notes = found.notes if found else ()
        if variant and way == WAYS["config"]:
            notes = variant.keep(module, home, say)
        return Held(module, seconds, stored_bytes(module), way, notes=notes)

    def _variant(self, model: Model, name: str, key: Key, scheme: Scheme | None) -> Variant | None:
        component = model.component(name)
        if self._variants is None or scheme is None or component is None or key.lora:
            return None
        method, folder = self._catalog.methods[scheme.method], Path(self._folders[model.id])
        where = (folder, key.dtype, device())
        return self._variants.variant(model, component, scheme, method, *where)

    def _read(
        self, model: Model, name: str, key: Key, kind: str, scheme: Scheme | None
    ) -> tuple[Any, str, tuple[str, ...]]:
        """The module, the way it was loaded, and the layers that a ready file left alone."""
        dtype, folder = resolve(key.dtype), self._folders[model.id]
        if scheme is None:
            module = self._from_pretrained(model, name, dtype)
            if key.scheme is not None:
                apply.cast_component(module, resolve(DTYPES[key.scheme]), dtype)
                return module, WAYS["cast"], ()
            return module, "from_pretrained", ()
        refuse_twice(Path(folder), name, scheme)
        if key.lora is not None:
            return (
                self._fused(model, name, key, kind, scheme),
                f"{WAYS[scheme.way]}, after fusing",
                (),
            )
        if scheme.way == "gguf":
            return (
                self._from_gguf(model, name, key, scheme),
                WAYS["gguf"],
                model.gguf_keeps(scheme.id),
            )
        if scheme.way == "layerwise":
            module = self._from_pretrained(model, name, dtype)
            _cast_layerwise(module, scheme, dtype)
            return module, WAYS["layerwise"], ()
        ready = None if refused_here(model, name, scheme) else ready_folder(model, name, scheme)
        if ready is not None:
            repo, stored = ready
            module = self._from_pretrained(model, name, dtype, folder=str(stored))
            return module, f"stored quantized in {repo}", unquantized_layers(stored, name)
        return *self._quantized(model, name, key, kind, scheme), ()

    def _quantized(
        self, model: Model, name: str, key: Key, kind: str, scheme: Scheme
    ) -> tuple[Any, str]:
        """Base weights, quantized: by the library where diffusers refuses, else by a config."""
        component, dtype = model.component(name), resolve(key.dtype)
        assert component is not None
        spec = spec_for(scheme, component.library)
        if refused_here(model, name, scheme):
            module = self._from_pretrained(model, name, dtype)
            skip = scheme.skip.get(component.cls, ())
            args = dict(spec.args) | {"compute_dtype": dtype, "skip": skip}
            apply.quantize_with_bitsandbytes(module, **args)
            return module, WAYS["library"]
        config = pipeline_config({name: (spec, key.dtype)})
        more = {"quantization_config": config, **_device_map(scheme, kind)}
        return self._from_pretrained(model, name, dtype, **more), WAYS["config"]

    def _fused(self, model: Model, name: str, key: Key, kind: str, scheme: Scheme) -> Any:
        """A component whose base weights took a LoRA before they were quantized."""
        component, dtype = model.component(name), resolve(key.dtype)
        assert component is not None
        assert key.lora is not None
        more = _device_map(scheme, kind) if scheme.way == "config" else {}
        if scheme.way == "config":
            more["quantization_config"] = build(spec_for(scheme, component.library), key.dtype)
        with lora_file.fused(self._pipe(model, name, dtype), key.lora, model) as folder:
            cls = resolve(f"{component.library}.{component.cls}")
            module = cls.from_pretrained(folder, dtype=dtype, **more).eval()
        if scheme.way == "layerwise":
            _cast_layerwise(module, scheme, dtype)
        return module

    def _from_pretrained(
        self, model: Model, name: str, dtype: Any, folder: str | None = None, **more: Any
    ) -> Any:
        """Load one component through the pipeline's ``from_pretrained``, nothing else."""
        return self._pipe(model, name, dtype, folder, **more).components[name].eval()

    def _pipe(
        self, model: Model, name: str, dtype: Any, folder: str | None = None, **more: Any
    ) -> Any:
        """A pipeline whose only component with weights is ``name``."""
        others = {c.name: None for c in model.components if c.name != name}
        known = self._extras.get(model.id, {}) if folder is None else {}
        pipe = resolve("diffusers.DiffusionPipeline").from_pretrained(
            folder or self._folders[model.id], dtype=dtype, **others, **known, **more
        )
        if folder is None:
            self._extras[model.id] = _weightless(pipe, model)
        return pipe

    def _from_gguf(self, model: Model, name: str, key: Key, scheme: Scheme) -> Any:
        component = model.component(name)
        assert component is not None
        return resolve(f"diffusers.{component.cls}").from_single_file(
            gguf_file(model, name, scheme),
            config=self._folders[model.id],
            subfolder=name,
            quantization_config=build(spec_for(scheme, "diffusers"), key.dtype),
            dtype=resolve(key.dtype),
        )


def _cast_layerwise(module: Any, scheme: Scheme, dtype: Any) -> None:
    storage = resolve(str(spec_for(scheme, "diffusers").args["storage_dtype"]))
    module.enable_layerwise_casting(storage_dtype=storage, compute_dtype=dtype)


def _device_map(scheme: Scheme, kind: str) -> dict[str, Any]:
    where = quantizes_on(scheme, kind, device())
    return {} if where is None else {"device_map": where}


def quantizes_on(scheme: Scheme, kind: str, target: str) -> str | None:
    """The device on which a config quantizes while it loads, or None for host memory.

    A GPU is several times faster at it. With group offload the component may not fit there, so
    that only schemes whose kernels are on the GPU alone are quantized there.
    """
    if target not in ("cuda", "xpu"):
        return None
    bound = any(text.partition(">=")[0] in HARDWARE for text in scheme.requires)
    return target if bound or kind in ("resident", "model-offload") else None


def _weightless(pipe: Any, model: Model) -> dict[str, Any]:
    """A pipeline's parts without weights, and its settings, such as Flux2's ``is_distilled``."""
    weighty = {c.name for c in model.components}
    parts = {n: p for n, p in pipe.components.items() if n not in weighty and p is not None}
    _, settings = type(pipe)._get_signature_keys(type(pipe))
    return parts | {n: pipe.config[n] for n in settings if n in pipe.config and n not in weighty}


def _doing(name: str, scheme: Scheme | None) -> str:
    if scheme is None:
        return f"loading {name}"
    once = "; the first time on a machine this builds a kernel, which takes minutes"
    return f"quantizing {name} to {scheme.id}{once if 'compiler' in scheme.requires else ''}"
