"""What a method's file says of a library beside its cells: offloading, eager speed, a script.

Plain frozen values; catalog/read/facts.py reads them. Everything that quantlab does differently for
one library stands in that library's file, so that a new one is a file and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["NOTHING_KNOWN", "Eager", "Keeping", "LanguageModel", "Mixing", "Offload"]


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
    the component's own weights are.
    """

    schemes: tuple[str, ...]
    kept: str
