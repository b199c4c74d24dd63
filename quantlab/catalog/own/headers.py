"""Headers of safetensors files: which tensors a file holds, without reading the tensors.

A file starts with the header's length (8 bytes, little-endian), then the header as JSON: each
tensor's dtype, shape and place behind the header; then the tensors, without gaps
(https://github.com/huggingface/safetensors, README, "Format"). Standard library only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

from quantlab.errors import Damaged

__all__ = [
    "INDEXES",
    "Files",
    "Folder",
    "Header",
    "Tensor",
    "header_length",
    "parse_header",
    "samples",
]

INDEXES = ("model_index.json", "modular_model_index.json")
"""What says which pipeline a folder holds: a plain one, or one of diffusers' blocks."""
LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors library itself."""
MAX_TEXT_BYTES = 64 * 2**20
"""Configs, indexes and tokenizers are far smaller."""
SAMPLES, SAMPLE_BYTES = 16, 4096
"""What is read of each weight file for ``Folder.digest``: other weights differ everywhere."""
BITS = {
    **dict.fromkeys(("F64", "I64", "U64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
}


@dataclass(frozen=True)
class Tensor:
    """One tensor as it is stored; ``dtype`` in safetensors' own words, such as "BF16"."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Header:
    """The tensors of one file by name, and the bytes of the whole file."""

    tensors: Mapping[str, Tensor]
    file_bytes: int


class Files(Protocol):
    """Where a pipeline's files are: a folder here, or a repository of the hub."""

    def text(self, name: str) -> bytes | None:
        """The content of a small file such as "vae/config.json", or None where there is none."""

    def header(self, name: str) -> Header | None:
        """The header of a weight file, or None where there is none."""

    def names(self, folder: str) -> Collection[str]:
        """The names of the files in one of its folders; none where there is no such folder."""

    local: bool
    """Whether all of it is here, so that reading costs nothing."""


class Folder:
    """Files of a pipeline in a local folder.

    Raises (all methods):
        Damaged: a file cannot be read, or is no whole safetensors file.
    """

    local = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, name: str) -> bytes | None:
        """See ``Files``."""
        path = self.root / name
        try:
            if path.stat().st_size > MAX_TEXT_BYTES:
                raise Damaged(f"{name} is larger than any file of its kind")
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Damaged(f"{name} cannot be read: {error.strerror}") from None

    def header(self, name: str) -> Header | None:
        """See ``Files``."""
        path = self.root / name
        try:
            size = path.stat().st_size
            with path.open("rb") as stream:
                length = header_length(stream.read(LENGTH_BYTES), size, name)
                return parse_header(stream.read(length), size, name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Damaged(f"{name} cannot be read: {error.strerror}") from None

    def names(self, folder: str) -> Collection[str]:
        """See ``Files``."""
        try:
            return {path.name for path in (self.root / folder).iterdir() if path.is_file()}
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise Damaged(f"{folder} cannot be read: {error.strerror}") from None

    def digest(self) -> str:
        """40 hex digits that change with any config and, all but surely, with any weights.

        Configs and tokenizers count whole; of a weight file its size, its header and samples.
        """
        digest = hashlib.sha256()
        indexes = [self.root / name for name in INDEXES if (self.root / name).exists()]
        for path in sorted([*indexes, *self.root.glob("*/*.json")]):
            name = path.relative_to(self.root).as_posix()
            digest.update(f"{name}\0".encode() + (self.text(name) or b""))
        for path in sorted(self.root.glob("*/*.safetensors")):
            digest.update(path.relative_to(self.root).as_posix().encode())
            try:
                for piece in samples(path):
                    digest.update(piece)
            except OSError as error:
                raise Damaged(f"{path.name} cannot be read: {error.strerror}") from None
        return digest.hexdigest()[:40]


def samples(path: Path) -> Iterator[bytes]:
    """Size, the start of the header, and pieces that are spread evenly over the file."""
    size = path.stat().st_size
    yield size.to_bytes(8, "little")
    with path.open("rb") as stream:
        for index in range(SAMPLES + 1):
            stream.seek((size - SAMPLE_BYTES) * index // SAMPLES if size > SAMPLE_BYTES else 0)
            yield stream.read(SAMPLE_BYTES)


def header_length(first: bytes, file_bytes: int, name: str) -> int:
    """The header's bytes, from the first 8 bytes of the file ``name``.

    Raises:
        Damaged: they cannot be the start of a safetensors file of this size.
    """
    length = int.from_bytes(first, "little")
    if len(first) < LENGTH_BYTES or not 2 <= length <= MAX_HEADER_BYTES:
        raise _damaged(name, "it does not start with a header")
    if LENGTH_BYTES + length > file_bytes:
        raise _damaged(name, "it ends within its header")
    return length


def parse_header(text: bytes, file_bytes: int, name: str) -> Header:
    """The header from its JSON text; ``file_bytes`` are those of the whole file ``name``.

    Raises:
        Damaged: it is no header, or the file is shorter or longer than it says.
    """
    try:
        entries = json.loads(text)
        tensors = {
            str(key): _tensor(value) for key, value in entries.items() if key != "__metadata__"
        }
        end = max((int(v["data_offsets"][1]) for k, v in entries.items() if k != "__metadata__"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise _damaged(name, "its header cannot be read") from None
    if LENGTH_BYTES + len(text) + end != file_bytes:
        raise _damaged(name, "its size is not what its header says")
    return Header(tensors, file_bytes)


def _tensor(value: Mapping[str, Any]) -> Tensor:
    shape, (start, end) = tuple(value["shape"]), value["data_offsets"]
    if any(type(number) is not int or number < 0 for number in (*shape, start, end - start)):
        raise ValueError("not a shape and a place")
    bits = BITS.get(value["dtype"])
    if bits is not None and prod(shape) * bits != (end - start) * 8:
        raise ValueError("a tensor's place is not as large as its shape")
    return Tensor(str(value["dtype"]), shape, end - start)


def _damaged(name: str, why: str) -> Damaged:
    return Damaged(f"{name} is not a whole safetensors file: {why}; copy or download it again")
