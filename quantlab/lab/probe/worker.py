"""The probe's process: tries capabilities of one scheme, one after the other, and tells of each.

Whatever a library raises ends here as a finding: a refusal is "no", anything else "error". What
cannot be caught, a crash or a hang, is for the parent to see (probe/probe.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from quantlab.catalog.table import load_catalog
from quantlab.errors import QuantlabError, first_line
from quantlab.lab.libraries import resolve
from quantlab.lab.runners.child import serve

__all__ = ["main", "one_line"]

_REFUSALS = (QuantlabError, ValueError, TypeError, NotImplementedError, ImportError)
_PATH = re.compile(r"(?<![\w.:/])(?:/[\w.+@-]+){2,}")
_LONGEST = 300


def main(table: Mapping[str, Callable[[Any], Any]] | None = None) -> None:
    """Serve one job; ``table`` stands in for the capabilities in tests, and is given None."""

    def work(job: dict[str, Any], tell: Callable[[Mapping[str, Any]], None]) -> None:
        # Imported here: what its import does must be seen by the parent's limits too.
        from quantlab.lab.probe.capabilities import TABLE

        subject = _subject(job) if table is None else None
        for name in job["capabilities"]:
            tell({"start": name})
            started = time.perf_counter()
            measured, detail = _try((table or TABLE)[name], subject)
            seconds = time.perf_counter() - started
            tell({"done": name, "measured": measured, "detail": detail, "seconds": seconds})

    serve(work)


def _subject(job: Mapping[str, Any]) -> Any:
    """What the capabilities are tried on."""
    from quantlab.lab.device import this_device
    from quantlab.lab.probe.subject import Subject

    subject = Subject(job["scheme"], load_catalog(), this_device(), job["component"])
    known = subject.catalog.models[subject.model]
    resolve(f"diffusers.{known.pipeline}")  # imports belong to no cell's seconds
    return subject


def _try(probe: Callable[[Any], Any], subject: Any) -> tuple[str, str]:
    try:
        found = probe(subject)
        return found.measured, one_line(found.detail)
    except _REFUSALS as error:
        return "no", one_line(f"{type(error).__name__}: {first_line(error)}")
    except Exception as error:  # border: a backend may raise anything, and it is one cell
        return "error", one_line(f"{type(error).__name__}: {first_line(error)}")


def one_line(text: str) -> str:
    """``text`` on one short line, with files by their name only."""
    line = _PATH.sub(lambda found: found[0].rpartition("/")[2], " ".join(text.split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


if __name__ == "__main__":
    main()
