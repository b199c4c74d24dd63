"""Loading: from a plan to a pipeline that holds what the plan says, sharing all it leaves alone.

Components are kept in a ``Pool`` by what they are (model, component, scheme, dtype, mode), so that
a component is loaded once however many plans use it, and reused for the next prompt.
"""

from __future__ import annotations

import gc
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import PROJECT, cache_folder
from quantlab.catalog.schema import Model, Scheme
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import LoadError, PlanError, QuantlabError, first_line
from quantlab.lab import apply, hub
from quantlab.lab.config import build, pipeline_config, spec_for
from quantlab.lab.libraries import resolve, torch
from quantlab.lab.plan import Plan
from quantlab.lab.weights import stored_bytes, verify

__all__ = [
    "Key",
    "LoadedPlan",
    "Pool",
    "by_library",
    "compute_dtype",
    "device",
    "fetch",
]

DTYPES = {"fp32": "torch.float32", "bf16": "torch.bfloat16"}
WAYS = {
    "config": "PipelineQuantizationConfig",
    "library": "the library, on the loaded component",
    "gguf": "from_single_file",
    "layerwise": "enable_layerwise_casting",
    "cast": "cast",
}


@dataclass(frozen=True)
class Key:
    """What makes one loaded component different from another."""

    model: str
    component: str
    scheme: str | None
    dtype: str
    compiled: bool = False


@dataclass(frozen=True)
class LoadedPlan:
    """A pipeline ready to run. Bytes per component; ``load_s`` as in ``Outcome``."""

    pipe: Any
    keys: Mapping[str, Key]
    weights_bytes: Mapping[str, int]
    load_s: float
    way: str


@dataclass
class _Held:
    module: Any
    seconds: float
    bytes: int
    way: str


def device() -> str:
    """The device that pipelines run on here: "cuda", "mps", "xpu" or "cpu"."""
    t = torch()
    if t.cuda.is_available():
        return "cuda"
    if t.backends.mps.is_available():
        return "mps"
    return "xpu" if hasattr(t, "xpu") and t.xpu.is_available() else "cpu"


def compute_dtype(plan: Plan, model: Model) -> str:
    """The dtype that a plan computes in, such as "torch.float32"."""
    return DTYPES[plan.dtype or model.base_dtype]


