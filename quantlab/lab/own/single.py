"""One file with a denoiser's weights, GGUF or safetensors: what its header says that it holds.

The header is read and no weight. What it holds is told by the names and types of its tensors, since
no two makers write the same metadata. Which forms diffusers reads from a single file was looked up
in diffusers 0.42.1 (quantizers/gguf, quantizers/bfl, loaders/single_file_model.py).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.catalog.models.schema import Form
from quantlab.catalog.own.headers import Folder, Tensor, samples
from quantlab.errors import Damaged, InputError, first_line
from quantlab.lab.libraries import load, resolve
from quantlab.words.units import size as in_units

__all__ = ["SUFFIXES", "Single", "read_single"]

SUFFIXES = (".gguf", ".safetensors")
FLOATS = ("F64", "F32", "F16", "BF16")
FLOAT8 = ("F8_E4M3", "F8_E5M2")
SIDE = (
    "weight_scale",
    "scale_weight",
    "weight_scale_2",
    "input_scale",
    "scale_input",
    "comfy_quant",
)
"""What lies beside a quantized weight, by the last part of its name."""
MARKER = "scaled_fp8"
"""A tensor that only says how the others are stored."""
LORA = ("lora_A", "lora_B", "lora_up", "lora_down", "lora_a", "lora_b")
NOT_READ = {
    ".SCB": "bitsandbytes int8",
    ".qweight": "packed integers of GPTQ, AWQ or SVDQuant",
    ".wscales": "SVDQuant",
    "._data": "quanto",
    ".zero_point": "SDNQ or torchao integers",
}
"""Ends of names that tell forms which diffusers reads from a folder, or not at all."""


@dataclass(frozen=True)
class Single:
    """A file whose header was read.

    ``weights`` are its tensors by name with the shapes that they stand for, those beside a
    quantized weight left out; ``packed`` the names of those that stay quantized once they are
    loaded, and ``packed_bytes`` what these take with all that lies beside them.
    """

    path: Path
    file_bytes: int
    form: Form
    stored_as: str
    weights: Mapping[str, Tensor]
    packed: frozenset[str]
    packed_bytes: int
    said: str = ""
    """What the file says that it is called."""
    held_as: str = ""
    """The scheme of the catalogue that most of it is in; "" where nothing stays quantized."""

    def digest(self) -> str:
        """40 hex digits that change with the header and, all but surely, with any weights."""
        found = hashlib.sha256()
        try:
            for piece in samples(self.path):
                found.update(piece)
        except OSError as error:
            raise Damaged(f"{self.path.name} cannot be read: {error.strerror}") from None
        return found.hexdigest()[:40]


def read_single(path: Path) -> Single:
    """What the file at ``path`` holds.

    Raises:
        Damaged: it is cut, damaged or cannot be read.
        InputError: it holds what is not read from a single file; the message says what it is.
    """
    if path.suffix not in SUFFIXES:
        right = path.suffix.lower()
        raise InputError(
            "model", f"{path.name} must end in {right}: diffusers tells forms by small letters"
        )
    if path.suffix == ".gguf":
        return _gguf(path)
    header = Folder(path.parent).header(path.name)
    if header is None:
        raise Damaged(f"there is no file {path}")
    _refuse_foreign(path.name, header.tensors)
    return _safetensors(path, header.file_bytes, header.tensors)


def _gguf(path: Path) -> Single:
    reader = _bounded(resolve("gguf.GGUFReader"))
    try:
        size = path.stat().st_size
        found = reader(path)
        tensors = {
            each.name: Tensor(
                each.tensor_type.name, tuple(reversed(each.shape.tolist())), int(each.n_bytes)
            )
            for each in found.tensors
        }
        end = max((each.data_offset + each.n_bytes for each in found.tensors), default=size + 1)
        name = found.get_field("general.name")
        said = bytes(name.parts[name.data[0]]).decode("utf-8", "replace") if name else ""
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}") from None
    except Exception as error:  # the reader takes any file for a whole one and trips over its parts
        raise _damaged(path, first_line(error)) from None
    if end > size:
        raise _damaged(path, "it ends before its last tensor")
    _refuse_foreign(path.name, tensors)
    packed = {name: each for name, each in tensors.items() if each.dtype not in ("F32", "F16")}
    read = {
        kind.name for kind in load("diffusers.quantizers.gguf.utils").SUPPORTED_GGUF_QUANT_TYPES
    }
    if strange := sorted({each.dtype for each in packed.values()} - read):
        raise InputError("model", f"{path.name} holds {strange[0]}, which diffusers cannot unpack")
    return Single(
        path,
        size,
        "gguf",
        f"GGUF {_by_bytes(tensors)}",
        tensors,
        frozenset(packed),
        sum(each.bytes for each in packed.values()),
        said,
        f"gguf-{_most(packed)}".lower() if packed else "",
    )


def _bounded(reader: Any) -> Any:
    """gguf's ``reader``, ending where the file does: what lies beyond is empty to it, and it goes
    through an array of 2**60 numbers one by one."""

    def got(self: Any, offset: int, dtype: Any, count: int = 1, *more: Any, **named: Any) -> Any:
        found = reader._get(self, offset, dtype, count, *more, **named)
        if len(found) < int(count):
            raise ValueError("it ends before what its header says")
        return found

    return type("Bounded", (reader,), {"_get": got})


def _damaged(path: Path, why: str) -> Damaged:
    return Damaged(f"{path.name} is not a whole GGUF file: {why}; copy or download it again")


def _most(tensors: Mapping[str, Tensor]) -> str:
    """The type that takes most bytes."""
    held: Counter[str] = Counter()
    for tensor in tensors.values():
        held[tensor.dtype] += tensor.bytes
    return held.most_common(1)[0][0]


def _by_bytes(tensors: Mapping[str, Tensor]) -> str:
    """The types and what each takes, the largest first: "Q4_K (3.1 GiB), F32 (2.0 MiB)"."""
    held: Counter[str] = Counter()
    for tensor in tensors.values():
        held[tensor.dtype] += tensor.bytes
    return ", ".join(f"{kind} ({in_units(size)})" for kind, size in held.most_common())


def _refuse_foreign(name: str, tensors: Iterable[str]) -> None:
    """Raises: InputError: it is a LoRA, or of a form that is not read from a single file."""
    parts = {part for tensor in tensors for part in tensor.split(".")}
    if not parts:
        raise InputError("model", f"{name} holds no tensor")
    if parts.intersection(LORA):
        raise InputError("model", f"{name} is a LoRA, not a model; name it with --lora")
    bitsandbytes = sorted(part for part in parts if part.startswith("bitsandbytes__"))
    found = [words for end, words in NOT_READ.items() if any(t.endswith(end) for t in tensors)]
    if bitsandbytes:
        found.insert(0, f"bitsandbytes {bitsandbytes[0].removeprefix('bitsandbytes__')}")
    if found:
        raise InputError(
            "model",
            f"{name} holds {found[0]}, which is not read from a single file; a diffusers folder "
            f"with its config.json is",
        )


def _safetensors(path: Path, file_bytes: int, tensors: Mapping[str, Tensor]) -> Single:
    """Raises: InputError: it is of a form that diffusers does not read."""
    scales = {name: tensor for name, tensor in tensors.items() if name.split(".")[-1] in SIDE}
    bare = {n: t for n, t in tensors.items() if n not in scales and n != MARKER}
    packed = {
        name: tensor
        for name, tensor in bare.items()
        if name.endswith(".weight")
        and not scales.keys().isdisjoint(f"{_module(name)}.{end}" for end in SIDE[:2])
    }
    weights, words = dict(bare), ""
    form: Form = "plain"
    kinds = {tensor.dtype for tensor in packed.values()}
    if not packed:
        if strange := sorted({t.dtype for t in bare.values()} - {*FLOATS, *FLOAT8}):
            raise _not_read(path.name, f"{strange[0]} without scales that diffusers knows")
        narrow = any(tensor.dtype in FLOAT8 for tensor in bare.values())
        words = "float8 without scales, widened when it is loaded" if narrow else ""
    elif kinds == {"F8_E4M3"}:
        form, words = _scaled_float8(path.name, packed, scales)
    elif kinds == {"U8"} and all(f"{_module(n)}.weight_scale_2" in scales for n in packed):
        if missing := [n for n in packed if f"{_module(n)}.input_scale" not in scales]:
            raise _not_read(path.name, f"NVFP4 without input scales ({missing[0]})")
        form, words = "bfl", "NVFP4"
        weights |= {
            n: Tensor("U8", (t.shape[0], t.shape[1] * 2), t.bytes) for n, t in packed.items()
        }
    else:
        raise _not_read(path.name, f"{', '.join(sorted(kinds))} with scales")
    beside = sum(4 * tensor.shape[0] for tensor in packed.values())
    if words == "NVFP4":
        beside = sum(tensor.bytes for tensor in scales.values())
    taken = sum(tensor.bytes for tensor in packed.values()) + beside if packed else 0
    stored_as = f"{words}: {_by_bytes(tensors)}" if words else _by_bytes(tensors)
    held_as = ("bfl-nvfp4" if words == "NVFP4" else "bfl-fp8") if packed else ""
    return Single(
        path, file_bytes, form, stored_as, weights, frozenset(packed), taken, held_as=held_as
    )


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _scaled_float8(
    name: str, packed: Mapping[str, Tensor], scales: Mapping[str, Tensor]
) -> tuple[Form, str]:
    """Its form by the scales: one for each row, or one for each weight.

    Raises:
        InputError: they are of neither kind, as those of MXFP8 are.
    """
    shapes = set()
    for weight, tensor in packed.items():
        module = _module(weight)
        known = scales.get(f"{module}.weight_scale") or scales[f"{module}.scale_weight"]
        if known.shape not in ((), (1,), tensor.shape[:1], (tensor.shape[0], 1)):
            raise _not_read(name, f"float8 with scales of shape {list(known.shape)} ({weight})")
        shapes.add(known.shape == tensor.shape[:1] and f"{module}.weight_scale" in scales)
    if shapes == {True}:
        return "bfl", "float8 with a scale a row"
    return "scaled-fp8", "float8 with a scale a weight"


def _not_read(name: str, what: str) -> InputError:
    return InputError("model", f"{name} holds {what}: diffusers reads no such single file")
