"""What one setting of a comparison is: its key, its bounds, and how it is told and asked for."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from quantlab.errors import InputError
from quantlab.words.numbers import finite_number, plain, show, size_of, whole

__all__ = ["Setting", "Value"]

Value = str | int | float
Bound = int | float | str
"""A number, or the name of the model's limit that gives it (``catalog.schema.Limits``)."""


@dataclass(frozen=True)
class Setting:
    """One setting. ``key`` names it in Python, JSON, links, the API and tables."""

    key: str
    kind: Literal["text", "whole", "number", "flag"]
    """A flag is True where it is given; False is as if it were not, so that it is optional."""
    label: str
    """Of its control on the page."""
    about: str
    """One line, for the command's help and the API."""
    low: Bound = 0
    high: Bound = 0
    multiple: Bound = 1
    longest: int = 0
    """Of a text, in characters."""
    foreign: tuple[float, float] | None = None
    """Bounds for results of another machine, whose model may not be known here; None: the same."""
    default: Value | None = None
    from_model: bool = False
    """Its default is the model's (``catalog.schema.Defaults``)."""
    optional: bool = False
    """Left out of documents, links and ids where it is not given."""
    goes_with: str = ""
    """The setting without which it means nothing, and then takes its default from here."""
    alone: str = ""
    """What is said where it is given without that."""
    zero: str = ""
    """Why it cannot be 0, where it cannot."""
    argument: str = ""
    """Of the pipeline's call, where that takes it under one name in most families."""
    said: str = ""
    """In captions: a format over all values; ``(s)`` is an s unless the value is 1."""
    info: str = ""
    """Under its control on the page."""
    listed: str = ""
    """The list of the catalogue that offers values for it."""
    advanced: bool = False
    """Whether its control stands among those that are folded away."""
    sized: bool = False
    """Whether predicted memory depends on it."""
    many: bool = False
    """Whether the command line takes it several times; the values are then joined by commas."""
    swept: bool = False
    """Whether a sweep takes many, and results may differ in it and still stand side by side."""

    @property
    def part(self) -> str:
        """What messages call it."""
        return self.key.replace("_", "-")

    @property
    def option(self) -> str:
        """Its option on the command line."""
        return f"--{self.part}"

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is None and not self.from_model and not self.optional

    @property
    def anew(self) -> bool:
        """Whether another model brings another value of it."""
        return self.from_model or self.optional

    def bounds(self, limits: Mapping[str, int]) -> tuple[float, float]:
        """The least and the most that a model with these limits takes, both included."""
        return _bound(self.low, limits), _bound(self.high, limits)

    def is_text(self, value: str) -> str:
        """``value`` where it is short enough, and text.

        Raises:
            ValueError: it is not.
        """
        if len(value) > self.longest:
            raise ValueError(f"{len(value)} characters; at most {self.longest} are allowed")
        if any(unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn") for char in value):
            raise ValueError("contains characters that are not text")
        return value

    def read(self, value: object, limits: Mapping[str, int]) -> Value:
        """``value`` where a model with these limits takes it.

        Raises:
            InputError: it does not; this setting is named.
        """
        if self.kind == "text":
            if not isinstance(value, str):
                raise InputError(self.part, "must be text")
            try:
                return self.is_text(value)
            except ValueError as error:
                raise InputError(self.part, str(error)) from None
        if self.kind == "flag":
            if value is not True:
                raise InputError(self.part, f"{show(value)}; true and false are allowed")
            return True
        low, high = self.bounds(limits)
        if self.kind == "whole":
            multiple = int(_bound(self.multiple, limits))
            if multiple == 1:
                return whole(self.part, value, int(low), int(high))
            return size_of(self.part, value, int(low), int(high), multiple)
        number = finite_number(value)
        if number is None or not low <= number <= high or (self.zero and number == 0):
            but = f", without 0, {self.zero}" if self.zero else ""
            raise InputError(
                self.part, f"{show(value)}; {plain(low)} to {plain(high)} are allowed{but}"
            )
        return float(number)


def _bound(bound: Bound, limits: Mapping[str, int]) -> float:
    return limits[bound] if isinstance(bound, str) else bound