class Pool:
    """Loaded components under a memory budget; the least recently used go first."""

    def __init__(self, budget_bytes: int, catalog: Catalog | None = None) -> None:
        self._budget = budget_bytes
        self._held: OrderedDict[Key, _Held] = OrderedDict()
        self._extras: dict[str, dict[str, Any]] = {}
        self._folders: dict[str, str] = {}
        self._catalog = catalog or load_catalog()

    def held(self) -> tuple[Key, ...]:
        """What is loaded now, the least recently used first."""
        return tuple(self._held)

    def reused_bytes(self, model: Model, plan: Plan) -> int:
        """Bytes of what is loaded already and ``plan`` would use again."""
        keys = set(keys_of(model, plan).values())
        return sum(held.bytes for key, held in self._held.items() if key in keys)

    def keep_only(self, model: Model, plan: Plan) -> None:
        """Let go of everything that ``plan`` does not use."""
        self._trim(set(keys_of(model, plan).values()), 0)
        gc.collect()
        if device() == "cuda":
            torch().cuda.empty_cache()

    def load(self, model: Model, plan: Plan, say: Callable[[str], None]) -> LoadedPlan:
        """A pipeline for ``plan``; ``say`` is told what is being done.

        Raises:
            LoadError: a component could not be loaded or quantized, or holds something else.
            Unavailable: a library that the plan needs is not here.
        """
        keys = keys_of(model, plan)
        self._folders[model.id] = self._fetch(model, keys, say)
        for name, key in keys.items():
            if key in self._held:
                self._held.move_to_end(key)
            else:
                self._held[key] = self._load_component(model, name, key, say)
        held = {name: self._held[key] for name, key in keys.items()}
        pipe = self._assemble(model, {name: h.module for name, h in held.items()})
        self._trim(set(keys.values()), self._budget)
        ways = dict.fromkeys(h.way for n, h in held.items() if keys[n].scheme is not None)
        return LoadedPlan(
            pipe=pipe,
            keys=keys,
            weights_bytes={name: h.bytes for name, h in held.items()},
            load_s=sum(h.seconds for h in held.values()),
            way=", ".join(ways) or "from_pretrained",
        )

    def _fetch(self, model: Model, keys: Mapping[str, Key], say: Callable[[str], None]) -> str:
        wanted = {name: key.scheme or "" for name, key in keys.items() if key not in self._held}
        if not wanted and model.id in self._folders:
            return self._folders[model.id]
        return fetch(model, {n: self._catalog.schemes.get(s) for n, s in wanted.items()}, say)

    def _load_component(
        self, model: Model, name: str, key: Key, say: Callable[[str], None]
    ) -> _Held:
        scheme = self._catalog.schemes.get(key.scheme or "")
        say(_doing(name, scheme))
        component = model.component(name)
        assert component is not None
        if scheme is not None:
            _refuse_twice(self._folders[model.id], name, scheme)
        resolve(f"{component.library}.{component.cls}")  # its import is not the plan's load time
        started = time.perf_counter()
        try:
            module, way = self._read(model, name, key, scheme)
        except QuantlabError:
            raise
        except Exception as error:
            raise LoadError(f"{name}: {type(error).__name__}: {first_line(error)}") from error
        if scheme is not None:
            verify(module, scheme, name, _kept(model, scheme))
        if key.compiled and hasattr(module, "compile_repeated_blocks"):
            module.compile_repeated_blocks(fullgraph=True)
        seconds = time.perf_counter() - started
        return _Held(module, seconds, stored_bytes(module), way)

    def _read(self, model: Model, name: str, key: Key, scheme: Scheme | None) -> tuple[Any, str]:
        dtype = resolve(key.dtype)
        if scheme is None:
            module = self._from_pretrained(model, name, dtype, None)
            if key.scheme is not None:
                apply.cast_component(module, resolve(DTYPES[key.scheme]), dtype)
                return module, WAYS["cast"]
            return module, "from_pretrained"
        if scheme.way == "gguf":
            return self._from_gguf(model, name, key, scheme), WAYS["gguf"]
        if scheme.way == "layerwise":
            module = self._from_pretrained(model, name, dtype, None)
            storage = resolve(str(spec_for(scheme, "diffusers").args["storage_dtype"]))
            module.enable_layerwise_casting(storage_dtype=storage, compute_dtype=dtype)
            return module, WAYS["layerwise"]
        component = model.component(name)
        assert component is not None
        spec = spec_for(scheme, component.library)
        if by_library(scheme, component.library, device()):
            module = self._from_pretrained(model, name, dtype, None)
            skip = scheme.skip.get(component.cls, ())
            args = dict(spec.args) | {"compute_dtype": dtype, "skip": skip}
            apply.quantize_with_bitsandbytes(module, **args)
            return module, WAYS["library"]
        config = pipeline_config({name: (spec, key.dtype)})
        return self._from_pretrained(model, name, dtype, config), WAYS["config"]

    def _from_pretrained(self, model: Model, name: str, dtype: Any, config: Any) -> Any:
        """Load one component through the pipeline's ``from_pretrained``, nothing else."""
        others = {c.name: None for c in model.components if c.name != name}
        extras = self._extras.get(model.id, {})
        more = {"quantization_config": config} if config is not None else {}
        pipe = resolve("diffusers.DiffusionPipeline").from_pretrained(
            self._folders[model.id], dtype=dtype, **others, **extras, **more
        )
        parts = pipe.components
        weightless = {c.name for c in model.components}
        self._extras[model.id] = {
            n: part for n, part in parts.items() if n not in weightless and part is not None
        }
        module = parts[name]
        if config is None and device() != "cpu":
            module.to(device())
        return module.eval()

    def _from_gguf(self, model: Model, name: str, key: Key, scheme: Scheme) -> Any:
        component = model.component(name)
        assert component is not None
        return resolve(f"diffusers.{component.cls}").from_single_file(
            _gguf_file(model, name, scheme),
            config=self._folders[model.id],
            subfolder=name,
            quantization_config=build(spec_for(scheme, "diffusers"), key.dtype),
            dtype=resolve(key.dtype),
        )

    def _assemble(self, model: Model, modules: Mapping[str, Any]) -> Any:
        pipe = resolve(f"diffusers.{model.pipeline}")(**modules, **self._extras[model.id])
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def _trim(self, in_use: set[Key], budget: int) -> None:
        total = sum(held.bytes for held in self._held.values())
        for key in [k for k in self._held if k not in in_use]:
            if total <= budget:
                return
            total -= self._held.pop(key).bytes


