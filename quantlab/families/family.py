"""What a family is: its pipeline's parts and arguments, and what an image takes, as one value.

The methods are the one generic way of encoding, calling and counting. They follow the signatures of
the pipeline's own ``encode_prompt`` and ``__call__`` and the fields below; a family that needs more
overrides a method in its file. Not known here: checkpoints (data/models), schemes, torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from quantlab.words.settings import SETTINGS, Value

__all__ = ["Family", "Guidance"]

Guidance = Literal["embedded", "cfg", "none"]
"""What a checkpoint does with its guidance: an input of the denoiser, a second pass, nothing."""

COPIES = "num_images_per_prompt"
"""What ``encode_prompt`` of older classes has to be given."""


@dataclass(frozen=True)
class Family:
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

    unshown: str = ""
    """Why no picture can be given here, where what pictures take is only predicted."""

    text_alone: tuple[str, ...] = ()
    """Components that read the prompt without the pictures here, and so are left out beside one."""

    needs_reference: bool = False
    """Whether it does nothing without one."""

    pixels: int = 16
    """Pixels of width or height for each image token: autoencoder times packing."""

    frames: int | None = None
    """Frames of a video for each token in time, or None where it makes pictures."""

    stream: str = "x_embedder"
    """The denoiser's module whose outputs are as wide as its stream."""

    last_up: str = "decoder.up*.resnets.0.conv1"
    """Pattern of the decoder's convolutions that enter an up block; the last one counts."""

    stream_tensors: float = 18.0
    """Tensors of (tokens x width of the stream) alive at once, at most, in a denoiser's block.

    Counted in FLUX.1's single block (diffusers, transformer_flux.py) while rotary embeddings are
    applied: stream, its copy and its norm (3), the MLP's hidden state of 4 widths (4), q, k and v
    (3), and the fp32 copies of one of them and of its rotated half, 2 widths each (8). Measured in
    bf16 at 1024 x 1024 on an H200 (data/results/gpu-h200.jsonl): 17.3 of FLUX.1, 15.8 of Z-Image,
    21.7 of FLUX.2-klein-4B, 24.2 of FLUX.3-klein."""

    decoder_tensors: float = 3.0
    """Tensors of (pixels x channels that enter the last up block) alive at once in the decoder,
    at most: counted on torch's meta device."""

    encoder_tensors: float = 5.0
    """The same of the autoencoder's encoder, of the channels that its first convolution gives."""

    reference_pixels: int = 1024 * 1024
    """What the pipeline scales a reference down to, at most; see ``reference_area``."""

    as_given: tuple[str, ...] = ()
    """Inputs of the denoiser that stay in the dtype in which the pipeline hands them over."""

    processors: Mapping[str, str] = field(default_factory=dict)
    """Components without weights that read text and pictures both: name -> transformers' class."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """What people call a component, where its name does not say it: "T5 encoder"."""

    @property
    def denoiser(self) -> str:
        """The component that a bare scheme stands for."""
        return self.denoisers[0]

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
        given = self.to_encode(type(pipe), settings, guided=guided) | self.shown(pipe, pictures)
        found = self._encoded(pipe, str(settings["prompt"]), given)
        if self.encodes_twice(settings, guided=guided):
            second = self._encoded(pipe, str(settings.get("negative_prompt", "")), given)
            found |= {f"negative_{name}": value for name, value in second.items()}
        taken = self.taken_of(type(pipe))
        return {name: value for name, value in found.items() if name in taken}

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

    def shown(self, pipe: Any, pictures: Sequence[Any]) -> dict[str, Any]:  # noqa: ARG002
        """What ``encode_prompt`` is given of the pictures to go by; mostly nothing."""
        return {}

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

    def image_tokens(self, width: int, height: int, frames: int = 1) -> int:
        """Tokens that the denoiser has for one image, or video, of this size in pixels."""
        times = 1 if self.frames is None else 1 + (frames - 1) // self.frames
        return (width // self.pixels) * (height // self.pixels) * times

    def reference_area(self, references: int) -> int:  # noqa: ARG002
        """Pixels that each of ``references`` pictures is scaled down to, at most."""
        return self.reference_pixels

    def reference_tokens(self, references: int) -> int:
        """Tokens that ``references`` pictures stand for beside the image's, at most."""
        return references * (self.reference_area(references) // self.pixels**2)

    def enters_last_up(self, module: str) -> bool:
        """Whether ``module`` of the decoder is a convolution that enters an up block."""
        return fnmatchcase(module, self.last_up)


def _is_empty(value: Any) -> bool:
    return isinstance(value, list) and not value
