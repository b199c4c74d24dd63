"""Every error that a person may see.

    QuantlabError                 base: the message is one clear sentence for people
    ├── CatalogError              a file under data/ breaks the schema: file, key, expectation
    ├── InputError                an argument, a link or a field is wrong; names the part
    │   └── PlanError             a plan cannot be what it says: unknown scheme, wrong library
    ├── Unavailable               a library or piece of hardware that is needed is not here
    ├── DoesNotFit                predicted to need more memory than this machine has
    ├── OutOfMemory               memory ran out while a plan was loaded or run
    ├── LoadError                 a component could not be loaded or quantized
    │   ├── VerificationError     it loaded, but does not hold what was asked for
    │   └── Damaged               a file that a person named is cut, broken or not there
    ├── RunError                  generating the image failed
    ├── StoreError                the store of results cannot be read or written
    └── Stopped                   the person pressed Stop; not a fault

Messages never contain tokens or file paths of the server beyond what the person gave.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = [
    "CatalogError",
    "Damaged",
    "DoesNotFit",
    "Ending",
    "InputError",
    "LoadError",
    "OutOfMemory",
    "PlanError",
    "QuantlabError",
    "RunError",
    "Stopped",
    "StoreError",
    "Unavailable",
    "VerificationError",
    "first_line",
]


class QuantlabError(Exception):
    """Base of all errors whose message is meant for people."""


class CatalogError(QuantlabError):
    """A data file breaks the schema."""


class InputError(QuantlabError, ValueError):
    """Something a person gave is wrong; ``part`` names it (``"steps"``, ``"plans"`` ...)."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(f"{part}: {message}")
        self.part = part

    def __reduce__(self) -> Any:
        """From another process it comes as it was."""
        return _as_it_was, (type(self), self.args, self.__dict__)


def _as_it_was(kind: type[InputError], args: tuple[Any, ...], known: dict[str, Any]) -> InputError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(known)
    return error


class PlanError(InputError):
    """A plan cannot be what it says."""

    def __init__(self, message: str) -> None:
        super().__init__("plan", message)


class Unavailable(QuantlabError):
    """A library, compiler or piece of hardware that is needed is not here."""


class DoesNotFit(QuantlabError):
    """Predicted to need more memory than there is."""


class OutOfMemory(QuantlabError):
    """Memory ran out, against the prediction."""


class LoadError(QuantlabError):
    """A component could not be loaded or quantized."""


class VerificationError(LoadError):
    """A component loaded but does not hold the asked type."""


class Damaged(LoadError):
    """A file that a person named, or one of a folder so named, is cut, broken or not there."""


class RunError(QuantlabError):
    """Generating the image failed."""


class StoreError(QuantlabError):
    """The store of results cannot be read or written."""


class Stopped(QuantlabError):
    """The person pressed Stop."""


def first_line(error: BaseException) -> str:
    """The first non-empty line of an error's text, or its class name; with the next one where it
    ends in a colon, for that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


class Ending(threading.Event):
    """Set where this process is asked to end, by Ctrl-C or another signal.

    The KeyboardInterrupt alone may be lost: libraries take it for an error of theirs.
    """

    status = 1
    """The exit status then: 1 after Ctrl-C, as a shell has it after any other signal."""

    def ask(self, number: int, _: FrameType | None = None) -> None:
        """The handler of a signal. Who asks a second time is not waited for.

        Raises:
            KeyboardInterrupt: always.
        """
        signal.signal(number, signal.SIG_DFL)
        if number != signal.SIGINT:
            self.status = 128 + number
        self.set()
        raise KeyboardInterrupt