def by_library(scheme: Scheme, library: str, target: str) -> bool:
    """True where diffusers refuses on device ``target`` what the library itself can do."""
    return library == "diffusers" and scheme.on_cpu == "library" and target == "cpu"


def _refuse_twice(folder: str, name: str, scheme: Scheme) -> None:
    """A component that is stored quantized must be used as it is."""
    path = Path(folder) / name / "config.json"
    if path.exists() and "quantization_config" in json.loads(path.read_text(encoding="utf-8")):
        raise PlanError(f"{name} is stored quantized already; {scheme.id} would quantize it twice")


def _doing(name: str, scheme: Scheme | None) -> str:
    if scheme is None:
        return f"loading {name}"
    once = "; the first time on a machine this builds a kernel, which takes minutes"
    return f"quantizing {name} to {scheme.id}{once if 'compiler' in scheme.requires else ''}"


def keys_of(model: Model, plan: Plan) -> dict[str, Key]:
    """What each component of ``plan`` is, by its name."""
    dtype = compute_dtype(plan, model)
    return {c.name: _key(model, c.name, plan, dtype) for c in model.components}


def _key(model: Model, name: str, plan: Plan, dtype: str) -> Key:
    scheme = dict(plan.parts).get(name)
    if scheme is not None and DTYPES.get(scheme) == dtype:
        scheme = None  # asking for the dtype that the pipeline has anyway
    return Key(model.id, name, scheme, dtype, plan.compiled and name == "transformer")


def _kept(model: Model, scheme: Scheme) -> tuple[str, ...]:
    """Layers that the known GGUF files of a model do not quantize."""
    keeps = model.extra.get("gguf_files", {}).get("keeps", ()) if scheme.way == "gguf" else ()
    return tuple(keeps)


def fetch(model: Model, wanted: Mapping[str, Scheme | None], say: Callable[[str], None]) -> str:
    """The folder of a model's files, complete for ``wanted``: component -> scheme to load it in.

    Raises:
        LoadError, Unavailable: as ``hub.snapshot`` does.
    """
    if model.local:
        return str(PROJECT / model.source)
    ready = [name for name, scheme in wanted.items() if scheme and scheme.way == "gguf"]
    for name in ready:
        _gguf_file(model, name, wanted[name], say)
    return str(hub.snapshot(model, wanted.keys() - ready, say))


def _gguf_file(
    model: Model, name: str, scheme: Any, say: Callable[[str], None] = lambda _: None
) -> str:
    if model.local:
        return _made_gguf(model, name, scheme)
    files = model.extra["gguf_files"]
    return str(hub.file(files["repo"], files["files"][scheme.id], say))


def _made_gguf(model: Model, name: str, scheme: Scheme) -> str:
    """A GGUF file of a local model's component, made on first use and kept.

    Its name carries a digest of the weights' sizes and times: new weights get a new file.
    """
    kind = scheme.id.removeprefix("gguf-").upper()
    folder = PROJECT / model.source / name
    digest = hashlib.sha256()
    for shard in sorted(folder.glob("*.safetensors")):
        digest.update(f"{shard.name} {shard.stat().st_size} {shard.stat().st_mtime_ns}".encode())
    path = cache_folder() / f"{model.id}-{name}-{kind}-{digest.hexdigest()[:12]}.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        apply.write_gguf(str(folder), str(path), kind)
    return str(path)
