"""What a piece of checked code can stand for, as far as that is known without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = [
    "UNKNOWN",
    "Argument",
    "Call",
    "Const",
    "Items",
    "Made",
    "Part",
    "Ref",
    "Table",
    "Unknown",
    "Value",
    "const",
    "within",
]


@dataclass(frozen=True)
class Unknown:
    """Nothing that could be told without guessing."""


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Const:
    """A plain value: text, number, truth or None."""

    value: str | int | float | bool | None


@dataclass(frozen=True)
class Ref:
    """Something imported, by its dotted path: ``torch.bfloat16``; ``?.X`` of a name that the code
    uses and nowhere binds."""

    path: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, eq=False)
class Items:
    """A list, tuple or set."""

    values: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """A dictionary; ``whole`` is whether every key of it is known."""

    entries: Mapping[str, Argument]
    whole: bool = True


@dataclass(frozen=True, eq=False)
class Made:
    """What a call returned."""

    call: Call


@dataclass(frozen=True)
class Part:
    """An attribute of something made: ``pipe.transformer``."""

    of: Value
    name: str


Value = Unknown | Const | Ref | Items | Table | Made | Part


@dataclass(frozen=True)
class Argument:
    """A value, where it is written, and where its name is, if it has one."""

    value: Value
    node: ast.expr
    named: ast.keyword | ast.expr | None = None


@dataclass(frozen=True, eq=False)
class Call:
    """One call in the code, with what its arguments are known to be."""

    node: ast.Call
    function: Value
    args: tuple[Argument, ...]
    kwargs: Mapping[str, Argument]
    more: bool
    """Whether there are arguments that are not known, behind ``*`` or ``**``."""
    scope: tuple[tuple[int, int], ...] = field(default=())
    """The functions and branches that it stands in, outermost first."""

    @property
    def path(self) -> str:
        """The dotted path of what is called, or ""."""
        return self.function.path if isinstance(self.function, Ref) else ""

    @property
    def method(self) -> str:
        """The last part of what is called."""
        if isinstance(self.function, Part):
            return self.function.name
        return self.path.rpartition(".")[2]

    @property
    def on(self) -> Value:
        """The object whose method is called, UNKNOWN where it is none."""
        return self.function.of if isinstance(self.function, Part) else UNKNOWN

    @property
    def line(self) -> int:
        """The line that it begins on, from 1."""
        return self.node.lineno

    def argument(self, name: str, place: int | None = None) -> Argument | None:
        """The argument called ``name``, or the one in that place."""
        if name in self.kwargs:
            return self.kwargs[name]
        if place is not None and place < len(self.args):
            return self.args[place]
        return None

    def value(self, name: str, place: int | None = None) -> Value | None:
        """As ``argument``, its value; None where it is not given."""
        found = self.argument(name, place)
        return found.value if found is not None else None

    def meets(self, other: Call) -> bool:
        """Whether both can happen in one run: they are not in two branches or two functions."""
        mine = dict(self.scope)
        theirs = dict(other.scope)
        if any(theirs[key] != mine[key] for key in mine.keys() & theirs.keys()):
            return False
        return self._functions <= other._functions or other._functions <= self._functions

    @property
    def _functions(self) -> set[int]:
        return {key for key, branch in self.scope if branch < 0}


def const(value: Value | None) -> str | int | float | bool | None:
    """The plain value, or None where it is none."""
    return value.value if isinstance(value, Const) else None


def within(value: Value) -> Iterator[Value]:
    """The value, and what it is part of, from the inside out."""
    yield value
    while isinstance(value, Part):
        value = value.of
        yield value
