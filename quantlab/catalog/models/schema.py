"""The shape of one file under data/models/, as frozen values.

This file knows the words; reader.py checks them. Sizes are in pixels, lengths in text tokens, times
in seconds. A claim of a model is either covered by one of its sources or named in ``unchecked``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from quantlab.catalog.models.published import Published
from quantlab.families import Family, Guidance, family_of
from quantlab.words.plan import Plan

Commercial = Literal["yes", "no", "conditions", "unknown"]
Gate = Literal["yes", "no", "unknown"]
Library = Literal["diffusers", "transformers"]
Dtype = Literal["fp32", "bf16"]
Form = Literal["", "gguf", "bfl", "scaled-fp8", "plain"]

COMMERCIAL: tuple[Commercial, ...] = ("yes", "no", "conditions", "unknown")
GATES: tuple[Gate, ...] = ("yes", "no", "unknown")
GUIDANCE: tuple[Guidance, ...] = ("embedded", "cfg", "none")
LIBRARIES: tuple[Library, ...] = ("diffusers", "transformers")
DTYPES: tuple[Dtype, ...] = ("fp32", "bf16")
UNRANKED = 1000
"""The rank of a model that says none: behind those that do, by its id."""


@dataclass(frozen=True)
class Licence:
    """Under which terms the weights come.

    ``id`` as the hub writes it: an SPDX name in lower case, or the ``license_name`` of a licence of
    its own. ``commercial`` is about using the model, not its pictures: "conditions" where it
    depends on who uses it or on what they earn.
    """

    id: str
    name: str
    commercial: Commercial
    url: str = ""


@dataclass(frozen=True)
class Component:
    """One component that has weights."""

    name: str
    library: Library
    cls: str
    shapes: str
    """The file with its config and its modules: data/shapes/``shapes``.json."""
    optional: bool = False
    """Whether the pipeline runs without it; a plan then may say ``none``."""
    idle: tuple[str, ...] = ()
    """fnmatch patterns of modules that are loaded, and no picture from text depends on."""
    repo: str = ""
    """The repository that it lies in, where that is not the model's."""
    largest_file: int | None = None
    """Bytes of its largest weight file; loading holds one at a time."""
    file_bytes: int | None = None
    """Bytes of all its weight files, where they are known from the files themselves."""
    stored_as: str = ""
    """How its files are quantized already, in their config's words; it is then used as it is."""
    file: str = ""
    """The single file of one's own that it is read from, in the place of the model's."""
    form: Form = ""
    """How such a file is read: as GGUF, as one of Black Forest Labs', with scales that are brought
    into their form first, or as it is."""
    held_as: str = ""
    """The scheme that most of such a file is in, by which its time is predicted; "" for none."""
    layers: str = ""
    """The table of its layers, where ``shapes`` counts numbers by their type alone."""

    @property
    def why_as_it_is(self) -> str:
        """Why nothing quantizes it, as the rest of a sentence; "" where something may."""
        packed = self.stored_as and self.form != "plain"
        return f"is stored quantized already ({self.stored_as})" if packed else ""

    @property
    def table(self) -> str:
        """The table of its layers, by which a mix names them."""
        return self.layers or self.shapes

    @property
    def is_plain_file(self) -> bool:
        """Whether it is read from a single file of plain weights, which a plan may quantize."""
        return self.form == "plain"


@dataclass(frozen=True)
class Defaults:
    """What a comparison uses where nothing is said."""

    steps: int
    width: int
    height: int
    sequence_length: int
    guidance: float = 0.0
    """For the argument that the family's call takes it by; 0 where it takes none."""
    true_cfg_scale: float | None = None
    """None where the pipeline has no such argument."""
    frames: int | None = None
    """None where it makes pictures."""


@dataclass(frozen=True)
class Limits:
    """What a comparison may ask of a model, all bounds included."""

    max_steps: int
    min_size: int
    max_size: int
    size_multiple: int
    max_sequence_length: int
    max_references: int = 0
    max_frames: int | None = None
    max_guidance: float = 20.0
    """Of guidance, and of true guidance; far above what is published of most models."""


@dataclass(frozen=True)
class Trained:
    """How a model was trained, where a comparison may ask for less. Both are numbers of tokens."""

    sequence_length: int
    subject_needs: int
    """With fewer the picture loses its subject; measured."""


@dataclass(frozen=True)
class Lora:
    """A LoRA that anybody may name: its folder in the project and what it does."""

    folder: str
    about: str


@dataclass(frozen=True)
class Prequantized:
    """A repository whose components are stored quantized.

    ``schemes`` are those that quantlab has, by component. ``described`` says in the maker's words
    how a component is stored where that is none of them.
    """

    repo: str
    url: str
    checked: str
    schemes: Mapping[str, str]
    described: Mapping[str, str]


