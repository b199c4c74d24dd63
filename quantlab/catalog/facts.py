"""What a method's file says of a library: cells and their sources, offloading, eager speed, traps.

Plain frozen values; catalog/read/facts.py reads them. Everything that quantlab does differently for
one library stands in that library's file, so that a new one is a file and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

__all__ = [
    "NOTHING_KNOWN",
    "SUPPORT",
    "BitRange",
    "Cell",
    "Eager",
    "Evidence",
    "Keeping",
    "LanguageModel",
    "Merit",
    "Mixing",
    "Offload",
    "OnHardware",
    "Source",
    "Support",
    "Trap",
    "Verdict",
]

Support = Literal["yes", "no", "partial", "unknown"]
Verdict = Literal["runs", "runs-with-offload", "partial", "unknown", "no"]
Evidence = Literal["documented", "predicted", "measured"]

SUPPORT: tuple[Support, ...] = ("yes", "no", "partial", "unknown")


@dataclass(frozen=True)
class Cell:
    """One claim of the capability table, with where and when it was checked.

    ``source`` is the title of a public source, ``url`` its address, ``checked`` a date.
    """

    value: Support
    source: str
    checked: str
    note: str = ""
    url: str = ""
    capability: tuple[str, ...] = ()
    """What a card must have for it: compute capabilities such as "8.9", "8.9+" for that and newer,
    or AMD's architectures such as "CDNA3". Empty: any card of that kind."""
    in_2024: Support | None = None
    """What the table of the transformers docs of May 2024 said, where it said something else."""
    changed: str = ""
    """Why that is no longer so."""

    def on_card(self, capability: str) -> Support:
        """The value for a card of that capability, or of AMD's that architecture; "": not known."""
        if not self.capability or not capability:
            return self.value
        return "yes" if any(_meets(capability, each) for each in self.capability) else "no"


def _meets(capability: str, asked: str) -> bool:
    """Whether a card's ``capability`` is the one asked for, or newer where that ends in "+"."""
    if not asked.endswith("+"):
        return capability == asked
    try:
        return float(capability) >= float(asked[:-1])
    except ValueError:  # architectures have no order
        return False


@dataclass(frozen=True)
class Source:
    """Something public that claims rest on, and the date on which it was read."""

    title: str
    url: str
    checked: str


@dataclass(frozen=True)
class BitRange:
    """Bit widths ``low`` to ``high``, both included; equal for a single width.

    A range stands for the whole widths in it: 1-8 holds 4 and not 1.58.
    """

    low: float
    high: float

    def __contains__(self, bits: float) -> bool:
        return self.low <= bits <= self.high and (bits == self.low or float(bits).is_integer())

    def __str__(self) -> str:
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g}-{self.high:g}"


@dataclass(frozen=True)
class OnHardware:
    """What somebody published about schemes on some hardware: told, with its source."""

    about: str
    source: str
    checked: str
    hardware: str
    """A column's id."""
    schemes: tuple[str, ...]
    """fnmatch patterns of ids."""
    capability: str = ""
    """As in ``Cell.capability``; empty: any card of that kind."""

    def __str__(self) -> str:
        """One sentence with its source."""
        return f"{self.about} ({self.source}, {self.checked})"

    def catches(self, scheme: str, hardware: str | None, capability: str) -> bool:
        """Whether it is about ``scheme`` on hardware of that kind and capability, "" unknown."""
        if hardware != self.hardware or not any(fnmatchcase(scheme, p) for p in self.schemes):
            return False
        return not self.capability or not capability or _meets(capability, self.capability)


@dataclass(frozen=True)
class Trap(OnHardware):
    """What people run into with a library there."""

    eager: bool = False
    """Whether compiling escapes it."""
    builds: bool = False
    """Whether something has to be built there first, with tools that few people have."""


@dataclass(frozen=True)
class Merit(OnHardware):
    """How fast it was there for others, mostly in other programs: no seconds follow from it."""


@dataclass(frozen=True)
class Offload:
    """Which group offload, at leaf level, a library's tensors are known to survive.

    ``streams`` is whether it may prefetch on a second CUDA stream. Model offload moves a whole
    component as ``.to()`` does and is left to every library.
    """

    group: Literal["yes", "no", "unknown"]
    streams: bool
    note: str
    source: str
    checked: str


NOTHING_KNOWN = Offload("unknown", False, "", "", "")
"""Of a library whose file says nothing; it never counts as yes."""


@dataclass(frozen=True)
class Keeping:
    """How a library of diffusers is told to leave modules of a component alone.

    ``argument`` of its config takes their names, only the last part of each where ``leaf``; it is
    empty where what is read decides, as with a GGUF file.
    """

    argument: str
    leaf: bool
    mixed: str = ""
    """How its config says which module gets which scheme: a form of lab/mixed.py; empty where it
    cannot, or where a file says it."""


@dataclass(frozen=True)
class Eager:
    """How much slower than bf16 a scheme is on a GPU unless it is compiled, as published.

    ``times`` are seconds for one image over those of bf16, from the same source.
    """

    scheme: str
    times: float
    note: str
    source: str
    checked: str

    @property
    def warning(self) -> str:
        """What a person should know before running it uncompiled, in one sentence."""
        return (
            f"{self.scheme} is about {self.times:.0f} times slower than bf16 on a GPU unless it is "
            f"compiled: {self.note} ({self.source}, {self.checked})."
        )


@dataclass(frozen=True)
class LanguageModel:
    """How the script that loads a language model with a method differs from that of another.

    ``repo`` is the model, ``needs`` what a reader must know, in lines, ``dtype`` and ``device``
    are Python expressions. ``pins`` hold against what is installed: these versions belong together.
    """

    repo: str
    pins: Mapping[str, str]
    needs: tuple[str, ...]
    dtype: str
    device: str
    extras: Mapping[str, str] = field(default_factory=dict)
    """Package -> its extras, as in ``package[extras]``."""


@dataclass(frozen=True)
class Mixing:
    """How layers of one component get different schemes of a method, in the library's own form.

    ``schemes`` are those that may be mixed; ``kept`` is that of a layer left in 16 bits, "" where
    the component's own weights are. ``weighted`` is whether the library can round by how much each
    input of a weight matters.
    """

    schemes: tuple[str, ...]
    kept: str
    weighted: bool = False
