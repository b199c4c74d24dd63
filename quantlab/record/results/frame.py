"""The field: everything that is recorded, as one tidy frame with a line for each run.

It holds the results of the store, the sweep that ships with the project, and figures that others
have published. ``evidence`` says how a number is known and ``source`` where it stands; ``machine``,
``device_*`` and ``version_*`` say on what it was measured. ``group`` is equal for lines whose
numbers belong side by side: same evidence, model, machine, versions, settings and reference.

Bytes are bytes, ``_s`` are seconds, ``psnr_db`` is dB. Text that is not known is empty, a number
that is not known is NaN or NA.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from quantlab.catalog.paths import PROJECT
from quantlab.errors import StoreError
from quantlab.record.gallery import Gallery
from quantlab.record.results.export import plain
from quantlab.record.store.row import Stored, short_hash
from quantlab.record.store.store import Store
from quantlab.record.sweeps.table import MIXES, setting_column, tidy
from quantlab.words.comparison import SHIPPED
from quantlab.words.metrics import METRICS
from quantlab.words.settings import SETTINGS
from quantlab.words.units import GIB

__all__ = [
    "LIMIT",
    "PUBLISHED",
    "SWEEP",
    "field",
    "frame_of",
    "narrow",
    "newest",
    "records",
    "told",
]

LIMIT = 2000
"""So many of the newest results of the store are read."""

FOLDER = PROJECT / "data" / "results"
SWEEP = FOLDER / f"sweep-{SHIPPED}-cpu.csv"
PUBLISHED = FOLDER / "published-h100.csv"

_FLOATS = {
    "others_cpu",
    *(row.key for row in SETTINGS if row.kind == "number"),
    *(row.key for row in METRICS if row.unit != "bytes"),
}
_COUNTS = {"repeats", *(row.key for row in SETTINGS if row.kind == "whole")}
_FIRST = tuple(
    dict.fromkeys(
        (
            *(
                "evidence",
                "source",
                "url",
                "checked",
                "result",
                "model",
                "plan",
                "role",
                "reference",
            ),
            *(row.key for row in SETTINGS if not row.optional),
            *("offload", "status", "error", "repeats", "latency_s"),
            *("weights_bytes", "loaded_bytes", "peak_bytes", "peak_kind"),
            *(row.key for row in METRICS),
            *("identical", "across_modes", "way", "notes", "others_cpu", "machine", "measured_at"),
        )
    )
)
"""Columns that are always there, in their order; weights of components and provenance follow."""

_OPTIONAL = (*(setting_column(row.key) for row in SETTINGS if row.optional), MIXES)
_CIRCUMSTANCES = (
    *("evidence", "model", "machine", "offload", "reference"),
    *(setting_column(row.key) for row in SETTINGS if not row.swept),
)

Record = Mapping[str, Any]


def field(
    store: Store | None,
    sweep: Path = SWEEP,
    published: Path = PUBLISHED,
    gallery: Gallery | None = None,
) -> pd.DataFrame:
    """All lines, the newest results of the store first. It is shared: do not change it.

    A run that is in the store and in the gallery or the sweep's file too counts once.

    Raises:
        StoreError: the store or a file cannot be read.
    """
    return _field(store, newest(store), sweep, published, gallery)


def newest(store: Store | None) -> str:
    """The id of the newest result, or nothing. What ``field`` gives only changes with it: rows go
    only when one comes.

    Raises:
        StoreError: the store cannot be read.
    """
    found = store.recent(1, images=False) if store else []
    return found[0].id if found else ""


@lru_cache(maxsize=4)
def _field(
    store: Store | None, last: str, sweep: Path, published: Path, gallery: Gallery | None
) -> pd.DataFrame:
    """``last`` makes a store that has changed another argument."""
    stored = _told(store.recent(LIMIT, images=False)) if store and last else []
    stored += _told(gallery.rows) if gallery is not None else []
    there = {_run(record) for record in stored}
    swept = [record for record in _swept(sweep) if _run(record) not in there]
    return frame_of([*stored, *swept, *_published(published)])


def told(rows: Iterable[Stored]) -> pd.DataFrame:
    """These results as a frame like that of ``field``."""
    return frame_of(_told(rows))


def _told(rows: Iterable[Stored]) -> list[dict[str, Any]]:
    return [
        {**tidy(row), "evidence": "measured", "source": _source(row), "result": row.id}
        for row in rows
    ]


def _source(row: Stored) -> str:
    if row.shipped:
        return "data/gallery"
    return "imported from another machine" if row.imported_at else "results of this page"


@lru_cache(maxsize=4)
def _swept(path: Path) -> tuple[Record, ...]:
    if not path.exists():
        return ()
    source = {"evidence": "measured", "source": f"data/results/{path.name}"}
    return tuple(
        {**{name: plain(text) for name, text in line.items()}, **source} for line in _lines(path)
    )


@lru_cache(maxsize=4)
def _published(path: Path) -> tuple[Record, ...]:
    """Two records of a line where it has figures with CPU offload too."""
    return tuple(
        _published_record(line, prefix, offload)
        for line in _lines(path)
        for prefix, offload in (("", ""), ("offload_", "model CPU offload"))
        if line[f"{prefix}seconds"]
    )


def _published_record(line: Record, prefix: str, offload: str) -> Record:
    return {
        **{name: line[name] for name in ("model", "plan", "steps", "width", "height")},
        **{name: line[name] for name in ("source", "url", "checked")},
        "evidence": "documented",
        "role": "plan",
        "offload": offload,
        "status": "ok",
        "latency_s": line[f"{prefix}seconds"],
        "loaded_bytes": round(float(line[f"{prefix}loaded_gib"]) * GIB),
        "peak_bytes": round(float(line[f"{prefix}peak_gib"]) * GIB),
        "peak_kind": f"cuda-{line['memory_kind']}",
        "device_name": line["device"],
    }


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"data/results/{path.name} cannot be read as a table.") from error
    return frame.to_dict("records")  # type: ignore[return-value]


def _run(record: Record) -> tuple[object, ...]:
    """What tells one run from another: its plan, its inputs, and the seconds it took."""
    names = ("model", "plan", "reference", "prompt", "role")
    numbers = ("seed", "steps", "width", "height", "latency_s")
    return *(record[name] for name in names), *(_float(record[name]) for name in numbers)


def frame_of(found: Iterable[Record]) -> pd.DataFrame:
    """Records as a frame with typed columns; where a record says nothing, nothing is known."""
    given = list(found)
    names = dict.fromkeys((*_FIRST, *_OPTIONAL, *(name for record in given for name in record)))
    frame = pd.DataFrame({name: _column(name, [r.get(name) for r in given]) for name in names})
    frame["machine"] = frame.get("device_name", pd.Series("", frame.index))
    frame["group"] = _groups(frame)
    return frame


def _column(name: str, values: Sequence[Any]) -> pd.Series[Any]:
    told = name.startswith(("device_", "version_"))
    if not told and (name in _FLOATS):
        return pd.Series([_float(value) for value in values], dtype="float64")
    if not told and (name in _COUNTS or name.endswith("_bytes")):
        counts = [None if value in (None, "") else int(value) for value in values]
        return pd.Series(counts, dtype="Int64")
    if name in ("identical", "across_modes"):
        return pd.Series([str(value) == "True" for value in values], dtype="bool")
    return pd.Series(["" if value is None else str(value) for value in values], dtype="object")


def _float(value: Any) -> float:
    return math.nan if value in (None, "") else float(value)


def _groups(frame: pd.DataFrame) -> list[str]:
    told = [name for name in frame.columns if name.startswith(("device_", "version_"))]
    columns = [frame[name].astype(object).tolist() for name in (*_CIRCUMSTANCES, *sorted(told))]
    source = frame["source"].where(frame["evidence"] == "documented", "").tolist()
    short: dict[str, str] = {}
    found = []
    for key in map(str, zip(source, *columns, strict=True)):
        if key not in short:
            short[key] = short_hash(key)
        found.append(short[key])
    return found


def narrow(
    frame: pd.DataFrame, *, model: str = "", evidence: str = "", machine: str = "", words: str = ""
) -> pd.DataFrame:
    """The lines of that model, evidence and machine whose plan or prompt has all the words.

    Empty means any; capitals do not count.
    """
    kept = pd.Series(True, frame.index)
    for name, wanted in (("model", model), ("evidence", evidence), ("machine", machine)):
        if wanted:
            kept &= frame[name] == wanted
    if words.strip():
        text = (frame["plan"] + " " + frame["prompt"]).str.lower()
        for word in words.lower().split():
            kept &= text.str.contains(word, regex=False)
    return frame[kept]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines as plain values for an export; None where a number is not known."""
    told = frame.drop(columns="group")
    told = told.loc[:, [name for name in told if _says_something(told[name])]]
    return told.astype(object).where(told.notna(), None).to_dict("records")  # type: ignore[return-value]


def _says_something(column: pd.Series[Any]) -> bool:
    return bool((column.notna() & (column.astype(str) != "")).any()) or column.name in _FIRST
