"""Checks files and folders, one report each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.lab.check.check import check_text
from quantlab.lab.check.code.text import LONGEST, decoded
from quantlab.lab.check.finding import Report

__all__ = ["check_paths"]

KINDS = (".py", ".ipynb")
STDIN = "-"
LEFT_OUT = ("node_modules", "site-packages", "__pycache__")


def check_paths(
    names: Sequence[str], *, gpu: Gpu | None = None, catalog: Catalog | None = None
) -> list[Report]:
    """A report for each file, in the order of ``names``; of a folder its scripts and notebooks,
    of ``-`` what comes in on standard input.

    Raises:
        InputError: a file cannot be read, or is too long.
    """
    return [
        check_text(text, name, gpu=gpu, catalog=catalog)
        for given in names
        for name, text in _texts(given)
    ]


def _texts(given: str) -> Iterator[tuple[str, str]]:
    if given == STDIN:
        data = sys.stdin.buffer.read(LONGEST + 1)
        yield "stdin", decoded(data)
        return
    if not given.strip():  # as an unset variable of a shell leaves it
        raise InputError("file", "is empty; name a file, a folder or -")
    path = Path(given)
    try:
        files = _files(path) if path.is_dir() else [path]
    except OSError as error:  # the name is too long for any file
        raise InputError(f"{given:.60}", f"cannot be read: {error.strerror}") from None
    for file in files:
        yield str(file), _read(file)


def _files(folder: Path) -> list[Path]:
    """Scripts and notebooks below ``folder``, hidden folders and installed packages left out."""
    found = (path for kind in KINDS for path in folder.rglob(f"*{kind}"))
    return sorted(path for path in found if path.is_file() and not _hidden(path, folder))


def _hidden(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return any(part.startswith(".") or part in LEFT_OUT for part in parts)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return decoded(file.read(LONGEST + 1))
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from None
