"""What a command names of one's own: files, a model, a LoRA, pictures to go by."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from quantlab.catalog.own.mixes import known_here_only
from quantlab.errors import InputError
from quantlab.words.plan import Plan

__all__ = [
    "admit_named",
    "check_ending",
    "check_file",
    "check_own_mixes",
    "make_folder",
    "named_path",
    "text_of",
]

MOST_BYTES = 4 * 2**20
"""Of a text file that a command reads whole; it may be a pipe, of which nobody knows the size."""


def named_path(text: str) -> Path:
    """The type of an option that names a file or folder. An empty name, as an unset variable of a
    shell leaves it, would be the folder that one is in.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; name a file or a folder")
    return Path(text)


def make_folder(part: str, path: Path) -> None:
    """Have the folder that an option names before anything runs for it.

    Raises:
        InputError: it cannot be one that is written to; ``part`` is named.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(part, f"cannot be used as a folder: {error.strerror}") from None
    if not os.access(path, os.W_OK):
        raise InputError(part, f"{path} cannot be written")


def check_file(part: str, path: Path | None, *endings: str) -> None:
    """Refuse a file that could not be written in the end, before anything runs for it.

    Raises:
        InputError: it is a folder, or in none that is written to, or as ``check_ending``.
    """
    if path is not None:
        check_ending(part, path, *endings)
        if path.is_dir():
            raise InputError(part, f"{path} is a folder; name a file")
        make_folder(part, path.parent)


def check_ending(part: str, path: Path, *endings: str) -> None:
    """Refuse a file that would be called what it is not; a name without an ending says nothing.

    Raises:
        InputError: its ending is none of ``endings``; ``part`` is named.
    """
    if path.suffix and path.suffix.lower() not in endings:
        known = " or ".join(endings)
        raise InputError(part, f"{path} ends in {path.suffix}; {known} is written")


def check_own_mixes(arguments: argparse.Namespace, plans: Iterable[Plan]) -> None:
    """Refuse to have a mix of one's own run by a process that does not know it.

    Raises:
        InputError: ``arguments`` ask for that; the option is named.
    """
    elsewhere = [part for part in ("isolate", "ray") if getattr(arguments, part, None)]
    if elsewhere and known_here_only(plans):
        raise InputError(elsewhere[0], "a mix of one's own is known to this process alone")


def text_of(part: str, path: Path) -> str:
    """The text of a file that an option names.

    Raises:
        InputError: it cannot be read, is no text or larger than ``MOST_BYTES``; ``part`` is named.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(part, f"{path} is larger than {MOST_BYTES // 2**20} MiB")
        return content.decode()
    except OSError as error:
        raise InputError(part, f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(part, f"{path} cannot be read: it is not UTF-8 text") from None


def admit_named(arguments: argparse.Namespace) -> None:
    """Have whatever ``arguments`` name of one's own known, and put its id in their place.

    Raises:
        QuantlabError: it is not there, or cannot be used; the message names it.
    """
    _admit_model(arguments)
    _admit_lora(arguments)
    _admit_references(arguments)


def _admit_model(arguments: argparse.Namespace) -> None:
    """A folder or repository that --model names becomes a model of the catalogue.

    Raises:
        QuantlabError: as ``lab.hub.admit.admit`` does.
    """
    named = getattr(arguments, "model", None)
    if not named:
        return
    from quantlab.lab.hub.admit import about, admit, names_own

    if names_own(named):
        model = admit(named)
        print(f"quantlab: {about(model)}", file=sys.stderr)
        arguments.model = model.id


def _admit_lora(arguments: argparse.Namespace) -> None:
    """A folder or file that --lora names becomes one that comparisons may name.

    Raises:
        InputError: as ``lab.lora.file.admit_lora`` does.
    """
    named = getattr(arguments, "lora", None)
    if named:
        from quantlab.lab.lora.file import admit_lora

        arguments.lora = admit_lora(named)


def _admit_references(arguments: argparse.Namespace) -> None:
    """The files that --reference names are kept under digests, which comparisons may name.

    Raises:
        InputError, StoreError: as ``lab.references.admit_reference`` does.
    """
    named = getattr(arguments, "reference", None)
    if isinstance(named, list):  # of a gate it is a plan
        from quantlab.lab.references import admit_reference

        digests = [admit_reference(each) for each in named]
        for name, digest in zip(named, digests, strict=True):
            print(f"quantlab: the picture {name} is {digest}", file=sys.stderr)
        arguments.reference = ",".join(digests)
