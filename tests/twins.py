"""Twins that tests read: each is built once in a process."""

from __future__ import annotations

import atexit
import functools
import importlib
import shutil
import tempfile
from pathlib import Path

import pytest

from tools.twins import build

__all__ = ["scale_pictures_less", "twin"]

SCALED = ("qwenimage.pipeline_qwenimage_edit_plus", "qwenimage21.pipeline_qwenimage21")
"""Pipelines of diffusers that scale a picture to go by up to a megapixel, however small it is."""


@functools.cache
def twin(family: str) -> Path:
    """The folder of a family's twin, which nobody changes."""
    folder = Path(tempfile.mkdtemp(prefix="quantlab-twin-"))
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True))
    build(family, folder / "twin")
    return folder / "twin"


def scale_pictures_less(patch: pytest.MonkeyPatch) -> None:
    """Have pipelines scale pictures to go by to an eighth of their area: most of a twin's time."""
    for name in SCALED:
        module = importlib.import_module(f"diffusers.pipelines.{name}")
        whole = module.calculate_dimensions
        patch.setattr(
            module,
            "calculate_dimensions",
            lambda area, ratio, whole=whole: whole(area / 8, ratio),
        )
