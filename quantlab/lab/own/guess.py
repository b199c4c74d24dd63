"""The family of a pipeline that none in quantlab/families has, from what its class itself says.

The signatures of ``encode_prompt`` and of the call, the names that ``encode_prompt`` returns, the
components' configs and their tables. What an image takes in memory beside the weights is guessed
from these: nobody counted tensors in its blocks.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from quantlab.errors import InputError
from quantlab.families import Family
from quantlab.lab.own.parts import Index

__all__ = ["family_from_class"]

DECODERS = ("Autoencoder", "VQModel", "ConsistencyDecoder")
WIDTHS = ("hidden_size", "dim", "inner_dim", "caption_projection_dim")
"""Keys of a denoiser's config that tell its stream's width, where heads do not."""
TRUE_GUIDANCE = "true_cfg_scale"
PICTURE = "image"
PICTURES = (PICTURE, "mask_image", "control_image", "conditioning_image", "video")
Rows = Sequence[Sequence[Any]]


def family_from_class(
    index: Index,
    cls: Any,
    configs: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, Rows],
) -> Family:
    """What pipelines of class ``cls`` do; ``rows`` and ``configs`` are by component.

    Its ``embeddings`` are empty where the way it encodes a prompt is not the generic one: where
    ``encode_prompt`` looks at pictures, too, nothing says in which form it is given them.

    Raises:
        InputError: it has no denoiser or no decoder of a kind that is known, or one whose width
            nothing tells.
    """
    decoder = _decoder(index)
    denoisers = _denoisers(index, decoder)
    call = _parameters(cls, "__call__")
    encode = _parameters(cls, "encode_prompt")
    embeddings = _returned(cls)
    taken = tuple(name for name in embeddings if name in call)
    usual = bool(taken) and "prompt" in encode and encode.keys().isdisjoint(PICTURES)
    needed = [name for name in PICTURES if _is_required(call, name)]
    usual = usual and needed in ([], [PICTURE])  # there is no setting for a mask or a video
    negative = _negative(embeddings, encode, call)
    scale, true_scale = _scales(call)
    main = denoisers[0]
    return Family(
        id=index.pipeline.removesuffix("Pipeline").lower(),
        pipelines=(index.pipeline,),
        encoders=_encoders(index),
        embeddings=embeddings if usual else (),
        denoisers=denoisers,
        decoder=decoder,
        scale=scale,
        true_scale=true_scale,
        embedded="guidance_embeds",
        cfg_from=None if true_scale or negative == "none" else 1.0,
        cfg_batched=negative != "none",
        negative=negative,
        length="max_sequence_length" if "max_sequence_length" in call else None,
        modular=index.modular,
        reference=PICTURE if PICTURE in call else None,
        needs_reference=PICTURE in needed,
        pixels=_pixels(configs[main], configs[decoder]),
        frames=_frames(configs[decoder]) if "num_frames" in call else None,
        extra={"output_type": "pil"} if "num_frames" in call else {},
        stream=_stream(main, configs[main], rows[main]),
        last_up=_last_up(decoder, rows[decoder]),
        processors=index.processors,
    )


def _parameters(cls: Any, name: str) -> Mapping[str, inspect.Parameter]:
    function = getattr(cls, name, None)
    return {} if function is None else inspect.signature(function).parameters


def _is_required(call: Mapping[str, inspect.Parameter], name: str) -> bool:
    """Whether the call does nothing without this picture: it has no default, or is one to start
    from, which ``strength`` says how far to leave, or of a kind that nothing makes up for."""
    found = call.get(name)
    if found is None:
        return False
    starts = name == PICTURE and "strength" in call
    bare = found.default is inspect.Parameter.empty
    return bare or starts or name in ("mask_image", "control_image")


def _returned(cls: Any) -> tuple[str, ...]:
    """The names in the last ``return`` of ``encode_prompt``; nothing where they are no names."""
    function = getattr(cls, "encode_prompt", None)
    if function is None:
        return ()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    last = max((v for v in found if v is not None), key=lambda v: v.lineno, default=None)
    values = last.elts if isinstance(last, ast.Tuple) else [last]
    names = tuple(value.id for value in values if isinstance(value, ast.Name))
    return names if len(names) == len(values) else ()


def _negative(embeddings: Sequence[str], encode: Mapping[str, Any], call: Mapping[str, Any]) -> Any:
    if "do_classifier_free_guidance" in encode and any("negative" in n for n in embeddings):
        return "same call"
    return "second call" if "negative_prompt_embeds" in call else "none"


def _scales(call: Mapping[str, inspect.Parameter]) -> tuple[str | None, str | None]:
    """The arguments that take the guidance, and true guidance beside it: where both have a number
    of their own, one is an input of the denoiser; where one has none, it is there for few."""
    there = [name for name in (TRUE_GUIDANCE, "guidance_scale") if name in call]
    numbers = [name for name in there if isinstance(call[name].default, int | float)]
    if len(numbers) == 2:
        return "guidance_scale", TRUE_GUIDANCE
    return next(iter(there), None), None


def _decoder(index: Index) -> str:
    for name, (library, cls) in index.components.items():
        if library == "diffusers" and cls.startswith(DECODERS) and "audio" not in name:
            return name
    raise InputError("model", f"{index.pipeline} has no autoencoder that makes pixels of latents")


def _denoisers(index: Index, decoder: str) -> tuple[str, ...]:
    """Transformers and U-Nets, the main one first."""
    names = [
        name
        for name, (library, cls) in index.components.items()
        if library == "diffusers" and name != decoder
        if "Transformer" in cls or "UNet" in cls
    ]
    if not names:
        raise InputError("model", f"{index.pipeline} has no transformer and no U-Net")
    return tuple(sorted(names, key=lambda name: (name not in ("transformer", "unet"), name)))


def _encoders(index: Index) -> tuple[str, ...]:
    return tuple(
        name
        for name, (library, _) in index.components.items()
        if library == "transformers" and "text" in name
    )


def _pixels(denoiser: Mapping[str, Any], decoder: Mapping[str, Any]) -> int:
    """Pixels of width or height for each token: the autoencoder's times the denoiser's patch."""
    ratio = decoder.get("spatial_compression_ratio") or decoder.get("scale_factor_spatial")
    if not ratio:
        blocks = decoder.get("block_out_channels") or decoder.get("encoder_block_out_channels")
        ratio = 2 ** (len(blocks) - 1) if blocks else 8
    patch = denoiser.get("patch_size") or 1
    return int(ratio) * int(patch[-1] if isinstance(patch, list | tuple) else patch)


def _frames(decoder: Mapping[str, Any]) -> int:
    ratio = decoder.get("temporal_compression_ratio") or decoder.get("scale_factor_temporal")
    return int(ratio or 4)


def _stream(name: str, config: Mapping[str, Any], rows: Rows) -> str:
    """The first module whose outputs are as wide as the config says that the denoiser is."""
    widths = [config[key] for key in WIDTHS if isinstance(config.get(key), int)]
    heads, each = config.get("num_attention_heads"), config.get("attention_head_dim")
    if isinstance(heads, int) and isinstance(each, int):
        widths.insert(0, heads * each)
    if isinstance(config.get("block_out_channels"), list | tuple):
        widths.append(config["block_out_channels"][0])
    for width in widths:
        for module, kind, tensors in rows:
            shape = tensors.get("weight", ())
            if kind in ("linear", "conv") and shape and shape[0] == width:
                return str(module)
    raise InputError("model", f"{name}/config.json does not say how wide the {name} is")


def _last_up(decoder: str, rows: Rows) -> str:
    """The last convolution of the last up block, or else of the decoder."""
    convolutions = [
        str(module)
        for module, kind, tensors in rows
        if kind == "conv" and module.startswith("decoder.") and len(tensors.get("weight", ())) > 1
    ]
    up = [module for module in convolutions if ".up" in module]
    if not convolutions:
        raise InputError("model", f"{decoder} has no decoder of convolutions")
    return (up or convolutions)[-1]
