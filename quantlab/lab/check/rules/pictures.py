"""The call that makes the picture: what it refuses, rounds and ignores."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator

from quantlab.catalog.schema import Model
from quantlab.lab.check.code.values import Call, const
from quantlab.lab.check.mend import drop, rename, replace
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.uses import Code, Load

__all__ = [
    "guidance_ignored",
    "long_prompt",
    "long_text",
    "many_steps",
    "negative_ignored",
    "rounded",
    "unknown_argument",
]

CALL = (
    "https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/pipelines/flux/"
    "pipeline_flux.py"
)
MEANT = {"steps": "num_inference_steps", "num_steps": "num_inference_steps",
         "cfg": "guidance_scale", "cfg_scale": "guidance_scale", "guidance": "guidance_scale",
         "num_images": "num_images_per_prompt", "seed": "generator"}  # fmt: skip


def _pictures(code: Code) -> Iterator[tuple[Load, Call]]:
    for load in code.loads:
        if load.is_pipeline:
            for call in code.pictures(load):
                yield load, call


def _modelled(code: Code) -> Iterator[tuple[Load, Call, Model]]:
    return ((load, call, load.model) for load, call in _pictures(code) if load.model is not None)


@rule(
    "no-such-argument",
    "error",
    why="The pipeline's call has no such argument.",
    source=CALL,
    versions={"diffusers": ">=0.42,<0.43"},
    says=(r"\w+Pipeline\.__call__\(\) got an unexpected keyword argument",),
)
def unknown_argument(code: Code) -> Iterator[Hit]:
    """A keyword that the pipeline's call does not have."""
    for load, call in _pictures(code):
        known = code.libraries.pipelines.get(load.pipeline, {}).get("call")
        for name, argument in call.kwargs.items() if known else ():
            if name not in known:
                close = (
                    [MEANT[name]]
                    if MEANT.get(name) in known
                    else difflib.get_close_matches(name, known, 1, 0.8)
                )
                said = f"{load.pipeline} has no argument {name}: a TypeError."
                plain = close and name != "seed"
                edit = rename(argument, close[0]) if plain else None
                node = argument.named if argument.named is not None else argument.node
                yield Hit(node, said, (edit,))


@rule(
    "size-rounded",
    "silent",
    why="A size that the autoencoder and the patches do not divide is rounded down with a line in "
    "the log, and the picture has another size than asked.",
    source=CALL,
    versions={"diffusers": ">=0.30"},
    says=(r"`height` and `width` have to be divisible by",),
)
def rounded(code: Code) -> Iterator[Hit]:
    """Width or height that is not a multiple of what the model takes."""
    for _, call, model in _modelled(code):
        for name in ("height", "width"):
            argument = call.kwargs.get(name)
            size = const(argument.value) if argument is not None else None
            step = model.limits.size_multiple
            if argument is not None and isinstance(size, int) and size % step:
                fits = size // step * step
                said = f"{name}={size} becomes {fits}: {model.name} takes multiples of {step}."
                yield Hit(argument.node, said, (replace(argument.node, str(fits)),))


@rule(
    "text-too-long",
    "error",
    why="The pipeline refuses more tokens than its text encoder was trained with.",
    source=CALL,
    versions={"diffusers": ">=0.30"},
    says=(r"`max_sequence_length` cannot be greater than \d+",),
)
def long_text(code: Code) -> Iterator[Hit]:
    """``max_sequence_length`` above what the pipeline takes."""
    for load, call in _pictures(code):
        argument = call.kwargs.get("max_sequence_length")
        asked = const(argument.value) if argument is not None else None
        most = code.libraries.pipelines.get(load.pipeline, {}).get("longest")
        if argument is not None and isinstance(asked, int) and most and asked > most:
            said = f"max_sequence_length={asked} stops with a ValueError; {most} is the most."
            yield Hit(argument.node, said, (replace(argument.node, str(most)),))


@rule(
    "prompt-cut",
    "note",
    why="What is longer than an encoder keeps is cut off with a line in the log.",
    source=CALL,
    versions={"diffusers": ">=0.30"},
    says=(r"part of your input was truncated because",),
)
def long_prompt(code: Code) -> Iterator[Hit]:
    """A prompt with more words than the encoder keeps tokens; a word is one token at least."""
    for _, call, model in _modelled(code):
        argument = call.argument("prompt", 0)
        prompt = const(argument.value) if argument is not None else None
        kept = const(call.value("max_sequence_length"))
        most = kept if isinstance(kept, int) else model.limits.max_sequence_length
        words = len(prompt.split()) if isinstance(prompt, str) else 0
        if argument is not None and words > most:
            yield Hit(argument.node, f"The prompt has {words} words, and {most} tokens are kept.")


@rule(
    "guidance-ignored",
    "note",
    why="The model was distilled to work without guidance and has no input for it.",
    source="https://huggingface.co/docs/diffusers/api/pipelines/flux",
    versions={"diffusers": ">=0.30"},
)
def guidance_ignored(code: Code) -> Iterator[Hit]:
    """A guidance scale for a model that takes none."""
    for _, call, model in _modelled(code):
        argument = call.kwargs.get("guidance_scale")
        scale = const(argument.value) if argument is not None else None
        asked = isinstance(scale, int | float) and scale > 1
        if argument is not None and asked and model.guidance == "none":
            said = f"{model.name} ignores guidance_scale."
            node = argument.named if argument.named is not None else argument.node
            yield Hit(node, said, (drop(call, argument),))


@rule(
    "many-steps",
    "note",
    why="It was distilled to few steps; more take longer and do not make the picture better.",
    source="https://huggingface.co/docs/diffusers/api/pipelines/flux",
    versions={"diffusers": ">=0.30"},
)
def many_steps(code: Code) -> Iterator[Hit]:
    """Many more steps than a distilled model wants."""
    for _, call, model in _modelled(code):
        argument = call.kwargs.get("num_inference_steps")
        steps = const(argument.value) if argument is not None else None
        wanted = model.defaults.steps
        many = isinstance(steps, int) and steps > math.ceil(2.5 * wanted)
        if argument is not None and many and model.distilled:
            said = f"{model.name} is made for {wanted} steps, and {steps} are asked."
            yield Hit(argument.node, said, (replace(argument.node, str(wanted)),))


@rule(
    "negative-ignored",
    "silent",
    why="Such a pipeline looks at a negative prompt only with true_cfg_scale above 1, which takes "
    "two passes a step.",
    source=CALL,
    versions={"diffusers": ">=0.32"},
)
def negative_ignored(code: Code) -> Iterator[Hit]:
    """A negative prompt without a ``true_cfg_scale`` above 1, where the pipeline's own is not."""
    for load, call in _pictures(code):
        argument = call.kwargs.get("negative_prompt")
        known = code.libraries.pipelines.get(load.pipeline, {})
        if argument is None or "second_pass" not in known or call.more:
            continue
        given = call.argument("true_cfg_scale")
        scale = known["second_pass"] if given is None else const(given.value)
        once = isinstance(scale, int | float) and scale <= 1
        if const(argument.value) not in (None, "") and once:
            node = argument.named if argument.named is not None else argument.node
            yield Hit(node, "The negative prompt is ignored.", (drop(call, argument),))
