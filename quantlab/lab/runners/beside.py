"""Comparisons run in a process beside this one, which is started once and keeps what it loaded.

What it imports, loads and computes takes no turn from the page's own answers: Python lets one
thread of a process run at a time. So it may begin with the libraries while the page begins with
Gradio, on another core, and where memory runs out or a library crashes the page goes on. What it is
asked to do, and what it answers, are values of this project, pickled between two processes of one
program; see beside_worker.py for its side.
"""

from __future__ import annotations

import base64
import os
import pickle
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from quantlab.errors import RunError
from quantlab.lab.keep.scratch import scratch
from quantlab.lab.runners.child import Child
from quantlab.lab.runners.runner import Machine, OwnRunner, events_of
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event, Finished

__all__ = ["BesideRunner", "pack", "unpack"]

T = TypeVar("T")
MODULE = "quantlab.lab.runners.beside_worker"
LOOK_S = 0.1
"""How long after the last event it is looked again whether somebody pressed Stop."""


def pack(value: object) -> str:
    """A value as text; ``unpack`` gives it again."""
    return base64.b64encode(pickle.dumps(value)).decode()


def unpack(text: str) -> Any:
    """The value of a text of ``pack``, which must come from this program alone."""
    return pickle.loads(base64.b64decode(text))


class _Ended(RunError):
    """The process ended, in the words of ``Child.how_it_ended``."""

    def __init__(self, how: str, *, killed: bool) -> None:
        super().__init__(f"The process that runs comparisons {how}")
        self.how, self.killed = how, killed


class BesideRunner(OwnRunner):
    """Runs comparisons in a process of its own, one at a time.

    ``start`` starts the process early; else the first who asks for something does.
    """

    def __init__(self) -> None:
        self._alone, self._starting = threading.Lock(), threading.Lock()
        self._numbers = count()
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._child: Child | None = None
        self._told = False
        self._machine: Machine | None = None

    def start(self) -> None:
        """Have the process begin with its libraries; what it should know it is told later."""
        with self._starting:
            self._begin()

    def stream(
        self,
        comparison: Comparison,
        *,
        out: Path,
        stop: threading.Event,
        repeats: int = 1,
        warmup: int = 1,
    ) -> Iterator[Event]:
        """See ``Runner.stream``. A plan that ends the process is a failed outcome, and those after
        it are run in the next one.

        Raises:
            RunError: the process ended while it ran none.
        """

        def work(report: Callable[[Event], None]) -> None:
            how, done = {"repeats": repeats, "warmup": warmup}, set[int]()
            with self._alone, scratch() as folder:
                while len(done) < len(comparison.plans):
                    reference = str(Path(folder) / "reference.pt")
                    asked = (comparison, str(out.resolve()), how, frozenset(done), reference)
                    done |= self._run(comparison, asked, stop, report)

        return events_of(work)

    def _run(
        self,
        comparison: Comparison,
        asked: tuple[object, ...],
        stop: threading.Event,
        report: Callable[[Event], None],
    ) -> set[int]:
        """Run what is ``asked`` until all is done or the process ends; which plans had outcomes."""
        done, running = set[int](), None
        try:
            for event in self._asked("run", asked, stop):
                done |= {event.index} if isinstance(event, Finished) else set()
                running = None if isinstance(event, Finished) else event.index
                report(event)
        except _Ended as error:
            if running is None:
                if not done:
                    raise
                return done
            (outcome,) = self._asked("died", (comparison, running, error.how, error.killed))
            report(Finished(running, outcome))
            done.add(running)
        return done

    def warm_up(self, comparison: Comparison, out: Path) -> None:
        """See ``OwnRunner.warm_up``."""
        for _ in self._asked("warm", (comparison, str(out.resolve()))):
            pass

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See ``OwnRunner.alone``."""
        with self._alone:
            yield

    def do(self, work: Callable[..., T], *given: object) -> T:
        """What ``work(*given, catalog)`` gives in that process, with its catalogue: for what
        imports torch, which this one then need not. ``work`` is a function of a module, and all of
        it can be pickled.

        Raises:
            QuantlabError: as ``work`` does.
            RunError: the process ended.
        """
        return self._done("do", work, given)

    def do_alone(self, work: Callable[..., T], *given: object) -> T:
        """As ``do``, for what loads a model: no comparison runs meanwhile."""
        return self._done("do_alone", work, given)

    def _done(self, what: str, work: Callable[..., T], given: tuple[object, ...]) -> T:
        (found,) = self._asked(what, (work, given))
        return found  # type: ignore[no-any-return]  # it is what work gave

    def machine(self) -> Machine:
        """See ``Runner.machine``. Waits for torch's import where that goes on; asked once, since
        each outcome is kept with it and that process has the next plan to run."""
        if self._machine is None:
            (self._machine,) = self._asked("machine", ())
        return self._machine

    def cost_s(self, comparison: Comparison) -> float | None:  # noqa: ARG002
        """See ``Runner.cost_s``: a run here costs nobody any quota."""
        return None

    def _asked(
        self, what: str, given: object, stop: threading.Event | None = None
    ) -> Iterator[Any]:
        """What the process answers, value by value."""
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        number, stopped = next(self._numbers), False
        with self._starting:
            child = self._begin()
            if not self._told:  # by now this process knows the models it was started with
                child.tell({"folder": os.getcwd(), "environment": dict(os.environ)})
                self._told = True
            self._answers[number] = answers
            child.tell({"of": number, "what": what, "given": pack(given)})
        try:
            while True:
                if stop is not None and not stopped and stop.is_set():
                    with self._starting:
                        child.tell({"of": number, "what": "stop", "given": pack(())})
                    stopped = True
                try:
                    answer = answers.get(timeout=None if stop is None or stopped else LOOK_S)
                except queue.Empty:
                    continue
                if "ended" in answer:
                    raise _Ended(answer["ended"], killed=answer["killed"])
                if "error" in answer:
                    raise unpack(answer["error"])
                if "value" not in answer:
                    return
                yield unpack(answer["value"])
        finally:
            self._answers.pop(number, None)

    def _begin(self) -> Child:
        """The process, started where there is none. The lock is held.

        The thread that starts it reads what it says until it ends: Linux is asked to end it with
        whoever started it, and takes that for the thread.
        """
        if self._child is None:
            begun: queue.SimpleQueue[Child | OSError] = queue.SimpleQueue()
            self._told = False
            reads = threading.Thread(target=self._read, args=(begun,), name="quantlab-beside")
            reads.daemon = True
            reads.start()
            found = begun.get()
            if isinstance(found, OSError):
                raise RunError(f"The process that runs comparisons cannot start: {found}")
            self._child = found
        return self._child

    def _read(self, begun: queue.SimpleQueue[Child | OSError]) -> None:
        try:
            child = Child(MODULE)
        except OSError as error:
            begun.put(error)
            return
        with child:
            begun.put(child)
            while (answer := child.next()) is not None:
                if (waits := self._answers.get(answer["of"])) is not None:
                    waits.put(answer)
            how = child.how_it_ended()
        with self._starting:
            self._child = None
            for waits in list(self._answers.values()):
                waits.put({"ended": how, "killed": child.was_killed})
