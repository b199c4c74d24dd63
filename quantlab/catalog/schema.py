"""The vocabulary of the catalogue: cells, methods and schemes as frozen values.

Models are in models/schema.py. This file knows the words and the shape of the data. It does not
read files (table.py), count bytes (sizes/predict.py) or judge (answer/pick.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quantlab.catalog import columns
from quantlab.catalog.columns import ids
from quantlab.catalog.facts import NOTHING_KNOWN, Eager, Keeping, LanguageModel, Mixing, Offload
from quantlab.catalog.facts import SUPPORT as SUPPORT
from quantlab.catalog.facts import BitRange as BitRange
from quantlab.catalog.facts import Cell as Cell
from quantlab.catalog.facts import Evidence as Evidence
from quantlab.catalog.facts import Merit as Merit
from quantlab.catalog.facts import Source as Source
from quantlab.catalog.facts import Support as Support
from quantlab.catalog.facts import Trap as Trap
from quantlab.catalog.facts import Verdict as Verdict
from quantlab.catalog.models.schema import Component as Component
from quantlab.catalog.models.schema import Defaults as Defaults
from quantlab.catalog.models.schema import Limits as Limits
from quantlab.catalog.models.schema import Model as Model

HARDWARE = ids(columns.HARDWARE)
NEEDS = ids(columns.ASKED)
LIBRARIES = ids(columns.LIBRARIES)
DIFFUSERS_HARDWARE = ids(columns.DIFFUSERS)
COLUMNS = ids(columns.COLUMNS)
"""The ids of every capability column; columns.py says what each is."""

DTYPE_SCHEMES = ("fp32", "bf16")
"""Schemes of no method; bare, they mean the whole pipeline."""


@dataclass(frozen=True)
class Spec:
    """A Python object to build: dotted class path and keyword arguments.

    Arguments are plain values, nested ``Spec``s, ``"torch.float8_e4m3fn"``-like dtype names, or
    ``"$compute"`` for the plan's compute dtype. lab/specs.py builds it and
    writes it out as code; both read this one description.
    """

    path: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Storage:
    """How a scheme stores the weight of one Linear of ``out`` x ``in`` elements.

    bytes = out*in*bits/8 + groups*(group_bytes + group_widths*width) + fixed_bytes, with
    ``groups`` = out*ceil(in/group) for ``group`` > 0, ``out`` for ``group`` == 0 (a row) and 1
    for ``group`` < 0 (a tensor). ``width`` is the bytes of one element of the dtype that the rest
    of the component keeps: some libraries store their scales in it, others always in fp32.
    Formulas: bits per weight as each library stores them (see README, "Where the numbers come
    from").
    """

    bits: float
    group: int
    group_bytes: float
    fixed_bytes: int = 0
    rule: str = "linear"
    """A name in storage.RULES; all but "linear" bend the formula, or leave some layers alone."""
    group_widths: float = 0.0
    """Numbers kept for each group in the component's dtype, such as a scale and a shift."""
    whole_inputs: int = 1
    """Of a Linear: its library takes whole multiples alone, somewhere at least."""
    whole_outputs: int = 1
    """The same of its outputs."""
    whole_numbers: int = 1
    """The same of the numbers of its weight."""


@dataclass(frozen=True)
class LoraRule:
    """How a scheme takes a LoRA, and how that is known.

    "after": the adapter is loaded on the quantized transformer. "before": it is fused into the base
    weights, which are quantized then. Measured means that tests/test_lora.py tries it on flux-mini;
    what is documented has a source.
    """

    way: Literal["after", "before"]
    source: Source | None = None

    @property
    def evidence(self) -> Evidence:
        """How it is known."""
        return "measured" if self.source is None else "documented"


@dataclass(frozen=True)
class Scheme:
    """A concrete, runnable setting of a method."""

    id: str
    method: str
    name: str
    bits: float
    way: str | None
    """A file in lab/ways, by its name in kebab-case; None where it cannot be loaded, and ``note``
    says why."""
    diffusers: Spec | None
    transformers: Spec | None
    skip: Mapping[str, tuple[str, ...]]
    """Component class -> fnmatch patterns of module names that the library leaves alone."""
    holds: Mapping[str, str]
    """Attribute path on a quantized module -> expected text; verified after loading."""
    narrow: Mapping[str, str]
    """The same for a layer whose rows the scheme's groups do not divide; empty: it stays as it
    was."""
    storage: Storage | None
    requires: tuple[str, ...]
    """What must be here beyond the method's packages: "compiler", hardware such as "cuda>=8.9", or
    a package such as "mslk-cuda>=1.0.0"."""
    on_cpu: Literal["diffusers", "library", "no"]
    """Through diffusers, by the library on the loaded component, or not at all."""
    capabilities: Mapping[str, Cell]
    """Cells that differ from the method's."""
    simple: tuple[str, Mapping[str, Any]] | None
    """(quant_backend, quant_kwargs) where diffusers' simple form exists for this scheme."""
    note: str = ""
    from_file: bool = False
    """What is fetched is a file that holds the scheme already, not the base weights."""
    written_with: tuple[str, ...] = ()
    """Packages that write that file where the model is a local one, as in ``requires``."""
    eager: Eager | None = None
    """Where it is hopelessly slow on a GPU unless it is compiled."""
    offload: Offload | None = None
    """Where its tensors take group offload differently from the others of its method."""
    only: tuple[str, ...] = ()
    """Component classes that its way is written for; empty: all that the libraries take."""
    unreachable: Mapping[str, str] = field(default_factory=dict)
    """Library -> why none of its components can hold it; from the method's file."""
    library_way: str | None = None
    """The way by which the library does it, where ``on_cpu`` says that it does."""
    spare: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Component class -> names of modules that the library is told to leave alone: it fails on
    them, or makes something else of them."""
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Component class -> further arguments of the config that is built for it."""
    stored_in: Mapping[str, Storage] = field(default_factory=dict)
    """Component class -> how it is stored there, where ``more`` makes that another way."""
    keeping: Keeping | None = None
    """How the library is told to leave modules alone; None: it cannot be. From the method's file.
    """
    lora: LoraRule | None = None
    """None: not known, which never counts as yes."""
    computes_in: str = ""
    """"bf16" where its library quantizes nothing else: the component has that dtype in a pipeline
    of any. Empty: that of the pipeline."""
    keeps_fp32: bool = True
    """Whether diffusers keeps in fp32 what it keeps so of an unquantized component; else it has the
    dtype of the rest. Nothing of it is quantized either way."""
    emulated: bool = False
    """Whether its arithmetic is only imitated, to see the picture: no faster than 16 bits, and
    never proposed."""
    flat_inputs: bool = False
    """Whether its tensors are multiplied with matrices alone: other inputs are made into some."""
    draws: bool = False
    """Whether its library draws random numbers while it quantizes; it does so with seed 0 here."""
    timing: str = "untimed"
    """The class of data/latency/constants.toml that it is timed as."""
    layers: Mapping[str, Scheme] = field(default_factory=dict)
    """Of a mix: what each named layer holds; others stay as they were. Empty: all hold the same."""
    shapes: str = ""
    """Of a mix: the shape table of the one component that has these layers."""
    importance: str = ""
    """Of a mix: a safetensors file, in the project or absolute, with the mean square of each input
    of a weight: what its library rounds by. Empty: every input counts alike."""

    @property
    def loadable(self) -> bool:
        """Whether quantlab has a way of loading it."""
        return self.way is not None

    @property
    def through_config(self) -> bool:
        """Whether a config class of diffusers or transformers has it quantized while loading."""
        return self.way == "config"

    def spec(self, library: str) -> Spec | None:
        """What is built for a component of ``library``, or None where it has nothing for it."""
        return self.diffusers if library == "diffusers" else self.transformers

    def storage_in(self, cls: str) -> Storage | None:
        """How a Linear weight of a component of class ``cls`` is stored; None: not known."""
        return self.stored_in.get(cls, self.storage)

    def told_to_keep(self, cls: str, keep: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Modules of a component of class ``cls`` that the library is told to leave alone.

        ``keep`` are those that must stay as they are whatever quantizes (``Family.keep``).
        """
        return () if self.keeping is None else (*keep, *self.spare.get(cls, ()))

    def left_alone(self, cls: str, keep: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Patterns of all modules that stay as they are, those the library skips by itself too."""
        return (*self.skip.get(cls, ()), *self.told_to_keep(cls, keep))


@dataclass(frozen=True)
class Method:
    """A library or algorithm of the capability table."""

    id: str
    name: str
    summary: str
    library: str
    packages: tuple[str, ...]
    bits: tuple[BitRange, ...]
    bits_source: str
    """The id of the source of ``bits``, in ``sources``."""
    licence: str
    """The library's licence as an SPDX expression."""
    licence_source: str
    """The id of the source of ``licence``, in ``sources``."""
    cells: Mapping[str, Cell]
    schemes: tuple[Scheme, ...]
    sources: Mapping[str, Source] = field(default_factory=dict)
    offload: Offload = NOTHING_KNOWN
    loads_on_device: bool = False
    """Whether what it loads lies on the device whatever the placement, until it is moved."""
    dynamo: Mapping[str, bool] = field(default_factory=dict)
    """Settings of ``torch._dynamo.config`` that compiling its layers takes."""
    imports: Mapping[str, str] = field(default_factory=dict)
    """Package -> the name it is imported by, where that is not its own with underscores."""
    rules_of: Mapping[str, str] = field(default_factory=dict)
    """Package -> the version that its ways of storing were held against."""
    language_model: LanguageModel | None = None
    """How a language model is loaded with it, where quantlab writes a script for that."""
    mixing: Mixing | None = None
    """How its schemes are mixed in one component; None where they are not."""
    traps: tuple[Trap, ...] = ()
    merits: tuple[Merit, ...] = ()

    @property
    def copyleft(self) -> bool:
        """Whether what is built on the library may have to be published under its licence."""
        return self.licence.startswith(("GPL", "LGPL", "AGPL"))

    def cell(self, column: str, scheme: Scheme | None = None) -> Cell:
        """The claim for ``column``; a scheme's own cell wins over its method's."""
        if scheme is not None and column in scheme.capabilities:
            return scheme.capabilities[column]
        if column in self.cells:
            return self.cells[column]
        plain = column.removeprefix("diffusers-")
        if plain != column:
            return self.cell(plain, scheme)
        return Cell("unknown", "", "")
