"""What a pipeline's index says it is made of, and the weight files of each part.

``model_index.json`` of plain pipelines, ``modular_model_index.json`` of those made of diffusers'
blocks. Only configs and the headers of safetensors files are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.catalog.own.headers import INDEXES, Files, Header, Tensor
from quantlab.errors import Damaged, InputError, QuantlabError
from quantlab.lab.libraries import resolve, torch, versions

__all__ = ["STORED", "Index", "Weights", "index_of", "read_json", "weights_of"]

STORED = {"diffusers": "diffusion_pytorch_model.safetensors", "transformers": "model.safetensors"}
"""What from_pretrained looks for, or "NAME.index.json" where there are several files."""


@dataclass(frozen=True)
class Index:
    """A pipeline's class, its components with weights as (library, class), and its settings."""

    pipeline: str
    modular: bool
    components: Mapping[str, tuple[str, str]]
    settings: Mapping[str, Any]
    processors: Mapping[str, str]
    """Components that read text and pictures both."""
    named: Mapping[str, tuple[str, str]]
    """All components that it names, those without weights too."""
    needed: frozenset[str]
    """The components that its class is not made without."""
    elsewhere: frozenset[str]
    """Those that lie in a repository of their own."""


@dataclass(frozen=True)
class Weights:
    """One component's config and the headers of its files; no headers where it has no files."""

    config: Mapping[str, Any]
    headers: Sequence[Header]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors of its files by name."""
        return {name: tensor for header in self.headers for name, tensor in header.tensors.items()}


def index_of(files: Files, name: str) -> Index:
    """What the pipeline ``name`` is made of.

    Raises:
        InputError: there is no index, its class is none of diffusers, it has a part that the class
            does not take, or one of a class that the installed libraries do not have.
        Damaged: the index cannot be read.
    """
    for file in INDEXES:
        values = read_json(files, file)
        if values is not None:
            return _index(values, name, modular=file != INDEXES[0])
    raise InputError(
        "model",
        f"{name} has no model_index.json and no modular_model_index.json: it is not a diffusers "
        f"pipeline",
    )


def _index(values: Mapping[str, Any], name: str, modular: bool) -> Index:
    cls = str(values.get("_class_name"))
    parts, settings = _signature(cls, name)
    needed = parts - set(getattr(resolve(f"diffusers.{cls}"), "_optional_components", ()))
    hints = {
        part: (str(value[0]), str(value[1]))
        for part, value in values.items()
        if part not in settings and isinstance(value, list) and len(value) > 1
        if value[0] is not None
    }
    if not modular and (strange := [part for part in hints if part not in parts]):
        raise InputError("model", f"{name} has a {strange[0]:.60}, which {cls} does not take")
    found = {part: _class(part, *hint, name=name) for part, hint in hints.items()}
    weighty = {part: hint for part, hint in found.items() if _has_weights(*hint)}
    plain = {key: value for key, value in values.items() if key in settings}
    readers = {
        part: kind
        for part, (_, kind) in hints.items()
        if kind.endswith("Processor") and "ImageProcessor" not in kind
    }
    elsewhere = frozenset(part for part in found if modular and _elsewhere(values[part], name))
    tokenizers = {part.replace("text_encoder", "tokenizer") for part in weighty} & parts
    needs = frozenset(needed | tokenizers)
    return Index(cls, modular, weighty, plain, readers, found, needs, elsewhere)


def _elsewhere(entry: Sequence[Any], name: str) -> bool:
    """Whether an entry of the index of blocks ``name`` says of another place, which may be read."""
    where = entry[2] if len(entry) > 2 and isinstance(entry[2], dict) else {}
    place = str(where.get("pretrained_model_name_or_path") or where.get("repo") or name)
    return place != name and (not Path(place).is_absolute() or Path(place).is_dir())


def _signature(cls: str, name: str) -> tuple[set[str], set[str]]:
    """The names of the components and of the settings that pipelines of class ``cls`` take."""
    try:
        known = resolve(f"diffusers.{cls}")
    except QuantlabError:
        installed = versions().get("diffusers", "")
        raise InputError(
            "model", f"{name} is a {cls:.60}, which diffusers {installed} does not have"
        ) from None
    if not hasattr(known, "_get_signature_keys"):  # blocks say it only once they are put together
        return set(), set()
    parts, settings = known._get_signature_keys(known)
    return set(parts), set(settings)


def _class(part: str, library: str, cls: str, *, name: str) -> tuple[str, str]:
    """The library, "diffusers" or "transformers", and the class within it.

    diffusers' pipelines have classes of their own, which an index names by the pipeline's folder.
    """
    if library not in STORED:
        library, cls = "diffusers", f"pipelines.{library}.{cls}"
    try:
        resolve(f"{library}.{cls}")
    except QuantlabError:
        if "." in cls:
            raise InputError(
                "model", f"{name} brings code of its own for {part:.60}; it is not run"
            ) from None
        installed = versions().get(library, "")
        raise InputError(
            "model",
            f"{name} has a {part:.60} of class {cls:.60}, which {library} {installed} "
            f"does not have",
        ) from None
    return library, cls


def _has_weights(library: str, cls: str) -> bool:
    found = resolve(f"{library}.{cls}")
    return isinstance(found, type) and issubclass(found, torch().nn.Module)


def weights_of(files: Files, component: str, library: str) -> Weights:
    """The config and the headers of all weight files of a component.

    Raises:
        Damaged: one is damaged, or an index names one that is not there.
    """
    config = read_json(files, f"{component}/config.json") or {}
    single = f"{component}/{STORED[library]}"
    index = read_json(files, f"{single}.index.json")
    if index is None:
        header = files.header(single)
        return Weights(config, () if header is None else (header,))
    return Weights(config, tuple(_shards(files, component, single, index)))


def _shards(
    files: Files, component: str, single: str, index: Mapping[str, Any]
) -> Iterator[Header]:
    mapped = index.get("weight_map")
    values = list(mapped.values()) if isinstance(mapped, dict) else [None]
    if not all(isinstance(n, str) and "/" not in n and "\\" not in n for n in values):
        raise Damaged(f"{single}.index.json does not name weight files")
    for path in sorted({f"{component}/{n}" for n in values}):
        header = files.header(path)
        if header is None:
            raise Damaged(f"{path} is missing; only whole safetensors weights can be used")
        yield header


def read_json(files: Files, name: str) -> dict[str, Any] | None:
    """The object in a small JSON file, or None where there is none.

    Raises:
        Damaged: it is no JSON object.
    """
    text = files.text(name)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Damaged(f"{name} cannot be read as JSON; copy or download it again")
    return value
