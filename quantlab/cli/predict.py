"""``python -m quantlab predict``: bytes of plans, and where a card keeps them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from quantlab.catalog.comparison import to_predict
from quantlab.catalog.own.mixes import admit_all
from quantlab.catalog.sizes.idle import to_know
from quantlab.catalog.sizes.predict import Prediction, rules_versions
from quantlab.catalog.sizes.published import published_peaks
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import Seconds
from quantlab.cli import options
from quantlab.record.asking import predicted
from quantlab.record.known import measurements_here
from quantlab.words.units import GIB

__all__ = ["ask", "tell"]

HEAD = ("plan", "weights GiB", "peak GiB", "host GiB", "download GiB")


def ask(arguments: argparse.Namespace) -> list[Prediction]:
    """The predictions for the plans that ``arguments`` name, in order.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    plans, arguments.catalog = admit_all(arguments.plans, arguments.catalog)
    given = options.settings_of(arguments)
    asked = to_predict(arguments.model, plans, given, arguments.catalog)
    return predicted(
        arguments.catalog,
        measurements_here(arguments.catalog),
        asked,
        gpu=arguments.gpu,
        hardware=arguments.hardware,
        memory_gib=arguments.memory_gib,
        ram_gib=arguments.ram_gib,
        batch=arguments.batch,
        references=arguments.references,
    )


def tell(rows: Sequence[Prediction], model: str, catalog: Catalog, *, table: bool) -> None:
    """Print the rows of ``model`` as a table, if at all; on stderr what to know of it, peaks that
    others published of the same plans, and whose rules were followed."""
    for line in _lines(rows) if table else ():
        print(line)
    about = catalog.models[model]
    for line in (*to_know(about), *published_peaks(about, catalog, [row.plan for row in rows])):
        print(line, file=sys.stderr)
    versions = rules_versions(catalog)
    rules = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(f"predicted by the rules of {rules}", file=sys.stderr)


def _lines(rows: Sequence[Prediction]) -> Iterable[str]:
    cards = any(row.on_card for row in rows)
    more = f"  {'placement':15}largest size" if cards else ""
    yield f"{HEAD[0]:40}" + "".join(f"{name:>14}" for name in HEAD[1:]) + more
    for row in rows:
        sizes = (row.total_bytes, row.peak_bytes, row.host_bytes, row.download_bytes)
        line = f"{row.plan:40}" + "".join(f"{size / GIB:14.3f}" for size in sizes)
        if row.on_card is None:
            yield line
            continue
        nowhere = "does not run" if row.on_card.barred else "does not fit"
        where = (row.on_card.placement or nowhere).replace("-", " ")
        yield f"{line}  {where:15}{row.on_card.largest_size or 'none'}"
        time = row.on_card.image_s
        span = f"an image in {time.span()}" if isinstance(time, Seconds) else "seconds: none"
        yield f"    {span}; {row.on_card.why}"
