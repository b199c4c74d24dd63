"""Settings that not every model has: what a comparison may ask of which, and with what else."""

from __future__ import annotations

import re
from collections.abc import Mapping

from quantlab.catalog.models.schema import Model
from quantlab.catalog.sizes.decoding import check_decoding
from quantlab.errors import InputError
from quantlab.words.settings import Value

__all__ = ["check_for"]

_DIGEST = re.compile(r"[0-9a-f]{16}")


def check_for(model: Model, values: Mapping[str, Value]) -> dict[str, Value]:
    """The values of a comparison's settings by key, where ``model`` has what they ask for.

    True guidance that its call takes under no other name is its guidance.

    Raises:
        InputError: it has not; the setting is named.
    """
    found = _one_scale(model, dict(values))
    _check_negative(model, found)
    _check_frames(model, found)
    _check_references(model, found)
    check_decoding(model, tiling="vae_tiling" in found, slicing="vae_slicing" in found)
    return found


def _one_scale(model: Model, values: dict[str, Value]) -> dict[str, Value]:
    scale = values.get("true_cfg_scale")
    if scale is None:
        return values
    if model.family.scale == "true_cfg_scale":
        return {k: v for k, v in values.items() if k != "true_cfg_scale"} | {"guidance": scale}
    if model.family.true_scale is None:
        raise InputError(
            "true-cfg-scale", f"{model.name} has no true guidance beside its guidance; leave it out"
        )
    return values


def _check_negative(model: Model, values: Mapping[str, Value]) -> None:
    if "negative_prompt" not in values:
        return
    family = model.family
    if family.true_guided(values) or model.guided(float(values["guidance"])):
        return
    if family.true_scale is not None:
        instead = "ask for a --true-cfg-scale above 1"
    elif model.guidance == "cfg":
        instead = f"ask for a --guidance above {family.cfg_from:g}"
    else:
        instead = "leave it out"
    raise InputError(
        "negative-prompt", f"{model.name} has one pass a step here, which takes none; {instead}"
    )


def _check_frames(model: Model, values: Mapping[str, Value]) -> None:
    frames, each = values.get("frames"), model.family.frames
    if frames is None or each is None or (int(frames) - 1) % each == 0:
        return
    near = 1 + (int(frames) - 1) // each * each
    raise InputError("frames", f"{frames}; {model.name} makes 1 and {each} at a time, {near} say")


def _check_references(model: Model, values: Mapping[str, Value]) -> None:
    named = values.get("reference")
    if named is None:
        return
    most = model.limits.max_references
    if model.family.reference is None or not most:
        raise InputError("reference", f"{model.name} takes no pictures to go by")
    digests = str(named).split(",")
    if not all(_DIGEST.fullmatch(digest) for digest in digests):
        raise InputError("reference", "expected digests of 16 hex digits, parted by commas")
    if len(digests) > most:
        raise InputError("reference", f"{len(digests)} given; {model.name} takes {most}")
