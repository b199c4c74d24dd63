"""What a pipeline has beside its weights: whether tokenizers, schedulers, processors are there.

A pipeline that lacks one can be counted but not run, and libraries say so late and in their own
words. Looked at are the names of files and the configs, not what the tokenizers hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from quantlab.catalog.own.headers import Files
from quantlab.errors import InputError
from quantlab.lab.libraries import resolve
from quantlab.lab.own.parts import Index, read_json

__all__ = ["check_beside"]

TOKENIZER, ENCODER = "tokenizer", "text_encoder"
WHOLE = "tokenizer_file"
"""transformers' name for the one file that holds all of a tokenizer."""


def check_beside(files: Files, index: Index, name: str, optional: Collection[str]) -> None:
    """Refuse the pipeline ``name`` where a part that it needs is not named or has no files;
    ``optional`` are components that a listed model of its kind runs without.

    Raises:
        InputError: names the part.
        Damaged: a config of one cannot be read.
    """
    for part in sorted(index.needed - index.named.keys()):
        if part not in optional and not _follows(part, index):
            raise InputError(
                "model", f"{name} has no {part}, which a {index.pipeline} does not run without"
            )
    for part in sorted(index.named.keys() - index.components.keys()):
        if part in index.elsewhere:
            continue
        here = files.names(part)
        if lacking := _lacking(here, resolve(".".join(index.named[part]))):
            raise InputError("model", f"{name} has a {part} without {lacking}")
        for file in sorted(here):
            if file.endswith("config.json") or (file.endswith(".json") and files.local):
                read_json(files, f"{part}/{file}")


def _follows(part: str, index: Index) -> bool:
    """Whether it is the tokenizer of a text encoder that is left out."""
    if not part.startswith(TOKENIZER):
        return False
    return part.replace(TOKENIZER, ENCODER) not in index.components


def _lacking(here: Collection[str], cls: Any) -> str:
    """The file that the part of class ``cls`` is not read without, "" where it has it."""
    try:
        config = getattr(cls, "config_name", "")
        sets = list(_sets(dict(getattr(cls, "vocab_files_names", None) or {})))
    except ImportError:  # transformers' place holder of a class whose libraries are not all here
        return "" if here else "files"
    if config:
        return "" if config in here else str(config)
    if sets:
        return "" if any(each <= set(here) for each in sets) else " and ".join(sorted(sets[0]))
    return "" if here else "files"


def _sets(names: dict[str, str]) -> Iterator[set[str]]:
    """The sets of files of a tokenizer each of which is enough."""
    whole = names.pop(WHOLE, None)
    if whole is not None:
        yield {whole}
    if names:
        yield set(names.values())
