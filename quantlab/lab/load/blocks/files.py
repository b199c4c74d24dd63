"""The files of a pipeline of blocks, and its components loaded from them one by one.

``modular_model_index.json`` says for each part of which class it is and where it lies, which may be
another repository: FLUX.3's prompt upsampler has one of its own. Each part is loaded by its own
class and quantized by a config of its own library, as diffusers' ``load_components`` does with a
dictionary of configs. Why not by ``PipelineQuantizationConfig``: see ``NO_PIPELINE_CONFIG``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.errors import LoadError
from quantlab.lab.hub import snapshot as hub
from quantlab.lab.libraries import resolve
from quantlab.lab.load.blocks.pipeline import BlockPipeline, blocks_of
from quantlab.lab.load.part import Base, Part
from quantlab.lab.load.processor import load_processor
from quantlab.lab.lora.file import fused

__all__ = ["INDEX", "NO_PIPELINE_CONFIG", "ByComponent"]

NO_PIPELINE_CONFIG = (
    "a pipeline of blocks takes no PipelineQuantizationConfig: diffusers only warns that it has no "
    "quant_method and leaves the components empty; it takes a dictionary, a config for each "
    "component"
)
"""Why the simple form and the pipeline's config are refused (diffusers 0.42.1)."""

INDEX = "modular_model_index.json"
PROCESSOR = "AutoProcessor"


@dataclass(frozen=True)
class _Place:
    """Where a part lies, and of which class it is."""

    library: str
    cls: str
    repo: str
    subfolder: str
    revision: str


class ByComponent(Base):
    """The files of one model that is made of blocks."""

    def fetch(self, weights: Collection[str], say: hub.Say, used: Collection[str] = ()) -> None:
        """As ``Base.fetch``; of a repository that only an unused component needs nothing."""
        model = self.model
        if model.local:
            self.folder = str(PROJECT / model.source)
            return
        self.folder = str(hub.snapshot(model, (), say))
        wanted: dict[tuple[str, str], list[str]] = {}
        for name in self._parts({*weights, *used}):
            place = self._places[name]
            within = wanted.setdefault((place.repo, place.revision), [])
            if name in weights:
                within.append(name)
        for (repo, revision), names in wanted.items():
            source = replace(model, source=repo, revision=revision)
            folders = [self._places[name].subfolder for name in names]
            own = (repo, revision) == (model.source, model.revision)
            found = hub.snapshot(source, folders, say, whole=own)
            self._roots[repo, revision] = found

    def at(self, component: str) -> Path:
        """The folder that holds a component's config and weights."""
        place = self._places.get(component)
        if place is None:
            raise LoadError(f"{INDEX} of {self.model.source} names no {component}")
        return self._root(place) / place.subfolder

    def version(self, component: str) -> str:
        """What tells the weights of a component from others of the same place."""
        if self.model.local:
            return super().version(component)
        return self._root(self._places[component]).name  # a snapshot's folder is its commit

    def extras_for(self, used: Collection[str]) -> Mapping[str, Any]:
        """The parts without weights that blocks with the components ``used`` have."""
        names = [name for name in self._parts(used) if name not in self._weighty]
        missing = [name for name in names if name not in self.extras]
        self.extras = {**self.extras, **{name: self._made(name) for name in missing}}
        return {name: self.extras[name] for name in names}

    def read(self, part: Part, config: Any = None, folder: str = "", **more: Any) -> Any:
        """As ``Base.read``."""
        name, dtype, cls = part.component.name, resolve(part.dtype), resolve(part.cls)
        if config is not None:
            more["quantization_config"] = config
        if part.component.is_plain_file and part.lora is None:
            if config is None:
                return self._of_file(part)
            with self.weights(part) as laid_out:
                return cls.from_pretrained(laid_out, dtype=dtype, **more).eval()
        where = Path(folder) / name if folder else self.at(name)
        if part.lora is None:
            return cls.from_pretrained(where, dtype=dtype, **more).eval()
        is_file = part.component.is_plain_file
        base = {name: self._of_file(part) if is_file else cls.from_pretrained(where, dtype=dtype)}
        family = self.model.family
        pipe = BlockPipeline(self.model.pipeline, base, family.encoders, {})
        with fused(pipe, part.lora, self.model) as merged:
            return cls.from_pretrained(merged, dtype=dtype, **more).eval()

    def how(self, part: Part) -> str:
        """As ``Base.how``."""
        if part.component.is_plain_file:
            return super().how(part)
        return "from_pretrained with a config"

    @cached_property
    def _roots(self) -> dict[tuple[str, str], Path]:
        return {}

    @cached_property
    def _weighty(self) -> set[str]:
        return {component.name for component in self.model.components}

    @cached_property
    def _places(self) -> Mapping[str, _Place]:
        """Where each part that the index names lies."""
        try:
            text = (Path(self.folder) / INDEX).read_text(encoding="utf-8")
            listed = {k: v for k, v in json.loads(text).items() if isinstance(v, list)}
            return {name: self._place(name, *entry) for name, entry in listed.items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise LoadError(f"{self.model.source} has no {INDEX} that can be read") from error

    def _place(self, name: str, library: Any, cls: Any, spec: Any) -> _Place:
        """What local files there are of it come before the repository that the index names."""
        repo = str(spec.get("pretrained_model_name_or_path") or spec.get("repo") or "")
        subfolder = str(spec.get("subfolder") or "")
        here = Path(self.folder) / subfolder
        own = self.model.local and subfolder and here.is_dir()
        mine = own or repo in ("", self.model.source)
        revision = self.model.revision if mine else str(spec.get("revision") or "main")
        source = self.model.source if mine else repo
        if not isinstance(library, str) or not isinstance(cls, str):
            raise TypeError(name)
        return _Place(library, cls, source, subfolder, revision)

    def _root(self, place: _Place) -> Path:
        if place.repo == self.model.source and self.model.local:
            return Path(self.folder)
        return self._roots.get((place.repo, place.revision)) or Path(self.folder)

    def _parts(self, used: Collection[str]) -> list[str]:
        """Names of the index that blocks with the components ``used`` expect."""
        model = self.model
        unused = {c.name for c in model.components if c.optional and c.name not in used}
        expected = set(blocks_of(model.pipeline, unused | set(model.absent)).component_names)
        return [name for name in self._places if name in expected]

    def _made(self, name: str) -> Any:
        place, folder = self._places[name], self.at(name)
        if place.cls == PROCESSOR or (folder / "processor_config.json").exists():
            return load_processor(str(folder))
        return resolve(f"{place.library}.{place.cls}").from_pretrained(folder)
