"""The file of a LoRA: where it is, whether it fits the model, and fusing it into base weights.

A LoRA that fits in part is refused: what it would do to the image is not what its author meant, and
libraries pass over what does not fit without a word.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from quantlab.catalog.own.headers import Folder
from quantlab.catalog.paths import OWN_LORAS, PROJECT, cache_folder, own_loras, there
from quantlab.catalog.schema import Component, Model
from quantlab.catalog.sizes.shapes import shapes_of
from quantlab.errors import Damaged, InputError, LoadError, VerificationError, first_line
from quantlab.lab.hub import snapshot as hub
from quantlab.lab.hub.errors import explain
from quantlab.lab.keep.scratch import scratch
from quantlab.lab.libraries import load, resolve, torch
from quantlab.words.lora import Lora, hub_parts
from quantlab.words.units import GIB

__all__ = ["ADAPTER", "USUAL", "admit_lora", "attach", "fused", "layers", "locate"]

ADAPTER = "lora"
"""The name under which diffusers keeps it."""
USUAL = "pytorch_lora_weights.safetensors"
"""The name that diffusers gives to the file."""
DIGITS = 12
MOST_BYTES = 4 * GIB
"""Of a LoRA's file that is fetched; those of the largest models have about one GiB."""
_PART = re.compile(r"(.+)\.lora_([AB])\.weight")
"""Names of a LoRA's tensors, behind that of the denoiser."""
Say = Callable[[str], None]


def admit_lora(text: str) -> str:
    """The name of a LoRA of one's own, a folder or a ``.safetensors`` file; anything else as it is.

    The name ends in a digest of the file, so that results of different weights never meet.

    Raises:
        InputError: the folder has not just one LoRA, or its file cannot be read or is damaged.
    """
    place = there(text)
    if place is None or not (place.is_dir() or place.suffix == ".safetensors"):
        return text
    path = _only(place.resolve(), place.name)
    try:
        Folder(path.parent).header(path.name)
    except Damaged as error:
        raise InputError("lora", str(error)) from error
    name = re.sub(r"[^a-z0-9._-]+", "-", place.stem.lower()).strip("-.")[:40] or "lora"
    try:
        with path.open("rb") as stream:
            name += "@" + hashlib.file_digest(stream, "sha256").hexdigest()[:DIGITS]
    except OSError as error:
        raise InputError("lora", f"{text} cannot be read: {error.strerror}") from None
    known = {**own_loras(), name: path}
    os.environ[OWN_LORAS] = os.pathsep.join(f"{key}={value}" for key, value in known.items())
    return name


def locate(lora: Lora, model: Model, say: Say = lambda _: None) -> Path:
    """The LoRA's file, downloaded if it is not here yet.

    Raises:
        InputError: there is no such LoRA here, or not just one where it should be.
        LoadError, Unavailable: as ``hub.file`` does.
    """
    own = own_loras()
    if lora.name in model.loras:
        return _only(PROJECT / model.loras[lora.name].folder, lora.name)
    if lora.name in own:
        return _only(own[lora.name], lora.name)
    found = hub_parts(lora.name)
    if found is None:
        raise InputError("lora", f"{lora.name} is not known here any more")
    repo, revision, name = found
    return hub.file(repo, name or _name_in(repo, revision), say, revision, MOST_BYTES)


def layers(path: Path, lora: Lora, model: Model) -> int:
    """How many layers of the model's denoiser the file changes.

    Raises:
        LoadError: it is no LoRA that diffusers reads, or it does not fit the model.
    """
    try:
        changed = path.stat().st_mtime_ns
        return _layers(path, changed, model.pipeline, model.id, model.components[0])
    except LoadError as error:
        raise LoadError(f"LoRA {lora.name} {error}") from None
    except OSError as error:
        raise LoadError(f"LoRA {lora.name} cannot be read: {error.strerror}") from None


def attach(pipe: Any, path: Path) -> None:
    """Load the LoRA beside the weights of ``pipe``.

    Raises:
        Unavailable: peft is not here.
    """
    load("peft")
    pipe.load_lora_weights(
        str(path.parent), weight_name=path.name, adapter_name=ADAPTER, use_safetensors=True
    )


@contextmanager
def fused(pipe: Any, lora: Lora, model: Model) -> Iterator[str]:
    """A folder with ``pipe``'s denoiser, base weights with the LoRA added to them.

    A folder, since configs quantize what ``from_pretrained`` reads; it is gone afterwards.

    Raises:
        LoadError: as ``locate`` and ``layers`` do.
        VerificationError: it has changed nothing.
    """
    path = locate(lora, model)
    layers(path, lora, model)
    denoiser = getattr(pipe, model.denoiser)
    before = _sums(denoiser)
    attach(pipe, path)
    pipe.fuse_lora(components=[model.denoiser], lora_scale=lora.weight)
    pipe.unload_lora_weights()
    if before == _sums(denoiser):
        raise VerificationError(f"{lora} changes none of the base weights")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with scratch(cache_folder()) as folder:
        denoiser.save_pretrained(folder)
        yield folder


def _sums(module: Any) -> list[float]:
    return [float(weight.sum(dtype=torch().float64)) for weight in module.state_dict().values()]


def _only(place: Path, name: str) -> Path:
    """``place`` itself where it is a file, else the LoRA in that folder."""
    if place.is_file():
        return place
    found = sorted(path.name for path in place.glob("*.safetensors"))
    return place / _choose(found, f"the folder of {name}")


def _name_in(repo: str, revision: str) -> str:
    try:
        names = hub.client().HfApi().list_repo_files(repo, revision=revision)
    except hub.failures() as error:
        raise explain(error, repo, revision) from error
    here = [name for name in names if name.endswith(".safetensors") and "/" not in name]
    return _choose(here, repo, f"; name one as {repo}:FILE")


def _choose(names: list[str], where: str, hint: str = "") -> str:
    if USUAL in names:
        return USUAL
    if len(names) != 1:
        several = f"several safetensors files, {', '.join(names[:5])}{hint}"
        raise InputError("lora", f"{where} has {several if names else 'no safetensors file'}")
    return names[0]


@lru_cache(maxsize=32)
def _layers(path: Path, _changed: int, pipeline: str, model: str, denoiser: Component) -> int:
    try:
        state = resolve(f"diffusers.{pipeline}").lora_state_dict(
            str(path.parent), weight_name=path.name, use_safetensors=True
        )
    except Exception as error:  # whatever a foreign file makes the reader do
        raise LoadError(f"is none that diffusers reads: {first_line(error)}") from error
    known = {m.name: m.weight for m in shapes_of(denoiser.shapes) if len(m.weight) == 2}
    names: set[str] = set()
    for key, tensor in state.items():
        where, _, inner = key.partition(".")
        part = _PART.fullmatch(inner) if where == denoiser.name else None
        if part is None:
            changed = key if where == denoiser.name else where
            raise LoadError(
                f"changes {changed}; only linear layers of the {denoiser.name} are taken"
            )
        names.add(part[1])
        shape = known.get(part[1])
        if shape is not None and tensor.shape[part[2] == "A"] != shape[part[2] == "A"]:
            raise LoadError(
                f"is not for {model}: {part[1]} is {_size(shape)} there, the LoRA's "
                f"{'input' if part[2] == 'A' else 'output'} is {tensor.shape[part[2] == 'A']} wide"
            )
    strange = sorted(names - known.keys())
    if strange or not names:
        first = f", such as {strange[0]}" if strange else ""
        raise LoadError(
            f"is not for {model}: {len(strange)} of its {len(names)} layers are not there{first}"
        )
    return len(names)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} to {shape[0]}"
