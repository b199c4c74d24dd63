"""Where things are kept: the project's own data, and the folder for what is made while running."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["PROJECT", "cache_folder", "data_folder"]

PROJECT = Path(__file__).resolve().parents[2]
"""The folder that holds data/."""


def data_folder() -> Path:
    """Where results are kept: ``QUANTLAB_DATA``, a Space's /data, or the user's data folder."""
    named = os.environ.get("QUANTLAB_DATA")
    if named:
        return Path(named)
    if os.environ.get("SPACE_ID") and os.access("/data", os.W_OK):
        return Path("/data/quantlab")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "quantlab"


def cache_folder() -> Path:
    """Where files are kept that can be made again, such as GGUF files of flux-mini."""
    return data_folder() / "cache"
