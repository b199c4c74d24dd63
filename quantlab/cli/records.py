"""The commands export, import and delete: stored results as a file, back again, and gone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from quantlab.catalog.paths import whole_file
from quantlab.cli.admit import check_ending
from quantlab.errors import InputError
from quantlab.record.results.file import named, pieces
from quantlab.record.results.importing import MAX_FILE_BYTES, read_results
from quantlab.record.store.store import Store, Stored
from quantlab.words.numbers import show

__all__ = ["run_delete", "run_export", "run_import"]

MOST_DAYS = 99_999
"""Ago; longer than anything is kept."""


def run_export(
    out: Path | None, newest: int | None, ids: Sequence[str] | None, *, images: bool
) -> None:
    """Write the stored results, the newest first, to ``out`` or standard output.

    Raises:
        InputError: ``out`` cannot be written; it is then as it was. Or an id is none of a result.
        StoreError: the store cannot be read.
    """
    if out is not None:
        check_ending("out", out, ".json")
    store = Store()
    text = pieces(_rows(store, newest, images) if ids is None else named(store, ids, images=images))
    if out is None:
        sys.stdout.writelines(text)
        return
    try:
        with whole_file(out) as part, open(part, "w", encoding="utf-8", newline="") as file:
            file.writelines(text)
    except OSError as error:
        raise InputError("out", f"{out} cannot be written: {error.strerror}") from None


def _rows(store: Store, newest: int | None, images: bool) -> Iterator[Stored]:
    """One image at a time: a store may be larger than memory."""
    for row in store.recent(newest or 2**31, images=False):
        yield (store.get(row.id) or row) if images else row


def run_import(files: Sequence[Path], *, as_json: bool) -> None:
    """Keep what the files hold, all or nothing.

    Raises:
        InputError: a file cannot be read, or is not what export writes; nothing is kept.
        StoreError: there is no room, or the store cannot be written; nothing is kept.
    """
    rows = [row for path in files for row in read_results(str(path), _content(path))]
    added = Store().add(rows)
    if as_json:
        json.dump({"added": added, "known": len(rows) - added}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        print(f"{added} results added; {len(rows) - added} were there already.")


def run_delete(
    ids: Sequence[str] | None, older_than: float | None, search: str | None, *, as_json: bool
) -> None:
    """Remove the results that meet every condition given, and say how many.

    Raises:
        InputError: there is no condition, or one that means nothing.
        StoreError: the store cannot be written.
    """
    if ids is None and older_than is None and search is None:
        raise InputError("delete", "give --id, --older-than or --search: which results go")
    if older_than is not None and not 0 <= older_than <= MOST_DAYS:
        raise InputError("older-than", f"{show(older_than)}; 0 to {MOST_DAYS} days are allowed")
    if search is not None and not search.strip():
        raise InputError("search", "is empty; everything would go")
    removed = Store().delete(ids, older_than_days=older_than, search=search)
    if as_json:
        json.dump({"removed": removed}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        print(f"{removed} result{'' if removed == 1 else 's'} removed.")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from None
