"""A mix of one's own: a folder that ``quantlab tune`` wrote, named in the place of a scheme.

It is known to the catalogue that is handed on from here and to nobody else: no link or request
names a folder. Its id ends in a digest of its file, so that results of different mixes never meet.
A page on one's own machine has ``Growing`` schemes, to which what is tuned there is added; it
finds them again in ``mixes_folder`` when it is started anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from quantlab.catalog.paths import data_folder, there
from quantlab.catalog.read.mixes import PREFIX, read_mix
from quantlab.catalog.read.toml import read_toml
from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import Catalog
from quantlab.errors import CatalogError, InputError, StoreError
from quantlab.words.plan import Plan, without_marks

__all__ = [
    "FILE",
    "Growing",
    "admit_all",
    "admit_mixes",
    "is_own",
    "kept_mixes",
    "known_here_only",
    "mixes_folder",
    "own_mix",
]

FILE = "mix.toml"
DIGITS = 8
_OWN = re.compile(rf"{PREFIX}.+\.[0-9a-f]{{{DIGITS}}}")


class Growing(Mapping[str, Scheme]):
    """Schemes by id, to which mixes of one's own are added while a page runs.

    Whoever goes through them sees them as they were at the start of that.
    """

    def __init__(self, known: Mapping[str, Scheme]) -> None:
        self._known = dict(known)

    def add(self, mix: Scheme) -> None:
        """From now on ``mix`` is one of them."""
        self._known = {**self._known, mix.id: mix}

    def __getitem__(self, scheme: str) -> Scheme:
        return self._known[scheme]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def is_own(scheme: str) -> bool:
    """Whether that is the id of a mix of one's own, which this machine alone knows."""
    return _OWN.fullmatch(scheme) is not None


def known_here_only(plans: Iterable[Plan]) -> bool:
    """Whether one of them holds a mix of one's own, which no other process and no link has."""
    return any(is_own(scheme) for plan in plans for _, scheme in plan.parts)


def admit_mixes(text: str, catalog: Catalog) -> tuple[str, Catalog]:
    """The plan's text with ids in the place of folders, and a catalogue that knows these.

    Raises:
        InputError: a mix cannot be read.
    """
    pieces = []
    for component, scheme in _pieces(text):
        folder = _folder(scheme)
        if folder is not None:
            scheme, catalog = _admit(folder, catalog)
        pieces.append(f"{component}={scheme}" if component else scheme)
    return ",".join(pieces) + without_marks(text)[1], catalog


def admit_all(texts: Iterable[str], catalog: Catalog) -> tuple[list[str], Catalog]:
    """As ``admit_mixes``, of several plans.

    Raises:
        InputError: a mix cannot be read.
    """
    named = []
    for text in texts:
        name, catalog = admit_mixes(text, catalog)
        named.append(name)
    return named, catalog


def _pieces(text: str) -> list[tuple[str, str]]:
    """Component, "" for a bare scheme, and what stands in the place of the scheme."""
    found = []
    for piece in without_marks(text)[0].split(","):
        component, sign, scheme = piece.partition("=")
        found.append((component.strip(), scheme.strip()) if sign else ("", piece.strip()))
    return found


def _folder(text: str) -> Path | None:
    folder = there(text) if text else None
    return folder if folder is not None and (folder / FILE).is_file() else None


def _admit(folder: Path, catalog: Catalog) -> tuple[str, Catalog]:
    mix = own_mix(folder, catalog)
    known = MappingProxyType({**catalog.schemes, mix.id: mix})
    return mix.id, replace(catalog, schemes=known)


def own_mix(folder: Path, catalog: Catalog) -> Scheme:
    """The mix that ``quantlab tune`` wrote to ``folder``.

    Raises:
        InputError: it cannot be read.
    """
    path = (folder / FILE).resolve()
    name = re.sub(r"[^a-z0-9_]+", "-", path.parent.name.lower()).strip("-_")[:40] or "own"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
        table = read_toml(path, path.parent.parent)
        where = str(path.parent)
        return read_mix(table, f"{name}.{digest}", where, catalog.methods, catalog.schemes)
    except (CatalogError, OSError) as error:
        raise InputError("plan", f"{folder} holds no mix that can be read: {error}") from None


def mixes_folder() -> Path:
    """Where the page keeps what is tuned there, a folder each, as ``quantlab tune`` writes it.

    Raises:
        StoreError: as ``data_folder``.
    """
    return data_folder() / "mixes"


def kept_mixes(catalog: Catalog, say: Callable[[str], None]) -> Iterator[Scheme]:
    """The mixes of ``mixes_folder``, in the order of their names; ``say`` is told of those that
    cannot be read any more."""
    try:
        files = sorted(mixes_folder().glob(f"*/{FILE}"))
    except (OSError, StoreError):  # no folder, no mixes
        return
    for path in files:
        try:
            yield own_mix(path.parent, catalog)
        except InputError as error:
            say(f"A mix that was tuned here is left out: {error}")
