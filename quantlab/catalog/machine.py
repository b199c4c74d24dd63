"""What this machine makes of a scheme, without importing torch.

Looks at installed packages, compilers and device nodes only. What is found here may still fail
when it is used; what is not found here cannot work.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from quantlab.catalog.schema import HARDWARE, Method, Model, Scheme

__all__ = [
    "Machine",
    "has_file",
    "here",
    "in_words",
    "library_here",
    "missing_packages",
    "own_memory_gib",
    "this_machine",
]

_COMPILERS = ("c++", "g++", "clang++", "cl")
_COMPILER = "a C++ compiler"
_LABELS = {"cuda": "a CUDA device", "metal": "Apple silicon", "rocm": "a ROCm device"}


@dataclass(frozen=True)
class Machine:
    """Hardware that torch could use, with "cpu" always first; CUDA's compute capability; a C++
    compiler or none; versions by package name, or None to ask the installation; all bytes of the
    first CUDA device; of the host's memory those that this process may have."""

    hardware: tuple[str, ...] = ("cpu",)
    capability: float | None = None
    compiler: bool = False
    packages: Mapping[str, str] | None = None
    device_bytes: int | None = None
    ram_bytes: int | None = None

    def version(self, package: str) -> str | None:
        """The installed version of a distribution, or None."""
        if self.packages is not None:
            return self.packages.get(package)
        return _installed(package)


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """What there is here; looked up once in a process."""
    gpus = () if (_installed("torch") or "").endswith("+cpu") else tuple(_gpus())
    capability, device_bytes = _nvidia() if "cuda" in gpus else (None, None)
    return Machine(
        hardware=("cpu", *gpus),
        capability=capability,
        compiler=any(shutil.which(name) for name in _COMPILERS),
        device_bytes=device_bytes,
        ram_bytes=_ram_bytes(),
    )


def _ram_bytes() -> int | None:
    """The host's memory, or what a container is given of it."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # "max" is no number
            total = min(total, int((Path("/sys/fs/cgroup") / name).read_text("utf-8")))
    return total


def own_memory_gib(
    hardware: str | None, memory_gib: float | None, machine: Machine
) -> float | None:
    """``memory_gib``; where a CPU is asked about without any, what ``machine`` has."""
    if hardware == "cpu" and memory_gib is None and machine.ram_bytes:
        return machine.ram_bytes / 2**30
    return memory_gib


@lru_cache(maxsize=256)
def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpus() -> list[str]:
    found = []
    if Path("/dev/nvidia0").exists() or (sys.platform == "win32" and shutil.which("nvidia-smi")):
        found.append("cuda")
    if Path("/dev/kfd").exists():
        found.append("rocm")
    if sys.platform == "darwin" and platform.machine() == "arm64":
        found.append("metal")
    if "+xpu" in (_installed("torch") or ""):
        found.append("intel")
    return found


def _nvidia() -> tuple[float | None, int | None]:
    """Compute capability, such as 8.9, and bytes of the first device, as the driver's tool says."""
    command = ["nvidia-smi", "--query-gpu=compute_cap,memory.total"]
    command.append("--format=csv,noheader,nounits")
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        capability, mebibytes = said.stdout.splitlines()[0].split(",")
        return float(capability), int(mebibytes) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None, None


def here(
    scheme: Scheme | None, method: Method, machine: Machine, model: Model | None = None
) -> str:
    """``ok``, ``not-installed: ...`` or ``refused: ...`` for a scheme on ``machine``.

    Hardware that is missing comes first: nobody should install a package in vain.
    """
    if scheme is None:
        return "refused: quantlab has no scheme of it to load"
    if not scheme.loadable:
        return f"refused: {scheme.note}"
    lacking = library_here(scheme, method, machine, model)
    if lacking == "ok" and len(machine.hardware) == 1 and scheme.on_cpu == "no":
        return "refused: quantlab does not run it on a CPU"
    return lacking


def library_here(scheme: Scheme, method: Method, machine: Machine, model: Model | None) -> str:
    """As ``here``, of the scheme's library alone: whether or not quantlab can load it."""
    if lacking := _lacking_hardware(scheme, method, machine, model):
        return f"refused: {lacking}"
    if missing := _missing(scheme, method, machine, model):
        return f"not-installed: {', '.join(missing)}"
    return "ok"


def in_words(found: str) -> str:
    """What ``here`` answered, with the command where something is to be installed."""
    kind, _, missing = found.partition(": ")
    if kind != "not-installed":
        return found
    names = missing.split(", ")
    packages = [f'"{name}"' if ">=" in name else name for name in names if name != _COMPILER]
    parts = [f"pip install {' '.join(packages)}"] if packages else []
    return "not installed: " + " and ".join([*parts, *(n for n in names if n == _COMPILER)])


def _lacking_hardware(
    scheme: Scheme, method: Method, machine: Machine, model: Model | None
) -> str | None:
    if scheme.from_file and not has_file(scheme, model):
        return "needs a ready file of this model"
    for name, least in map(_split, scheme.requires):
        if name in HARDWARE and not _has_hardware(name, least, scheme, method, machine):
            label = _LABELS.get(name, name)
            return f"needs {label}" + (f" of compute capability {least}" if least else "")
    cells = [method.cell(name, scheme) for name in machine.hardware if name != "cpu"]
    if cells and all(cell.value == "no" for cell in cells):
        return cells[0].note or f"{method.name} does not run on {machine.hardware[-1]}"
    return None


def has_file(scheme: Scheme, model: Model | None) -> bool:
    """Whether a file of it is known for ``model``, or quantlab writes one from local weights."""
    if model is None or model.local or model.components[0].is_plain_file:
        return True
    return model.gguf_with(scheme.id) is not None


def _has_hardware(name: str, least: str, scheme: Scheme, method: Method, machine: Machine) -> bool:
    """True where the hardware is here, or another accelerator that the catalogue accepts."""
    others = [h for h in machine.hardware if h not in ("cpu", name)]
    if any(method.cell(other, scheme).value in ("yes", "partial") for other in others):
        return True
    if name not in machine.hardware:
        return False
    return not least or machine.capability is None or machine.capability >= float(least)


def missing_packages(method: Method, machine: Machine) -> list[str]:
    """The packages of ``method`` that are not installed."""
    return [name for name in method.packages if machine.version(name) is None]


def _missing(scheme: Scheme, method: Method, machine: Machine, model: Model | None) -> list[str]:
    missing = missing_packages(method, machine)
    writes = scheme.written_with if model is None or model.local else ()
    for name, least in map(_split, (*scheme.requires, *writes)):
        if name == "compiler":
            if not machine.compiler:
                missing.append(_COMPILER)
        elif name not in HARDWARE:
            found = machine.version(name)
            if found is None or _numbers(found) < _numbers(least):
                missing.append(f"{name}>={least}" if least else name)
    return missing


def _split(text: str) -> tuple[str, str]:
    name, _, least = text.partition(">=")
    return name, least


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, enough to compare releases."""
    numbers = []
    for piece in version.split("+")[0].split("."):
        if not piece.isdigit():
            break
        numbers.append(int(piece))
    return tuple(numbers)
