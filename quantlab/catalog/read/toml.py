"""Reading TOML under a closed schema: every key is asked for by name, what is left over is wrong.

Knows nothing of methods or models; says which file and which key is wrong and what was expected.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from quantlab.errors import CatalogError

__all__ = ["Table", "read_toml"]

T = TypeVar("T")


class Table:
    """One TOML table whose keys are taken out one by one; ``done`` fails on what nobody took."""

    def __init__(self, values: Mapping[str, Any], file: str, path: str = "") -> None:
        self._left = dict(values)
        self._known: list[str] = []
        self._file = file
        self._path = path

    def fail(self, key: str, expected: str) -> CatalogError:
        """The error for ``key`` of this table: file, key and what was expected."""
        where = f"{self._path}.{key}" if self._path and key else key or self._path
        return CatalogError(f"{self._file}: {where}: {expected}")

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """The value of ``key``, which must be a ``kind``; without a default it must be there.

        Raises:
            CatalogError: it is missing or of another kind.
        """
        self._known.append(key)
        if key not in self._left:
            if default is not None:
                return default
            raise self.fail(key, f"is missing; expected {_name(kind)}")
        value = self._left.pop(key)
        if kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise self.fail(key, f"expected {_name(kind)}, found {value!r:.60}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A text; where there is no default it must not be empty."""
        value = self.get(key, str, default)
        if default is None and not value.strip():
            raise self.fail(key, "expected a text that is not empty")
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One of the ``allowed`` texts."""
        value = self.get(key, str, default)
        if value not in allowed:
            raise self.fail(key, f"{value!r:.60} is not one of {', '.join(allowed)}")
        return value

    def texts(self, key: str, default: list[str] | None = None) -> tuple[str, ...]:
        """An array of texts."""
        values = self.get(key, list, default)
        if not all(isinstance(value, str) for value in values):
            raise self.fail(key, f"expected an array of texts, found {values!r:.60}")
        return tuple(values)

    def table(self, key: str) -> Table:
        """The table under ``key``; empty where it is absent."""
        values: dict[str, Any] = self.get(key, dict, {})
        return self.child(key, values)

    def tables(self, key: str) -> tuple[Table, ...]:
        """The tables of the array under ``key``; none where it is absent."""
        values = self.get(key, list, [])
        if not all(isinstance(value, dict) for value in values):
            raise self.fail(key, "expected an array of tables")
        return tuple(self.child(f"{key}[{index}]", value) for index, value in enumerate(values))

    def child(self, key: str, values: Mapping[str, Any]) -> Table:
        """``values`` as a table that knows its place under this one."""
        return Table(values, self._file, f"{self._path}.{key}" if self._path else key)

    def take_rest(self) -> dict[str, Any]:
        """Everything that nobody took, as it stands: for tables whose keys are free."""
        rest, self._left = self._left, {}
        return rest

    def has(self, key: str) -> bool:
        """Whether ``key`` is there and not taken."""
        return key in self._left

    def names(self) -> tuple[str, ...]:
        """The keys that nobody took: for tables whose keys are free."""
        return tuple(self._left)

    def done(self, known: tuple[str, ...] = ()) -> None:
        """Fail on the first key that nobody took; ``known`` are more keys that might have been."""
        for key in self._left:
            expected = dict.fromkeys((*self._known, *known))
            raise self.fail(key, f"unknown key; expected one of {', '.join(expected)}")


def read_toml(path: Path, root: Path) -> Table:
    """The top table of the file at ``path``; errors name it relative to ``root``.

    Raises:
        CatalogError: the file is missing or is not TOML.
    """
    name = path.relative_to(root).as_posix()
    try:
        return Table(tomllib.loads(path.read_text(encoding="utf-8")), name)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogError(f"{name}: cannot be read as TOML: {error}") from error


_NAMES: dict[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "an array",
}


def _name(kind: type) -> str:
    return _NAMES.get(kind, "a value")
