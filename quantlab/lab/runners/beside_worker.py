"""The process in which a page's comparisons run: ``BesideRunner``'s other side.

It begins to import the libraries before it is told anything, at low priority, until somebody waits.
Its first line says in which folder and environment it works; each other is something to do.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantlab.catalog.own.mixes import Growing, kept_mixes
from quantlab.catalog.table import load_catalog
from quantlab.errors import QuantlabError, RunError, first_line
from quantlab.lab.heap import give_back_at_rest
from quantlab.lab.libraries import load, resolve
from quantlab.lab.runners.beside import pack, unpack
from quantlab.lab.runners.child import serve
from quantlab.lab.runners.local import LocalRunner
from quantlab.lab.runners.priority import LowPriority
from quantlab.words.comparison import Comparison

__all__: list[str] = []

log = logging.getLogger(__name__)
Tell = Callable[[Mapping[str, Any]], None]


class Work:
    """What this process does, each thing in a thread of its own, once ``imports`` is over: modules
    that import each other break where two threads begin with them. ``hurry`` has it go on at the
    usual priority."""

    def __init__(self, tell: Tell, imports: threading.Thread, hurry: Callable[[], None]) -> None:
        catalog = load_catalog()
        self._schemes = Growing(catalog.schemes)
        self._catalog = replace(catalog, schemes=self._schemes)
        self._runner = LocalRunner(self._catalog)
        self._tell, self._imports, self._hurry = tell, imports, hurry
        self._stops: dict[int, threading.Event] = {}
        self._sending = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return bool(self._stops)

    def take(self, number: int, what: str, given: str) -> None:
        """Begin with something; a ``stop`` ends what has that number."""
        if what == "stop":
            if (stop := self._stops.get(number)) is not None:
                stop.set()
            return
        if what != "warm":
            self._hurry()
        stop = self._stops[number] = threading.Event()
        asked = (number, what, given, stop)
        threading.Thread(target=self._answer, args=asked, daemon=True).start()

    def _answer(self, number: int, what: str, given: str, stop: threading.Event) -> None:
        ended: dict[str, Any] = {"of": number}
        kinds: dict[str, Callable[..., Iterator[Any]]]
        kinds = {"run": self._run, "warm": self._warm, "machine": self._machine}
        kinds |= {"do": self._do, "do_alone": self._do_alone, "died": self._died}
        self._imports.join()
        try:
            for value in kinds[what](stop, *unpack(given)):
                self._say({"of": number, "value": pack(value)})
        except QuantlabError as error:
            ended["error"] = pack(error)
        except BaseException as error:  # border: what a library raises may not be known over there
            log.debug("%s failed", what, exc_info=True)
            ended["error"] = pack(RunError(f"{type(error).__name__}: {first_line(error)}"))
        del self._stops[number]
        self._say(ended)

    def _say(self, answer: Mapping[str, Any]) -> None:
        with self._sending:
            self._tell(answer)

    def _run(
        self,
        stop: threading.Event,
        comparison: Comparison,
        out: str,
        how: Mapping[str, int],
        done: Collection[int],
        reference: str,
    ) -> Iterator[Any]:
        self._grow()
        yield from self._runner.stream(
            comparison,
            out=Path(out),
            stop=stop,
            repeats=how["repeats"],
            warmup=how["warmup"],
            done=done,
            reference=Path(reference),
        )

    def _died(
        self, _: threading.Event, comparison: Comparison, index: int, how: str, killed: bool
    ) -> Iterator[Any]:
        from quantlab.lab.device import this_device
        from quantlab.lab.load.fits import died

        plan, device = comparison.plans[index], this_device()
        yield died(comparison, plan, how, killed=killed, catalog=self._catalog, device=device)

    def _warm(self, _: threading.Event, comparison: Comparison, out: str) -> Iterator[Any]:
        self._runner.warm_up(comparison, Path(out))
        yield from ()

    def _machine(self, _: threading.Event) -> Iterator[Any]:
        yield self._runner.machine()

    def _do(
        self, _: threading.Event, work: Callable[..., Any], given: tuple[Any, ...]
    ) -> Iterator[Any]:
        self._grow()
        yield work(*given, self._catalog)

    def _do_alone(
        self, stop: threading.Event, work: Callable[..., Any], given: tuple[Any, ...]
    ) -> Iterator[Any]:
        with self._runner.alone():
            yield from self._do(stop, work, given)

    def _grow(self) -> None:
        """Know what was tuned on the page since."""
        for mix in kept_mixes(self._catalog, log.warning):
            self._schemes.add(mix)


def _import() -> None:
    """What the models that ship are made of, which most run first.

    Raises:
        Unavailable: a library is not here.
    """
    load("diffusers")
    for model in load_catalog().models.values():
        if model.local and not model.own:
            names = [f"{part.library}.{part.cls}" for part in model.components]
            for name in (f"diffusers.{model.pipeline}", *names):
                resolve(name)


def main() -> None:
    """Import, and do what is asked until the page ends."""
    early = LowPriority()

    def begin() -> None:
        with early, contextlib.suppress(QuantlabError):  # a run says so itself
            _import()

    imports = threading.Thread(target=begin, daemon=True)
    imports.start()

    def work(job: dict[str, Any], tell: Tell) -> None:
        os.chdir(job["folder"])
        os.environ.update(job["environment"])
        doing = Work(tell, imports, early.lift)
        give_back_at_rest(lambda: doing.busy)
        for line in sys.stdin:
            asked = json.loads(line)
            doing.take(asked["of"], asked["what"], asked["given"])

    serve(work)
    os._exit(0)  # the page has ended, whatever goes on here


if __name__ == "__main__":
    main()
