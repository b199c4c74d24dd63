"""One component to be loaded or written into a script, and the files that it is read from.

A ``Part`` is handed to a way (load/way.py) whole: a way asks nothing of the catalogue, the plan or
the machine beyond it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Component, Model, Scheme, Spec
from quantlab.catalog.table import Catalog
from quantlab.lab.hub import snapshot as hub
from quantlab.lab.hub.files import fingerprint
from quantlab.lab.libraries import resolve
from quantlab.lab.load.keys import DTYPES, Key
from quantlab.lab.load.processor import comes_late, read_processors
from quantlab.lab.lora.file import fused
from quantlab.lab.own.plain_file import as_folder, read_plain
from quantlab.lab.specs import PIPELINE_CONFIG, spec_for
from quantlab.words.lora import Lora

__all__ = ["Base", "Loaded", "Part", "part_of"]


class Base:
    """The files of one model, and what is read from them as it is.

    Remembers the parts that have no weights, such as tokenizers, as ``extras``.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.folder = ""
        self.extras: Mapping[str, Any] = {}
        self._processors: Mapping[str, Any] = {}

    def fetch(self, weights: Collection[str], say: hub.Say, used: Collection[str] = ()) -> None:  # noqa: ARG002
        """Have the configs, the tokenizers and the weights of the components ``weights`` here.

        ``used`` are all components that the pipeline will have.

        Raises:
            LoadError, Unavailable: as ``hub.snapshot`` does.
        """
        model = self.model
        local = PROJECT / model.source if model.local else None
        self.folder = str(local or hub.snapshot(model, weights, say))

    def at(self, component: str) -> Path:
        """The folder that holds a component's config and weights."""
        return Path(self.folder) / component

    def version(self, component: str) -> str:
        """What tells the weights of a component from others of the same place."""
        # The hub's client names a snapshot's folder by its commit.
        return fingerprint(self.at(component)) if self.model.local else Path(self.folder).name

    def extras_for(self, used: Collection[str]) -> Mapping[str, Any]:  # noqa: ARG002
        """What the pipeline's class takes besides the components ``used``."""
        return self.extras

    def how(self, part: Part) -> str:
        """What quantizes the component of ``part`` by a config, in words."""
        if part.component.is_plain_file:
            return "from_single_file, then from_pretrained with a config"
        return "PipelineQuantizationConfig"

    @contextmanager
    def weights(self, part: Part) -> Iterator[str]:
        """A folder with the base weights of ``part``; that of a single file is gone afterwards."""
        if not part.component.is_plain_file:
            yield str(self.at(part.component.name))
            return
        with as_folder(self._of_file(part)) as folder:
            yield folder

    def read(self, part: Part, config: Any = None, folder: str = "", **more: Any) -> Any:
        """The module of ``part``, quantized by ``config`` if there is one; a LoRA is fused first.

        ``folder`` holds the pipeline where it is not the model's own; ``more`` goes to
        ``from_pretrained``.
        """
        dtype, cls, is_file = resolve(part.dtype), resolve(part.cls), part.component.is_plain_file
        if (part.lora is not None or is_file) and config is not None:
            more["quantization_config"] = config
        if part.lora is not None:
            given = {part.component.name: self._of_file(part)} if is_file else {}
            with fused(self._pipe(part, dtype, "", **given), part.lora, self.model) as merged:
                return cls.from_pretrained(merged, dtype=dtype, **more).eval()
        if is_file and config is None:
            return self._of_file(part)
        if is_file:
            with self.weights(part) as laid_out:
                return cls.from_pretrained(laid_out, dtype=dtype, **more).eval()
        if config is not None:
            mapping = {part.component.name: config}
            more["quantization_config"] = resolve(PIPELINE_CONFIG)(quant_mapping=mapping)
        return self._pipe(part, dtype, folder, **more).components[part.component.name].eval()

    def _of_file(self, part: Part) -> Any:
        """The module in the single file of ``part``."""
        config = self.at(part.component.name)
        return read_plain(resolve(part.cls), part.component.file, config, resolve(part.dtype))

    def _pipe(self, part: Part, dtype: Any, folder: str, **more: Any) -> Any:
        """A pipeline whose only component with weights is that of ``part``."""
        others = {c.name: None for c in self.model.components if c != part.component}
        known = {} if folder else self._known()
        pipe = resolve("diffusers.DiffusionPipeline").from_pretrained(
            folder or self.folder, dtype=dtype, **others, **known, **more
        )
        if not folder:
            self.extras = {**self._weightless(pipe), **self._processors}
        return pipe

    def _known(self) -> dict[str, Any]:
        """What ``from_pretrained`` need not read."""
        if not self.extras:
            self._processors = read_processors(Path(self.folder), self.model.family.processors)
        late = {n: None for n, cls in self.model.family.processors.items() if comes_late(cls)}
        return {**self._processors, **self.extras, **late}

    def _weightless(self, pipe: Any) -> dict[str, Any]:
        """A pipeline's parts without weights and its settings, such as Flux2's is_distilled."""
        weighty = {c.name for c in self.model.components}
        parts = {n: p for n, p in pipe.components.items() if n not in weighty and p is not None}
        _, settings = type(pipe)._get_signature_keys(type(pipe))
        plain = [n for n in settings if n in pipe.config and n not in weighty]
        return parts | {n: pipe.config[n] for n in plain}