@dataclass(frozen=True)
class GgufFiles:
    """A repository with GGUF files of the denoiser.

    ``files`` are file names by scheme; ``sizes`` their published bytes, known for some, and
    for some whose names are not. ``keeps`` are patterns of modules, in diffusers' names, that
    the files do not quantize.
    """

    repo: str
    url: str
    checked: str
    keeps: tuple[str, ...]
    files: Mapping[str, str]
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Source:
    """Something public, the date on which it was read, and the fields of the file it speaks for.

    ``covers`` are paths such as "licence" or "defaults.steps"; "defaults" speaks for all of them.
    """

    about: str
    url: str
    checked: str
    covers: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """One checkpoint of a family."""

    id: str
    name: str
    source: str
    """A folder of the project where ``local``, else a repository of the hub."""
    local: bool
    pipeline: str
    base_dtype: Dtype
    licence: Licence
    gated: Gate
    distilled: bool
    """Whether it was distilled to few steps."""
    guidance: Guidance
    """Where the scale goes: into the denoiser, into a second pass a step, or nowhere."""
    components: tuple[Component, ...]
    """The denoiser first."""
    defaults: Defaults
    limits: Limits
    rank: int = UNRANKED
    """Its place in lists, the smallest first; in steps of ten, so that others fit between."""
    revision: str = "main"
    """A commit or digest; "main" where none is pinned."""
    variant: str = ""
    """diffusers' variant of the weight files, such as "fp16"."""
    trained: Trained | None = None
    """None where nothing is known, or all that a comparison may ask for is alike."""
    loras: Mapping[str, Lora] = field(default_factory=dict)
    prequantized: tuple[Prequantized, ...] = ()
    gguf: tuple[GgufFiles, ...] = ()
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()
    """What people should know, in whole sentences."""
    sources: tuple[Source, ...] = ()
    like: str = ""
    """Of a model of one's own: the listed model whose defaults it takes."""
    described_family: Family | None = None
    """Of a model of one's own whose pipeline no family has: what its class itself says."""
    unchecked: tuple[str, ...] = ()
    """Paths of fields that nobody has checked; shown as such."""

    @cached_property
    def family(self) -> Family:
        """The family of its pipeline.

        Raises:
            InputError: none is known.
        """
        return self.described_family or family_of(self.pipeline)

    @property
    def denoiser(self) -> str:
        """The component that a bare scheme stands for: the first one."""
        return self.components[0].name

    @cached_property
    def encoder(self) -> Component | None:
        """The text encoder that a plan may name beside the denoiser: the family's last one."""
        known = [self.component(name) for name in self.family.encoders]
        return next((component for component in reversed(known) if component), None)

    @cached_property
    def prompt_writers(self) -> tuple[str, ...]:
        """The components that write the prompt anew before it is encoded: encoders that may be left
        out, beside the one that encodes."""
        known = [self.component(name) for name in self.family.encoders]
        return tuple(c.name for c in known if c and c.optional and c != self.encoder)

    def used(self, plan: Plan) -> tuple[Component, ...]:
        """The components that the pipeline has under ``plan``, which may leave some out."""
        return tuple(c for c in self.components if not plan.leaves_out(c.name))

    @property
    def own(self) -> bool:
        """Whether it is a model of one's own, which no file under data/ lists."""
        return bool(self.like) or self.described_family is not None

    def guided(self, guidance: float) -> bool:
        """Whether it runs two passes a step at this guidance."""
        return self.guidance == "cfg" and self.family.guided(guidance, {})

    @property
    def absent(self) -> tuple[str, ...]:
        """Encoders that its family has and its files lack: a folder without a prompt upsampler."""
        return tuple(name for name in self.family.encoders if self.component(name) is None)

    def component(self, name: str) -> Component | None:
        """The component called ``name``, or None."""
        return next((part for part in self.components if part.name == name), None)

    def gguf_with(self, scheme: str) -> GgufFiles | None:
        """The repository that has the denoiser's file in ``scheme``, or None."""
        return next((known for known in self.gguf if scheme in known.files), None)

    def gguf_keeps(self, scheme: str) -> tuple[str, ...]:
        """Patterns of modules that the denoiser's file in ``scheme`` does not quantize; where none
        is known, those of the files that are."""
        known = self.gguf_with(scheme) or next(iter(self.gguf), None)
        return known.keeps if known else ()

    def is_checked(self, path: str) -> bool:
        """Whether a source speaks for the field at ``path``, and nothing says it is unchecked."""
        if any(_within(path, unchecked) for unchecked in self.unchecked):
            return False
        return any(_within(path, covered) for s in self.sources for covered in s.covers)


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith(f"{outer}.")
