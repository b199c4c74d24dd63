"""How an autoencoder decodes: a whole picture, or tile by tile; a batch, or picture by picture.

By diffusers 0.42.1 (models/autoencoders): tiles are decoded one after the other, each begins three
quarters of a tile behind the one before, and all of them are kept until they are joined. What is no
larger than a tile is decoded whole. The pixels across a tile are the autoencoder's own, as it comes
(sizes/shapes.py, ``tile_of``).
"""

from __future__ import annotations

from dataclasses import replace

from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.picture import Picture
from quantlab.catalog.sizes.shapes import decodes_apart, tile_of
from quantlab.errors import InputError

__all__ = ["apart", "check_decoding", "covered", "lighter", "tile", "tiled"]


def tile(model: Model) -> int | None:
    """Pixels across a tile of a model's autoencoder, None where it has no tiled decoding."""
    known = model.component(model.family.decoder)
    return tile_of(known.shapes) if known is not None else None


def tiled(model: Model, picture: Picture) -> int | None:
    """Pixels across the tiles that ``picture`` is decoded in, None where it is decoded whole."""
    side = tile(model) if picture.tiling else None
    return side if side is not None and max(picture.width, picture.height) > side else None


def covered(length: int, side: int) -> int:
    """Pixels of all tiles along a ``length``, what they share counted in each."""
    return sum(min(side, length - begin) for begin in range(0, length, side * 3 // 4))


def apart(model: Model) -> bool:
    """Whether a model's autoencoder can decode the pictures of a batch one by one."""
    known = model.component(model.family.decoder)
    return known is not None and decodes_apart(known.shapes)


def lighter(model: Model, picture: Picture) -> Picture:
    """``picture`` decoded in whatever ways take less memory; the same where none does."""
    slices = picture.slicing or (picture.batch > 1 and apart(model))
    tiling = replace(picture, tiling=True)
    return replace(
        picture,
        tiling=picture.tiling or tiled(model, tiling) is not None,
        slicing=slices,
    )


def check_decoding(model: Model, *, tiling: bool, slicing: bool) -> None:
    """Whether a model's autoencoder can decode so.

    Raises:
        InputError: it cannot; the setting and its class are named.
    """
    known = model.component(model.family.decoder)
    cls = known.cls if known is not None else "no decoder"
    if tiling and tile(model) is None:
        raise InputError("vae-tiling", f"{model.name} decodes with {cls}, which has no tiles")
    if slicing and not apart(model):
        raise InputError(
            "vae-slicing", f"{model.name} decodes with {cls}, which takes a batch as one"
        )
