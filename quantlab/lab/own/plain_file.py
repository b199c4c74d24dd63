"""A component whose weights are one file of one's own, not quantized: as a module, as a folder.

What other programs wrote is renamed by diffusers' ``from_single_file``. That takes a quantization
config, too, but loads unquantized by most, without a word (diffusers 0.42.1): what quantizes while
it is read is given a folder, as a pipeline has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import cache_folder
from quantlab.errors import VerificationError
from quantlab.lab.keep.scratch import scratch

__all__ = ["as_folder", "check_whole", "read_plain"]


def read_plain(cls: Any, file: str, config: Path, dtype: Any) -> Any:
    """The module of class ``cls`` in ``file``; the folder ``config`` holds its config.

    Raises:
        VerificationError: the file lacks a tensor of it.
    """
    module = cls.from_single_file(file, config=str(config), dtype=dtype)
    check_whole(module, file)
    return module.eval()


def check_whole(module: Any, file: str) -> None:
    """Raises: VerificationError: the file left a tensor of ``module`` empty."""
    missing = [name for name, tensor in module.named_parameters() if tensor.is_meta]
    if missing:
        raise VerificationError(f"{file} gave no {missing[0]}")


@contextmanager
def as_folder(module: Any) -> Iterator[str]:
    """A folder that ``from_pretrained`` reads ``module`` from; it is gone afterwards.

    It takes as many bytes of the disk as the weights.
    """
    cache_folder().mkdir(parents=True, exist_ok=True)
    with scratch(cache_folder()) as folder:
        module.save_pretrained(folder)
        yield folder
