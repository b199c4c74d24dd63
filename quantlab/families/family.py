"""What a family is: its pipeline's parts and arguments, as one value.

The methods are the one generic way of encoding and calling. They follow the signatures of the
pipeline's own ``encode_prompt`` and ``__call__`` and the fields below; a family that needs more
overrides a method in its file. What an image takes is counted in sized.py. Not known here:
checkpoints (data/models), schemes, torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from quantlab.families.sized import Sized
from quantlab.words.settings import SETTINGS, Value

__all__ = ["Family", "Guidance"]

Guidance = Literal["embedded", "cfg", "none"]
"""What a checkpoint does with its guidance: an input of the denoiser, a second pass, nothing."""

COPIES = "num_images_per_prompt"
"""What ``encode_prompt`` of older classes has to be given."""


@dataclass(frozen=True)
class Family(Sized):
    """A kind of pipeline. Names are those of diffusers' classes and of their arguments."""

    id: str
    pipelines: tuple[str, ...]
    """Classes of diffusers; a folder or repository is known by the one that its index names."""

    encoders: tuple[str, ...]
    """Components that read the prompt, in the pipeline's order."""

    embeddings: tuple[str, ...]
    """What ``encode_prompt`` returns, in order, by the names of the call's arguments."""

    denoisers: tuple[str, ...] = ("transformer",)
    """Components that run at every step; the first is what a bare scheme stands for."""

    decoder: str = "vae"
    """The component that makes pixels of latents."""

    scale: str | None = "guidance_scale"
    """The argument of the call that takes the comparison's guidance, or None."""

    embedded: str = ""
    """The key of the denoiser's config that says whether guidance is an input of it."""

    cfg_from: float | None = None
    """Above this the guidance is true classifier-free guidance, two passes a step; None: it is an
    input of the denoiser, or nothing, and there is one pass."""

    cfg_batched: bool = False
    """Whether both passes are one batch of two, which takes twice the memory."""

    true_scale: str | None = None
    """The argument for true guidance beside the embedded one, two passes a step above 1; None
    where there is no such thing, or ``scale`` is it."""

    negative: Literal["none", "same call", "second call"] = "none"
    """Where the embeddings of the negative prompt come from, under true guidance."""

    needs_negative: bool = False
    """Whether there is no second pass unless the call is given a negative prompt."""

    distilled: str = ""
    """The pipeline's setting that says that a checkpoint runs without true guidance."""

    length: str | None = "max_sequence_length"
    """The argument of both calls that limits the text's tokens, or None."""

    writes: str | None = None
    """The argument that limits the tokens which a component writes in the prompt's place, where
    one does. No more are asked for than the text encoder then reads."""

    extra: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the call, with fixed values."""

    modular: bool = False
    """Whether it is made of diffusers' modular blocks, and loaded component by component."""

    keep: tuple[str, ...] = ()
    """Names of the denoiser's modules that must stay as they are, whatever quantizes it."""

    reference: str | None = None
    """The argument of the call that takes pictures to go by."""

    replayed: bool = False
    """Whether its call, given pictures, has no name for all that ``encode_prompt`` returned, which
    is then given back to it in the place of ``encode_prompt``."""

    shows: Callable[[Any, Sequence[Any]], dict[str, Any]] | None = None
    """What ``encode_prompt`` of a pipeline is given of the pictures (PIL) to go by, where it looks
    at them: a function that stands alone, for scripts take it in."""

    text_alone: tuple[str, ...] = ()
    """Components that read the prompt without the pictures here, and so are left out beside one."""

    needs_reference: bool = False
    """Whether it does nothing without one."""

    as_given: tuple[str, ...] = ()
    """Inputs of the denoiser that stay in the dtype in which the pipeline hands them over."""

    processors: Mapping[str, str] = field(default_factory=dict)
    """Components without weights that read text and pictures both: name -> transformers' class."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """What people call a component, where its name does not say it: "T5 encoder"."""

    classes: str = ""
    """Pattern of diffusers' names for all classes of its kind, other pipelines and denoisers too;
    only where something is known of them all."""

    in_fp16: str = ""
    """What is known to happen in fp16, as the rest of a sentence with its source."""

    gguf: str = ""
    """What GGUF files call its denoiser (``general.architecture``; city96/ComfyUI-GGUF, loader.py,
    whose list it must be in to be read there); "" where that has no name for it. diffusers goes by
    the tensors alone."""

    @property
    def denoiser(self) -> str:
        """The component that a bare scheme stands for."""
        return self.denoisers[0]

    @property
    def architecture(self) -> str:
        """What a GGUF file of its denoiser calls it."""
        return self.gguf or self.id

    def kept(self, component: str) -> tuple[str, ...]:
        """Names of the modules of a component that stay as they are, whatever quantizes it."""
        return self.keep if component in self.denoisers else ()

    def asked_without(self, there: Container[str]) -> tuple[str, ...]:
        """Components whose config ``encode_prompt`` asks for where not all encoders are ``there``:
        the denoisers', for the width of what the others would give."""
        whole = self.modular or all(name in there for name in self.encoders)
        return () if whole else self.denoisers

    def label(self, component: str) -> str:
        """What people call a component."""
        return self.labels.get(component, component.replace("_", " "))

    def guidance_of(self, config: Mapping[str, Any], settings: Mapping[str, Any]) -> Guidance:
        """What a checkpoint does with its guidance, from its denoiser's config and its settings."""
        if self.cfg_from is not None:
            return "none" if settings.get(self.distilled) else "cfg"
        return "embedded" if config.get(self.embedded) else "none"

    def guided(self, guidance: float, settings: Mapping[str, Any]) -> bool:
        """Whether ``guidance`` means two passes for a pipeline with these settings."""
        if self.cfg_from is None or settings.get(self.distilled):
            return False
        return guidance > self.cfg_from

    def encode(
        self, pipe: Any, settings: Mapping[str, Value], pictures: Sequence[Any] = ()
    ) -> dict[str, Any]:
        """The embeddings of the prompt by the names under which the pipeline's call takes them.

        (1, tokens, width) each, but for pooled ones, (1, width), and masks, (1, tokens). Those of
        the negative prompt come along where ``settings``, values by key, ask for two passes.
        ``pictures`` (PIL) are what to go by.
        """
        guided = self.guided(float(settings["guidance"]), pipe.config)
        given = self.to_encode(type(pipe), settings, guided=guided)
        given |= self.shows(pipe, pictures) if self.shows and pictures else {}
        found = self._encoded(pipe, str(settings["prompt"]), given)
        if self.encodes_twice(settings, guided=guided):
            second = self._encoded(pipe, str(settings.get("negative_prompt", "")), given)
            found |= {f"negative_{name}": value for name, value in second.items()}
        taken = found if self.replayed and pictures else self.taken_of(type(pipe))
        return {name: value for name, value in found.items() if name in taken}

    def returned(self, found: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """What each ``encode_prompt`` returned, of what ``encode`` found of them all."""
        marks = [mark for mark in ("", "negative_") if mark + self.embeddings[0] in found]
        return [tuple(found.get(mark + name) for name in self.embeddings) for mark in marks]

    def true_guided(self, settings: Mapping[str, Value]) -> bool:
        """Whether there is a second pass beside the embedded guidance."""
        return self.true_scale is not None and float(settings.get("true_cfg_scale", 1.0)) > 1

    def taken_of(self, pipeline: Any) -> frozenset[str]:
        """The embeddings that the call of a class of pipelines takes, negative ones too."""
        taken = inspect.signature(pipeline.__call__).parameters
        both = (*self.embeddings, *(f"negative_{name}" for name in self.embeddings))
        return frozenset(name for name in both if name in taken)

    def encodes_twice(self, settings: Mapping[str, Value], *, guided: bool) -> bool:
        """Whether the negative prompt takes a call of ``encode_prompt`` for itself."""
        return self.true_guided(settings) or (guided and self.negative == "second call")

    def to_encode(
        self, pipeline: Any, settings: Mapping[str, Value], *, guided: bool
    ) -> dict[str, Any]:
        """What ``encode_prompt`` of a class of pipelines is given beside prompt and device."""
        given: dict[str, Any] = {"prompt_2": None, "prompt_3": None}
        lengths = (self.length, self.writes)
        given |= {name: settings["sequence_length"] for name in lengths if name}
        if self.negative == "same call":
            given["do_classifier_free_guidance"] = guided
            if guided and "negative_prompt" in settings:
                given["negative_prompt"] = settings["negative_prompt"]
        taken = inspect.signature(pipeline.encode_prompt).parameters
        if (each := taken.get(COPIES)) and each.default is inspect.Parameter.empty:
            given[COPIES] = 1
        return {name: value for name, value in given.items() if name in taken}

    def wants_device(self, pipeline: Any) -> bool:
        """Whether ``encode_prompt`` of a class of pipelines has to be told the device."""
        taken = inspect.signature(pipeline.encode_prompt).parameters
        return "device" in taken and taken["device"].default is inspect.Parameter.empty

    def _encoded(self, pipe: Any, prompt: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What one ``encode_prompt`` returns, by name; what it leaves out is not there."""
        arguments = dict(given)
        if self.wants_device(type(pipe)):
            arguments["device"] = pipe._execution_device
        returned = pipe.encode_prompt(prompt=prompt, **arguments)
        values = returned if isinstance(returned, tuple) else (returned,)
        found = dict(zip(self.embeddings, values, strict=False))
        return {k: v for k, v in found.items() if v is not None and not _is_empty(v)}

    def arguments(self, settings: Mapping[str, Value]) -> dict[str, Any]:
        """Arguments of the pipeline's call that ``settings``, values by key, stand for.

        The prompt and what a pipeline has no argument for are not among them.
        """
        here: dict[str, str | None] = {
            "prompt": None,
            "guidance": self.scale,
            "sequence_length": self.length,
        }
        known = [row for row in SETTINGS if row.argument and row.key in settings]
        named = {here.get(row.key, row.argument): settings[row.key] for row in known}
        found = {name: value for name, value in named.items() if name is not None} | self.extra
        if self.writes is not None and "sequence_length" in settings:
            found[self.writes] = settings["sequence_length"]
        return found

    @property
    def picture(self) -> str:
        """Where the picture is in what the call returns; of a video the first frame."""
        return "images[0]" if self.frames is None else "frames[0][0]"

    def image_of(self, result: Any) -> Any:
        """The picture (PIL) of what the call returned: ``result.`` and ``picture``."""
        return result.images[0] if self.frames is None else result.frames[0][0]


def _is_empty(value: Any) -> bool:
    return isinstance(value, list) and not value
