"""A results file: what one machine measured, to be taken to another one whole.

    {"format": "quantlab-results", "version": 1, "results": [{"comparison": {...}, "outcome": {...},
     "device": {...}, "versions": {...}, "measured_at": "...", "image_png": "BASE64"}, ...]}

``comparison`` has its plans as texts, ``outcome`` is as ``compare --json`` prints it but for the
path of its image, and ``image_png`` is left out where there is none. ``results/importing.py`` reads
it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from quantlab.errors import InputError
from quantlab.record.store.row import Stored, finite
from quantlab.record.store.store import Store

__all__ = ["FORMAT", "VERSION", "named", "pieces"]

FORMAT = "quantlab-results"
VERSION = 1


def named(store: Store, ids: Sequence[str], *, images: bool) -> list[Stored]:
    """The results of these ids, each once and in their order; without ``images`` numbers alone.

    Raises:
        InputError: an id is none of a result.
        StoreError: the store cannot be read.
    """
    found = []
    for result in dict.fromkeys(ids):
        row = store.get(result)
        if row is None:
            raise InputError("id", f"no result {result!r:.40} is stored here")
        found.append(row if images else replace(row, image_png=None))
    return found


def pieces(rows: Iterable[Stored]) -> Iterator[str]:
    """The text of the file in pieces, one a row, so that it need not lie in memory as a whole."""
    head = json.dumps({"format": FORMAT, "version": VERSION, "results": []})
    yield head.removesuffix("]}")
    for index, row in enumerate(rows):
        text = json.dumps(_item(row), allow_nan=False, ensure_ascii=False, default=str)
        # A library's message may hold half a surrogate pair, which UTF-8 does not have.
        yield (",\n" if index else "\n") + text.encode("utf-8", "replace").decode()
    yield "]}\n"


def _item(row: Stored) -> dict[str, Any]:
    item = {
        "comparison": row.comparison.as_dict(),
        "outcome": {**row.outcome.as_dict(), "image": None},
        "device": row.device,
        "versions": row.versions,
        "measured_at": row.measured_at,
    }
    if row.image_png is not None:
        item["image_png"] = base64.b64encode(row.image_png).decode()
    return dict(finite(item))
