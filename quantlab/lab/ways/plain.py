"""A component as it is, in the dtype of its pipeline."""

from __future__ import annotations

from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script

__all__ = ["WAY"]


class _Plain(Way):
    quantizes = False

    def load(self, part: Part) -> Loaded:
        return Loaded(part.files().read(part), "from_pretrained")

    def write(self, part: Part, script: Script) -> None:
        """Nothing: it comes with the pipeline."""


WAY = _Plain()
