"""The one way in to torch and its libraries: imported lazily and without their start-up noise.

Several of the libraries log warnings at import about kernels for other hardware. They say nothing
about a comparison on this machine, so their loggers are set to errors before the import.
"""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.metadata
import logging
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from quantlab.errors import Unavailable, first_line
from quantlab.lab.threads import keep_within, wait_passively

__all__ = ["load", "resolve", "torch", "versions"]

_NOISY = ("torchao", "bitsandbytes", "sdnq", "torch.utils._pytree", "diffusers", "transformers")
PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "torchao",
    "optimum-quanto",
    "gguf",
    "libggml-python",
    "sdnq",
)


@functools.cache
def _quieten() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Their deprecations are for the writers of quantlab, who see them in the tests' output.
    warnings.filterwarnings("ignore", module=r"(torch|torchao|optimum|sdnq|bitsandbytes)\b")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"diffusers\b")


@contextmanager
def _no_collections() -> Iterator[None]:
    """What an import makes stays: looking for garbage among these millions of objects, again and
    again while they grow, takes a quarter of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@functools.cache
def load(name: str) -> ModuleType:
    """Import ``name`` quietly.

    Raises:
        Unavailable: it is missing or broken; the message is the import error's first line.
    """
    _quieten()
    wait_passively(os.environ)
    try:
        with _no_collections():
            module = importlib.import_module(name)
    except Exception as error:  # a backend's import may fail in any way: it is then not available
        raise Unavailable(f"{name} is not available: {first_line(error)}") from error
    if name == "torch":
        keep_within(module, os.environ)
    elif name == "diffusers":
        load("transformers")
    if name in ("diffusers", "transformers"):
        verbosity = importlib.import_module(f"{name}.utils.logging")
        verbosity.set_verbosity_error()
        verbosity.disable_progress_bar()
    return module


def torch() -> Any:
    """The torch module."""
    return load("torch")


def resolve(path: str) -> Any:
    """The object behind a dotted path such as ``diffusers.TorchAoConfig`` or ``torch.float32``.

    Raises:
        Unavailable: the module cannot be imported or has no such name.
    """
    module, _, name = path.rpartition(".")
    loaded = load(module)
    with _no_collections():  # a lazy module imports most of it now
        found = getattr(loaded, name, None)
    if found is None:
        raise Unavailable(f"{module} has no {name}; a newer or older version is needed")
    return found


def versions() -> dict[str, str]:
    """Installed versions of the libraries that a result depends on, and of Python."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
