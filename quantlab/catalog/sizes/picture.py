"""What is asked of a model in one call, as far as memory depends on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from quantlab.catalog.schema import Model
from quantlab.errors import InputError
from quantlab.words.comparison import Comparison
from quantlab.words.numbers import whole
from quantlab.words.settings import setting

__all__ = ["MOST_AT_ONCE", "Picture", "check_asked", "picture_asked", "picture_of"]

MOST_AT_ONCE = 64
"""Images in one call; more than any card decodes, and still a number that can be read."""


@dataclass(frozen=True)
class Picture:
    """Width and height in pixels, the text's tokens, images at once, and pictures to go by."""

    width: int
    height: int
    sequence_length: int
    batch: int = 1
    references: int = 0
    frames: int = 1
    """Of a video."""
    passes: int = 1
    """Of the denoiser a step: two under true guidance."""
    tiling: bool = False
    """Whether the autoencoder works in tiles."""
    slicing: bool = False
    """Whether the images of a batch are decoded one after the other."""

    @property
    def pixels(self) -> int:
        """Of one image."""
        return self.width * self.height

    @cached_property
    def decoded(self) -> tuple[str, ...]:
        """The settings of decoding that are asked for."""
        ways = {"vae_tiling": self.tiling, "vae_slicing": self.slicing}
        return tuple(setting for setting, asked in ways.items() if asked)

    def sized(self, width: int, height: int) -> Picture:
        """The same at another size."""
        return replace(self, width=width, height=height)


def check_asked(model: Model, **given: int | None) -> None:
    """Hold what is given of settings, by key, against what a comparison of ``model`` takes.

    Raises:
        InputError: the setting is named, and what is allowed.
    """
    for key, value in given.items():
        if value is not None:
            setting(key).read(value, vars(model.limits))


def picture_of(
    model: Model,
    *,
    width: int | None = None,
    height: int | None = None,
    sequence_length: int | None = None,
    batch: int | None = None,
    references: int | None = None,
    frames: int | None = None,
    guidance: float | None = None,
    true_cfg_scale: float | None = None,
    vae_tiling: bool | None = None,
    vae_slicing: bool | None = None,
) -> Picture:
    """What is asked of ``model``: ``batch`` images at a size in pixels and a count of text tokens,
    with so many pictures to go by, frames of a video, passes a step as the guidance asks for,
    decoded in tiles or one after the other.

    None takes its default, one image decoded at once, and as few references as it does with.

    Raises:
        InputError: more at once than is allowed, or references for a model that takes none.
    """
    d, most = model.defaults, model.limits.max_references
    least = 1 if model.family.needs_reference else 0
    if references and not most:
        raise InputError("references", f"{model.name} takes no pictures to go by")
    beside = {} if true_cfg_scale is None else {"true_cfg_scale": true_cfg_scale}
    scale = d.guidance if guidance is None else guidance
    twice = model.guided(scale) or model.family.true_guided(beside)
    return Picture(
        width or d.width,
        height or d.height,
        sequence_length or d.sequence_length,
        whole("batch", 1 if batch is None else batch, 1, MOST_AT_ONCE),
        whole("references", least if references is None else references, least, most),
        frames or d.frames or 1,
        2 if twice else 1,
        bool(vae_tiling),
        bool(vae_slicing),
    )


def picture_asked(
    comparison: Comparison,
    model: Model,
    *,
    batch: int | None = None,
    references: int | None = None,
) -> Picture:
    """What ``comparison`` asks of ``model``, ``batch`` images at once; ``references`` where they
    are more than those that it names.

    Raises:
        InputError: as ``picture_of``.
    """
    return picture_of(
        model,
        width=comparison.width,
        height=comparison.height,
        sequence_length=comparison.sequence_length,
        batch=batch,
        references=len(comparison.references) or None if references is None else references,
        frames=comparison.frames,
        guidance=comparison.guidance,
        true_cfg_scale=comparison.true_cfg_scale,
        vae_tiling=comparison.vae_tiling,
        vae_slicing=comparison.vae_slicing,
    )
