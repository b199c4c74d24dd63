"""Pictures to go by: checked, brought to one form, kept under a digest of their pixels.

A comparison, its link and its results name the digest alone. What a camera wrote beside the pixels
(place, time, owner) is dropped, once the picture is turned as it says.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import cache_folder, typed, whole_file
from quantlab.errors import InputError, StoreError, Unavailable
from quantlab.words.comparison import Comparison

__all__ = [
    "MOST_BYTES",
    "admit_reference",
    "file_of",
    "files_of",
    "keep_reference",
    "keep_under",
    "pictures",
]

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_BYTES = 32 * 2**20
MOST_PIXELS = 40_000_000
LEAST_SIDE, MOST_ASPECT = 16, 8
DIGITS = 16
_DIGEST = re.compile(rf"[0-9a-f]{{{DIGITS}}}")


def admit_reference(named: str) -> str:
    """The digest of the picture in the file ``named``, kept from now on; a digest of one that is
    kept already is taken too.

    Raises:
        InputError: there is none, or it is no picture that can be used.
        StoreError: it cannot be kept.
    """
    if _DIGEST.fullmatch(named) and file_of(named).is_file():
        return named
    path = typed(named)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)  # of a pipe nobody knows the size
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "it is no name of a file"
        raise InputError("reference", f"{named[:200]!r} cannot be read: {said}") from None
    return keep_reference(content, path.name)


def keep_reference(content: bytes, name: str) -> str:
    """The digest of a picture that is given as the bytes of a file called ``name``.

    Raises:
        InputError: it is no PNG, JPEG or WebP of one picture, or too large, too small or too long.
        StoreError: it cannot be kept.
    """
    picture = _opened(content, name)
    digest = hashlib.sha256(f"{picture.width}x{picture.height} ".encode() + picture.tobytes())
    known = digest.hexdigest()[:DIGITS]
    path = file_of(known)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            picture.save(part, format="PNG")
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be written: {error.strerror}") from None
    return known


def keep_under(most_bytes: int, but: str = "") -> None:
    """Delete the oldest kept pictures until all take at most ``most_bytes``; ``but`` stays."""
    found = []
    for path in file_of("").parent.glob("reference-*.png"):
        with contextlib.suppress(OSError):  # another process deleted it
            known = path.stat()
            found.append((known.st_mtime, known.st_size, path))
    held = sum(count for _, count, _ in found)
    for _, count, path in sorted(found):
        if held <= most_bytes:
            return
        if path != file_of(but):
            path.unlink(missing_ok=True)
            held -= count


def _opened(content: bytes, name: str) -> Any:
    """The picture upright, in RGB, on white where it is transparent, and nothing beside it."""
    import io

    from PIL import Image, ImageOps

    if len(content) > MOST_BYTES:
        raise InputError("reference", f"{name} is larger than {MOST_BYTES // 2**20} MiB")
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of what beside the pixels is damaged
            Image.open(io.BytesIO(content), formats=FORMATS) as found,
        ):
            # A camera's JPEG may hold a preview or a map of brightness behind the picture.
            frames = 1 if found.format == "MPO" else getattr(found, "n_frames", 1)
            _check_size(*found.size, frames, name)
            upright = _eight_bits(ImageOps.exif_transpose(found)).convert("RGBA")
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputError(
            "reference", f"{name} is no whole picture; PNG, JPEG and WebP can be used"
        ) from None
    plain = Image.new("RGB", upright.size, "white")
    plain.paste(upright, mask=upright.getchannel("A"))
    return plain


def _eight_bits(picture: Any) -> Any:
    """Greys of 16 bits as 8, which Pillow would cut off at 255 and not scale."""
    if not picture.mode.startswith("I"):
        return picture
    return picture.convert("I").point(lambda grey: grey * (1 / 257)).convert("L")


def _check_size(width: int, height: int, frames: int, name: str) -> None:
    if frames != 1:
        raise InputError("reference", f"{name} has {frames} frames; one is wanted")
    if width * height > MOST_PIXELS:
        raise InputError("reference", f"{name} has {width} x {height} pixels; that is too many")
    if min(width, height) < LEAST_SIDE or max(width, height) > MOST_ASPECT * min(width, height):
        raise InputError(
            "reference",
            f"{name} has {width} x {height} pixels; each side must have {LEAST_SIDE}, and one may "
            f"be {MOST_ASPECT} times the other",
        )


def file_of(digest: str) -> Path:
    """Where the picture with this digest is kept, whether it is or not."""
    return cache_folder() / "references" / f"reference-{digest}.png"


def pictures(comparison: Comparison) -> list[Any]:
    """The pictures (PIL, RGB) that ``comparison`` goes by, in its order.

    Raises:
        Unavailable: one is not on this machine.
    """
    from PIL import Image

    return [Image.open(path).convert("RGB") for path in files_of(comparison.references)]


def files_of(digests: Iterable[str]) -> list[Path]:
    """The files of the pictures with these digests.

    Raises:
        Unavailable: one is not on this machine.
    """
    found = [(digest, file_of(digest)) for digest in digests]
    for digest, path in found:
        if not path.is_file():
            raise Unavailable(
                f"the picture {digest} is not here: a link carries its digest and not the picture; "
                f"give it with --reference FILE"
            )
    return [path for _, path in found]