@dataclass(frozen=True)
class Part:
    """One component of a model, and all that decides how it is loaded."""

    model: Model
    component: Component
    scheme: Scheme | None
    """None where nothing quantizes it."""
    dtype: str
    """What the pipeline computes in, such as "torch.float32"."""
    device: str
    """What the pipeline runs on: "cuda", "mps", "xpu" or "cpu"."""
    own_dtype: str | None = None
    """A dtype of its own inside the pipeline; no scheme then."""
    lora: Lora | None = None
    """What is fused into the base weights before anything else is done to them."""
    placement: str = "cpu"
    """Where it is kept while it runs, as in load/place.py."""
    base: Base | None = None
    """The model's files; None where nothing is read, as for a script."""
    trimmed: bool = False
    """Whether what idles of it is let go of once it is read."""

    @property
    def cls(self) -> str:
        """The dotted path of the component's class."""
        return f"{self.component.library}.{self.component.cls}"

    @property
    def known(self) -> Scheme:
        """The scheme, where there must be one."""
        assert self.scheme is not None
        return self.scheme

    @property
    def spec(self) -> Spec:
        """The scheme's description of an object of the component's library.

        Raises:
            PlanError: there is none.
        """
        return spec_for(self.known, self.component.library, self.component.cls, self.kept)

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the modules that stay as they are, whatever quantizes the component."""
        return self.model.family.kept(self.component.name)

    @property
    def by_library(self) -> bool:
        """Whether diffusers refuses on this device what the scheme's library itself can do."""
        scheme, library = self.scheme, self.component.library
        refused = scheme is not None and scheme.on_cpu == "library" and library == "diffusers"
        return refused and self.device == "cpu"

    def weights_mark(self) -> str:
        """What tells its base weights from others, in what is made of them and kept."""
        if not self.component.is_plain_file:
            return fingerprint(self.files().at(self.component.name))
        return f"{fingerprint(Path(self.component.file))}-{self.dtype.removeprefix('torch.')}"

    def files(self) -> Base:
        """The model's files, where there must be some."""
        assert self.base is not None
        return self.base


@dataclass(frozen=True)
class Loaded:
    """What a way gives: the module, how it came about, and patterns of layers that are left alone.

    ``how`` is for people, ``spared`` are layers at full width beside those of ``Scheme.skip``.
    """

    module: Any
    how: str
    spared: tuple[str, ...] = ()


def part_of(
    key: Key,
    model: Model,
    catalog: Catalog,
    device: str,
    placement: str = "cpu",
    base: Base | None = None,
) -> Part:
    """What ``key`` says is to be loaded, with all that is known of it."""
    component = model.component(key.component)
    assert component is not None
    return Part(
        model=model,
        component=component,
        scheme=catalog.schemes.get(key.scheme or ""),
        dtype=key.dtype,
        device=device,
        own_dtype=DTYPES.get(key.scheme or ""),
        lora=key.lora,
        placement=placement,
        base=base,
        trimmed=key.trimmed,
    )
