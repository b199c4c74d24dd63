"""The licences of installed distributions, as their own metadata give them."""

from __future__ import annotations

import importlib.metadata as metadata
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_SHORT = 80
"""A longer Licence field is the licence's text, which names the licences of what it bundles too."""
_TITLES = {
    "Redistribution and use in source and binary forms": "BSD-3-Clause",
    "Permission is hereby granted, free of charge": "MIT",
    "Apache License": "Apache-2.0",
}


def required(path: Path) -> dict[str, metadata.Distribution]:
    """Every distribution that a requirements file asks for, with all that these ask for, by name.

    What a marker leaves out on this machine is left out; what is asked for and missing is an error.
    """
    lines = (line.split(" #")[0].strip() for line in path.read_text("utf-8").splitlines())
    left = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while left:
        wanted = left.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if (wanted.marker and not wanted.marker.evaluate()) or key in seen:
            continue
        seen.add(key)
        found[key[0]] = metadata.distribution(wanted.name)
        left += _needed(found[key[0]], wanted.extras)
    return found


def _needed(found: metadata.Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in found.requires or ():
        need = Requirement(text)
        marker, need.marker = need.marker, None
        if marker is None or any(marker.evaluate({"extra": name}) for name in ("", *extras)):
            yield need


def licences(found: metadata.Distribution) -> list[str]:
    """What a distribution says of its licence: its SPDX expression, else its classifiers and its
    short Licence field, else what its licence file is by its words."""
    about = found.metadata
    if expression := about.get("License-Expression"):
        return [expression]
    said = [
        text.rpartition("::")[2].strip()
        for text in about.get_all("Classifier") or ()
        if text.startswith("License ::")
    ]
    if 0 < len(short := (about.get("License") or "").strip()) <= _SHORT:
        said.append(short)
    return said or _by_its_file(found)


def _by_its_file(found: metadata.Distribution) -> list[str]:
    files = [file for file in found.files or () if re.search(r"(?i)licen[cs]e", file.name)]
    texts = [file.read_text() for file in files if ".dist-info" in str(file)]
    return [name for text in texts for words, name in _TITLES.items() if words in text]


def is_strict(text: str) -> bool:
    """Whether a licence is of the GNU family, or one that asks for changes to be published."""
    return bool(re.search(r"(?i)\b[AL]?GPL|GNU |\bMPL|Mozilla|\bEUPL|\bSSPL|CeCILL", text))
