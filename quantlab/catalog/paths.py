"""Where things are kept: the project's own data, and the folder for what is made while running."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

from quantlab.errors import StoreError

__all__ = [
    "OWN_LORAS",
    "OWN_MODELS",
    "PACKAGE",
    "PROJECT",
    "RESULTS",
    "cache_folder",
    "data_folder",
    "own_descriptions",
    "own_loras",
    "there",
    "typed",
    "whole_file",
]

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the package itself."""

PROJECT = PACKAGE if (PACKAGE / "data").is_dir() else PACKAGE.parent
"""The folder that holds data/: the checkout, or the package where it was installed."""

RESULTS = "results.sqlite"
"""The file of results in ``data_folder()``."""

OWN_MODELS = "QUANTLAB_OWN_MODELS"
"""The environment variable that tells child processes which models of one's own were named: paths
of their descriptions, parted as in PATH. ``lab.hub.admit`` sets it."""

OWN_LORAS = "QUANTLAB_OWN_LORAS"
"""The same for LoRAs of one's own: ``NAME=PATH``, parted as in PATH. ``lab.lora.file`` sets it."""


def data_folder() -> Path:
    """``QUANTLAB_DATA``, else a Space's persistent ``/data``, else the platform's data folder.

    Raises:
        StoreError: there is no home folder to put it in.
    """
    own = os.environ.get("QUANTLAB_DATA")
    if own:
        return typed(own)
    if os.environ.get("SPACE_ID") and os.access("/data", os.W_OK):
        return Path("/data/quantlab")
    base = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or ""
    if Path(base).is_absolute():  # the XDG specification has relative ones ignored
        return Path(base) / "quantlab"
    try:
        return Path.home() / ".local" / "share" / "quantlab"
    except RuntimeError as error:
        raise StoreError("There is no home folder; set QUANTLAB_DATA.") from error


def cache_folder() -> Path:
    """Where files are kept that can be made again, such as GGUF files of flux-mini."""
    return data_folder() / "cache"


def own_descriptions() -> Mapping[str, Path]:
    """The descriptions of the models of one's own, by the model's id; none on a Space."""
    named = "" if os.environ.get("SPACE_ID") else os.environ.get(OWN_MODELS, "")
    paths = (Path(text) for text in named.split(os.pathsep) if text)
    return {unquote(path.stem): path for path in paths}


def own_loras() -> Mapping[str, Path]:
    """The folders or files of the LoRAs of one's own, by name; none on a Space."""
    named = "" if os.environ.get("SPACE_ID") else os.environ.get(OWN_LORAS, "")
    pairs = (text.partition("=") for text in named.split(os.pathsep) if text)
    return {name: Path(path) for name, _, path in pairs}


def typed(text: str) -> Path:
    """The path that a person typed. ``~`` is their home; ``~name`` stays where nobody is called so,
    which ``Path.expanduser`` takes for an error."""
    return Path(os.path.expanduser(text))


def there(text: str) -> Path | None:
    """The path that a person typed, where there is something; None where there is nothing, or the
    text is too long for a name."""
    if not text.strip():  # as an unset variable of a shell leaves it; the path of "" is "."
        return None
    path = typed(text)
    try:
        path.stat()
    except (OSError, ValueError):
        return None
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what becomes the file ``path``, which is there whole or not at all.

    Where what writes it fails or is interrupted, ``path`` is as it was and nothing is left beside
    it. Several threads and processes may write the same file at once: the last one stays.

    Raises:
        OSError: it cannot be written there.
    """
    part = path.with_name(f"{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink()
