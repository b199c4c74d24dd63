"""Quantized components kept on disk, to be reloaded the next time instead of quantized again.

Only who names a folder gets them: ``QUANTLAB_VARIANTS``, or ``--variants`` on the command line.
``QUANTLAB_VARIANTS_LIMIT_GIB`` (50) bounds its size. What is kept is read back at once and held
against what was saved, so that the difference which reloading makes is known from the start.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import typed
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError, LoadError, first_line
from quantlab.lab.keep.bounded_folder import Shelf
from quantlab.lab.keep.saving import Difference, cannot_save, read_back, reload, save
from quantlab.lab.libraries import torch, versions
from quantlab.lab.load import place
from quantlab.lab.load.part import Part
from quantlab.lab.load.weights import stored_bytes, verify

__all__ = ["FOLDER", "LIMIT", "RELOADED", "Taken", "Variant", "Variants", "limit_of", "opted"]

log = logging.getLogger(__name__)
FOLDER = "QUANTLAB_VARIANTS"
LIMIT = "QUANTLAB_VARIANTS_LIMIT_GIB"
DEFAULT_GIB = 50.0
RELOADED = "reloaded from disk"
PACKAGES = ("torch", "diffusers", "transformers")


@dataclass(frozen=True)
class Taken:
    """A module reloaded from disk and verified; the notes say what reloading changed."""

    module: Any
    notes: tuple[str, ...]


class Variant:
    """One component of one model in one scheme, and its place on the shelf.

    ``key`` is all that decides the bytes.
    """

    def __init__(self, shelf: Shelf, part: Part, key: dict[str, Any]) -> None:
        self._shelf, self._part, self._key = shelf, part, key

    def here(self) -> bool:
        """Whether there is one; ``take`` finds out whether it is sound."""
        return self._shelf.has(self._key)

    def take(self) -> Taken | None:
        """The kept module; None where there is none, or it is damaged, and is then let go."""
        entry = self._shelf.get(self._key)
        if entry is None:
            return None
        try:
            known = Difference(**entry.about)
            module = reload(self._part, entry.folder)
            _align(module)
            verify(module, self._part.known, self._part.component.name, self._part.kept)
        except (LoadError, TypeError):  # it is quantized again
            log.warning("a kept %s cannot be reloaded", self._part.known.id, exc_info=True)
            self._shelf.remove(self._key)
            return None
        name = self._part.component.name
        said = f"{name} was reloaded from disk, not quantized here: {known}."
        return Taken(module, (said,) if known.changed else ())

    def keep(self, module: Any, home: str, say: Callable[[str], None]) -> tuple[str, ...]:
        """Keep a module that was just quantized and lies on device ``home``.

        Whatever goes wrong is no more than a note: the module is as good as before.
        """
        name = f"{self._part.component.name} in {self._part.known.id}"
        say(f"keeping {name} on disk")
        place.onto(module, "cpu")  # reading it back may need the room on the device
        try:
            kept = self._shelf.put(self._key, stored_bytes(module), partial(self._write, module))
        except (OSError, LoadError) as error:
            return (f"{name} could not be kept on disk: {first_line(error)}",)
        finally:
            place.onto(module, home)
        if not kept:
            return (f"{name} is not kept on disk: the limit or the disk has no room for it.",)
        return (f"{name} was kept on disk when it was quantized; host memory held it twice then.",)

    def _write(self, module: Any, folder: Path) -> dict[str, Any]:
        save(module, self._part, folder)
        return asdict(read_back(module, self._part, folder))


class Variants:
    """The folder that somebody has opted for."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._shelf = Shelf(folder, limit_bytes)

    def variant(self, part: Part, catalog: Catalog) -> Variant | None:
        """What is kept of ``part``; None where it cannot be saved."""
        if cannot_save(part, catalog):
            return None
        method = catalog.methods[part.known.method]
        component, installed = part.component, versions()
        key = {
            "model": part.model.source,
            "weights": part.files().version(component.name),
            "component": asdict(component),
            "scheme": part.known.id,
            "config": repr(part.spec),
            "dtype": part.dtype,
            "device": part.device,
            "versions": {n: installed.get(n, "") for n in sorted({*PACKAGES, *method.packages})},
        }
        return Variant(self._shelf, part, key)


def _align(module: Any) -> None:
    """Give plain weights that lie at odd addresses of a mapped file memory of their own.

    Kernels for CPUs choose by address how they sum up, and the last digit of the output would not
    be that of weights which were quantized here. 64 is what torch's own allocator aligns to.
    """
    for tensor in chain(module.parameters(), module.buffers()):
        plain = type(tensor.data) is torch().Tensor
        if plain and tensor.device.type == "cpu" and tensor.data_ptr() % 64:
            tensor.data = tensor.data.clone()


def opted() -> Variants | None:
    """The folder that the environment names, or None.

    Raises:
        InputError: the limit is not a number of GiB.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    limit = limit_of(LIMIT, os.environ.get(LIMIT) or str(DEFAULT_GIB))
    return Variants(typed(folder), limit)


def limit_of(part: str, text: str) -> int:
    """Bytes of the GiB that ``text`` says.

    Raises:
        InputError: it is no number above 0; ``part`` is named.
    """
    try:
        gib = float(text)
    except ValueError:
        gib = math.nan
    if not 0 < gib < 2**20:
        raise InputError(part, f"{text!r:.42} is not a number of GiB above 0")
    return int(gib * 2**30)
